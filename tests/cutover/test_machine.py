"""Given an old application, two runners, both senders and an adversary, then nobody is mailed twice and nobody is lost;
and where a rule that this hangs on is knocked out, the machine notices.

SENDLEDGER_FUZZ_EXAMPLES=2000 makes a long run of it, with other examples each time; what it finds is printed as the
steps that lead there, and found again at once by the next run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from domain import commands, gate, legacy
from domain import events as e
from domain.campaign import Campaign
from domain.leads import LeadState
from domain.rules import Rule, Wait
from runner.sending import recording
from tests.cutover.machine import Crossing
from tests.databases import Databases, Kind, on_sqlite

EXAMPLES = os.environ.get("SENDLEDGER_FUZZ_EXAMPLES")
"""Read at once: a test sees none of our variables."""
FEW: dict[Kind, int] = {"sqlite": 12, "postgresql": 3}
STEPS = 30
ENOUGH = 60
"""Examples within which a rule that is knocked out must be missed, of STEPS_AT_ONE_RULE steps each."""
STEPS_AT_ONE_RULE = 12
NEAR_COPIES = "hypothesis.internal.conjecture.engine.ConjectureRunner.generate_mutations_from"


class OfMails(Crossing):
    """Only what befalls a mail, after the campaign was taken over."""

    beginnings = ("ours",)
    to_the_end = False
    time_goes_by = it_is_imported = the_views_follow = None  # type: ignore[assignment]
    the_old_application_was_not_stopped = None  # type: ignore[assignment]


class OfTheOldApplication(Crossing):
    """Only what befalls a lead whose mail the old application has sent, and has not said so."""

    beginnings = ("observed",)
    stands = ("sending, mailed",)
    to_the_end = False
    time_goes_by = a_person_acts = a_sender_ticks = the_views_follow = None  # type: ignore[assignment]
    the_old_application_was_not_stopped = None  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def undisturbed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing waits, and nobody writes what has gone wrong on purpose."""
    monkeypatch.setattr("runner.sending.recording.RETRY_EVERY_S", 0)
    # Five of six examples would be near copies of the one before: too dear for what they find.
    monkeypatch.setattr(NEAR_COPIES, lambda *_: None, raising=False)
    before = structlog.get_config()
    structlog.configure(processors=[_dropped])
    yield
    structlog.configure(**before)


def _dropped(_logger: object, _method: str, _entry: structlog.typing.EventDict) -> structlog.typing.EventDict:
    raise structlog.DropEvent


def play(databases: Databases, machine: Callable[[Databases], Crossing] = Crossing, **how: Any) -> None:
    def crossing() -> Crossing:
        return machine(databases)

    chosen = {"stateful_step_count": STEPS, "deadline": None, "suppress_health_check": list(HealthCheck), **how}
    run_state_machine_as_test(crossing, settings=settings(**chosen))  # type: ignore[arg-type]


@pytest.mark.timeout(0 if EXAMPLES else 120)
def test_nobody_is_mailed_twice_and_nobody_is_lost_whatever_happens(databases: Databases, kind: Kind) -> None:
    if EXAMPLES:
        play(databases, max_examples=int(EXAMPLES), print_blob=True)
    else:
        play(databases, max_examples=FEW[kind], derandomize=True, phases=[Phase.generate])


# --- rules knocked out ---


def nobody_asks_who_owns_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "holds_for_sender", lambda *_: None)


def nobody_asks_whether_the_lead_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    real = gate.holds_lead_back

    def mutant(campaign: Campaign, position: int, *rendered: Any) -> Wait | None:
        wait = real(campaign, position, *rendered)
        return None if wait is not None and wait.rule is Rule.LEAD else wait

    monkeypatch.setattr(gate, "holds_lead_back", mutant)


def time_makes_a_locked_lead_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """T5."""
    real = commands.record_in_doubt

    def mutant(campaign: Campaign, token: str, cause: str, *, now: datetime) -> list[e.Event]:
        if cause != recording.GONE:
            return real(campaign, token, cause, now=now)
        return commands.record_failed(campaign, token, commands.Failure("lock", permanent=False), now=now)

    monkeypatch.setattr(commands, "record_in_doubt", mutant)


def an_old_repair_makes_a_sending_lead_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """T6."""
    real = legacy.follow_status

    def mutant(campaign: Campaign, position: int, status: e.V1Status, at: datetime) -> None:
        observed = legacy.observed_attempt(campaign, position)
        if status == "queued" and observed is not None and campaign.roll.state(position) is LeadState.LOCKED:
            campaign.open.pop(observed.token)
            campaign.wait_again(position, at)
        real(campaign, position, status, at)

    monkeypatch.setattr(legacy, "follow_status", mutant)


@on_sqlite
@pytest.mark.parametrize(
    ("knock_out", "machine"),
    [
        (nobody_asks_who_owns_it, OfMails),
        (nobody_asks_whether_the_lead_waits, OfMails),
        (time_makes_a_locked_lead_free, OfMails),
        (an_old_repair_makes_a_sending_lead_free, OfTheOldApplication),
    ],
)
def test_the_machine_notices_a_rule_that_is_knocked_out(
    knock_out: Callable[[pytest.MonkeyPatch], None],
    machine: Callable[[Databases], Crossing],
    databases: Databases,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    knock_out(monkeypatch)
    with pytest.raises(AssertionError, match=r"I\d|is locked"):
        play(
            databases,
            machine,
            max_examples=ENOUGH,
            stateful_step_count=STEPS_AT_ONE_RULE,
            derandomize=True,
            phases=[Phase.generate],
        )
