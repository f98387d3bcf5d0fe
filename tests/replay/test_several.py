"""Several campaigns in one pass: each is found to be what it is alone, byte for byte."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from domain import events as e
from domain.replay.classes import Mail
from domain.replay.findings import B, Findings
from domain.replay.free import Free
from domain.replay.locked import Locked
from domain.replay.past import Case, Setup
from domain.replay.replies import replies_of
from domain.replay.sides import Side, WhatIf
from domain.replay.ticks import Row, in_order
from runner.replaying.history import History
from tests.databases import on_sqlite
from tests.faults.world import World
from tests.replay.given import HOUR, MINUTE, MONDAY, OFFICE, PACED, run

pytestmark = on_sqlite

NUMBERS = [1, 2, 3]
QUICK = Side("v2", WhatIf(every=timedelta(seconds=1)))
SETUPS = {"locked": Setup(), "free": Setup(is_free=True), "every second": Setup(b=QUICK, is_free=True)}


@pytest.fixture
def morning(world: World) -> World:
    """Half an hour of campaigns that send at another pace each, two of them through one mailbox."""
    for number, owner, delay_s in ((1, "v1", 90), (2, "v2", 100), (3, "v1", 600)):
        limits = PACED.model_copy(update={"delay_s": delay_s})
        world.campaign(number, owner, ["lead", "busy", *["lead"] * 6], limits=limits, schedule=OFFICE)  # type: ignore[arg-type]
    run(world, MONDAY - MINUTE, MONDAY + HOUR / 2)
    return world


def passed(history: History, setup: Setup, ticks: list[Row]) -> dict[str, Case]:
    replies = {stream: replies_of(history.replies(stream)) for stream in history.campaigns}
    engine = Free(replies, setup) if setup.is_free else Locked(replies, setup)
    engine.run(in_order(history.rows(), ticks))
    return dict(engine.cases)


def told(case: Case) -> tuple[Any, ...]:
    """All that a report says of a campaign."""
    findings: Findings = case.findings
    counted = (findings.digest, findings.causes, findings.patterns, findings.breaches, findings.faithful)
    return (*counted, findings.tallies, case.ends_at, case.our_ticks.numbers, case.our_ticks.assumed_from)


@pytest.mark.parametrize("ticks", ["recorded", "not recorded", "recorded too late"])
@pytest.mark.parametrize("mode", SETUPS)
def test_each_is_what_it_is_alone(morning: World, mode: str, ticks: str) -> None:
    together = History(morning.ledger.histories, NUMBERS)
    known = {
        "recorded": together.ticks,
        "not recorded": [],
        "recorded too late": [row for row in together.ticks if row[1].recorded_at > MONDAY + HOUR / 4],
    }[ticks]
    cases = passed(together, SETUPS[mode], known)

    for number in NUMBERS:
        stream = f"campaign-{number}"
        alone = passed(History(morning.ledger.histories, [number]), SETUPS[mode], known)[stream]
        assert told(alone) == told(cases[stream]), stream
    assert all(case.findings.tallies[B].mails > 2 for case in cases.values())


def test_ticks_that_are_assumed_of_one_are_nothing_to_another(morning: World) -> None:
    """The second one's mails lie far from the first one's: ticks are to be assumed for each from its own first on."""
    cases = passed(History(morning.ledger.histories, NUMBERS), Setup(), [])

    senders = {stream: set(case.our_ticks.numbers) for stream, case in cases.items()}
    assert senders == {"campaign-1": {"v1"}, "campaign-2": {"v2"}, "campaign-3": {"v1"}}


def test_a_mail_that_was_held_back_when_it_was_to_leave_is_told_to_whoever_is_compared(morning: World) -> None:
    """Whose it was a tick does not say."""
    history = History(morning.ledger.histories, NUMBERS)
    said: dict[str, Any] = {
        "runner": "r1",
        "sender": "v1",
        "tick_at": MONDAY,
        "considered": 1,
        "sent": 0,
        "failed": 0,
        "in_doubt": 0,
    }
    place = history.up_to + 1
    mail = Mail(MONDAY, 1, place - 1, 1, 0, "")
    finished = e.TickFinished(
        originator_id="ticks-r1-v1-2026-10-05",
        originator_version=900,
        recorded_at=MONDAY + HOUR,
        deferred={"window": 1},
        **said,
    )
    for cases in (
        passed(history, Setup(), [*history.ticks, (place, finished)]),
        passed(History(morning.ledger.histories, [1]), Setup(is_free=True), [*history.ticks, (place, finished)]),
    ):
        for case in cases.values():
            assert case.findings.noise.between(mail, None, "UTC") == "held back when it was to leave: window"
