"""What the tests of audits are given: two campaigns that were sent, one on each sender."""

from __future__ import annotations

from runner.sink import Sink
from tests.cli.desk import MONDAY, Desk

OTHERS = "email,first_name\nola@customer.example,Ola\nadam@customer.example,Adam\njan@customer.example,=Jan\n"


def sends_two_campaigns(desk: Desk, sink: Sink) -> None:
    """V1: one sent, one refused, one refused for now and then sent, one sent. V2: three sent."""
    desk.ledger()
    desk.mailbox(sink.port)
    desk.campaign()
    desk.campaign(("Autumn 2026", "Winter 2026"), ('owner = "v1"', 'owner = "v2"'), people=OTHERS)
    desk.done("run", "--until", f"{MONDAY}T12:00+02:00")
