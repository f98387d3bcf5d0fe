"""`sendledger check` and `demo`: what was sent, judged again; and a demonstration."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from domain.checks import Check, check_campaign, check_mailbox
from domain.errors import CommandRefused
from projections import queries
from runner import demo as demonstration
from runner import logs
from runner.cli import ledgers, sending
from runner.cli.context import command, workplace
from runner.cli.output import Format, FormatOption, say, show
from runner.settings import FILE_NAME, WHERE
from runner.sink import Sink
from runner.store.ledger import campaign_stream, mailbox_stream
from runner.workplace import Workplace

app = typer.Typer()

DEMO_FOLDER = Path("demo")
DEMO_START = "2026-10-05T08:00+02:00"
COLUMNS = ("what", "check", "verdict", "cases", "broken", "examples")


@app.command("check")
@command
def check(
    number: Annotated[int | None, typer.Argument(help="Only this campaign.")] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Judge every send again, under the settings in force at that moment. Exit code 1 when a rule was broken."""
    with workplace() as place:
        if not _check(place, number, form):
            raise typer.Exit(1)


@app.command("demo")
@command
def demo(
    folder: Annotated[Path, typer.Option(help="Where everything of the demonstration lies.")] = DEMO_FOLDER,
) -> None:
    """Two sample campaigns, one on each sender, over two simulated working days, by real SMTP on this machine."""
    folder.mkdir(parents=True, exist_ok=True)
    os.environ[WHERE] = str(folder / FILE_NAME)
    if not (folder / FILE_NAME).exists():
        ledgers.init(simulated=True, start=DEMO_START)
    mails = folder / "mails"
    with Sink(mails, refuse=demonstration.addresses_to_refuse()) as sink, workplace() as place:
        logs.configure("text")
        before = _sent(place)
        demonstration.run(place, sink, say)
        sent = _sent(place) - before
        say(f"{sink.accepted} mails accepted by the local mail server, {sent} recorded as sent.")
    for title, listing in (("SendLog by sender", _totals), ("What waits, and why", _waiting), ("Checks", _checks)):
        say(f"\n{title}")
        listing()
    say(f"\nLedger: {folder / 'sendledger.db'}   Mails: {mails / 'new'}   Settings: {folder / FILE_NAME}")
    say(f"Look around: {WHERE}={folder / FILE_NAME} sendledger status")
    if before:
        say(f"Before this run {before} mails had been sent; nobody got a second one.")


def _totals() -> None:
    with workplace() as place, place.views() as views:
        rows = queries.send_totals(views)
        show(rows, ("campaign_id", "sender", "outcome", "attempts"), Format.TABLE, empty="Nothing was tried.")


def _waiting() -> None:
    sending.status(Format.TABLE)


def _checks() -> None:
    with workplace() as place:
        if not _check(place, None, Format.TABLE):
            raise typer.Exit(1)


def _check(place: Workplace, number: int | None, form: Format) -> bool:
    rows = [
        {
            "what": what,
            "check": check.name,
            "verdict": check.verdict,
            "cases": check.cases,
            "broken": check.broken,
            "examples": "; ".join(check.examples),
        }
        for what, check in _all_checks(place, number)
    ]
    show(rows, COLUMNS if any(row["broken"] for row in rows) else COLUMNS[:-2], form, empty="Nothing to check yet.")
    return not any(row["broken"] for row in rows)


def _all_checks(place: Workplace, number: int | None) -> Iterator[tuple[str, Check]]:
    numbers = place.ledger.campaigns()
    if number is not None and number not in numbers:
        raise CommandRefused(f"there is no campaign {number}; `sendledger campaign list` shows which there are.")
    for each in numbers if number is None else [number]:
        stream = campaign_stream(each)
        for check in check_campaign(stream, place.ledger.stream(stream)):
            yield f"campaign {each}", check
    with place.views() as views:
        names = [row["name"] for row in queries.mailboxes(views)] if number is None else []
    for name in names:
        yield f"mailbox {name}", check_mailbox(place.ledger.stream(mailbox_stream(name)))


def _sent(place: Workplace) -> int:
    with place.views() as views:
        return sum(row["attempts"] for row in queries.send_totals(views) if row["outcome"] == "sent")
