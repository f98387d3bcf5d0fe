"""The journal: what it was told survives cuts and full disks, reaches the ledger once, and is kept for 30 days."""

from __future__ import annotations

import os
import resource
import stat
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.events import EmailFailed, EmailInDoubt, EmailSent, Event
from runner.clock import SimulatedClock
from runner.sending.journal import KEPT, Journal, Outcome, forget_old, journals
from runner.sending.liveness import Liveness
from runner.sending.recording import replay_journals
from runner.store.ledger import Ledger
from tests.domain.given import NOON, running

GONE = "runner-1"
"""Who holds the locks of these campaigns; nobody holds the lock of that process."""

LATER = NOON + timedelta(hours=3)
CLOCK = SimulatedClock(LATER)


@pytest.fixture
def token(ledger: Ledger) -> str:
    """Of the first of three leads, locked by a runner that is gone."""
    world = running(5, 5, 5)
    token = world.lock(0)
    ledger.append(world.history)
    return token


def sent(token: str, **other: Any) -> Outcome:
    said = {"campaign": 1, "token": token, "kind": "sent", "at": NOON, "code": 250, "enhanced": "2.0.0"}
    return Outcome.model_validate(said | other)


def outcomes(runners: Path) -> list[Outcome]:
    return [outcome for _, journal in journals(runners) for outcome in journal]


def replayed(ledger: Ledger, runners: Path) -> int:
    """What a runner that starts now does with the journals; how many facts were new."""
    with Liveness(runners, ledger.url) as alive:
        return replay_journals(ledger, runners, alive, CLOCK)


def facts(ledger: Ledger) -> list[Event]:
    return [event for _, event in ledger.read(0, 1000) if isinstance(event, EmailSent | EmailFailed | EmailInDoubt)]


def test_an_outcome_is_read_as_it_was_written(runners: Path) -> None:
    first, second = sent("token-00001", queue_id="4F1B"), sent("token-00002", kind="failed", permanent=True, code=554)
    Journal(runners, GONE).write(first)
    Journal(runners, GONE).write(second)
    Journal(runners, "another").write(first)
    assert list(journals(runners)) == [("another", [first]), (GONE, [first, second])]


def test_only_its_owner_may_read_a_journal(runners: Path) -> None:
    Journal(runners, GONE).write(sent("token-00001"))
    [path] = runners.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("cut", [b'{"campaign":1,"token":"token-0', b"\0" * 512, b"{}", b'\xff\xfe{"campaign"', b"[]"])
def test_a_line_that_a_crash_cut_is_left_out_and_takes_no_other_with_it(runners: Path, cut: bytes) -> None:
    journal = Journal(runners, GONE)
    journal.write(sent("token-00001"))
    [path] = runners.iterdir()
    with path.open("ab") as file:
        file.write(b"\n" + cut)
    journal.write(sent("token-00002"))
    assert outcomes(runners) == [sent("token-00001"), sent("token-00002")]


def test_a_disk_that_is_full_in_the_middle_of_a_line_is_an_error_and_the_next_line_is_whole(runners: Path) -> None:
    journal = Journal(runners, GONE)
    journal.write(sent("token-00001"))
    [path] = runners.iterdir()
    with ExitStack() as stack:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        stack.callback(resource.setrlimit, resource.RLIMIT_FSIZE, limits)
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, limits[1]))
        for _ in range(2):
            with pytest.raises(OSError, match=r"No space|too large"):
                journal.write(sent("token-00002"))
    journal.write(sent("token-00002"))
    assert outcomes(runners) == [sent("token-00001"), sent("token-00002")]


def test_a_journaled_outcome_is_recorded_with_the_time_of_the_answer_and_once(
    ledger: Ledger, runners: Path, token: str
) -> None:
    Journal(runners, GONE).write(sent(token, queue_id="4F1B"))
    assert replayed(ledger, runners) == 1
    assert replayed(ledger, runners) == 0
    [fact] = facts(ledger)
    assert isinstance(fact, EmailSent)
    assert (fact.token, fact.code, fact.queue_id, fact.lead_id) == (token, 250, "4F1B", 100)
    assert (fact.occurred_at, fact.recorded_at) == (NOON, LATER)


def test_an_outcome_that_was_journaled_twice_is_recorded_once(ledger: Ledger, runners: Path, token: str) -> None:
    for runner in (GONE, GONE, "another"):
        Journal(runners, runner).write(sent(token))
    assert replayed(ledger, runners) == 1
    assert len(facts(ledger)) == 1


@pytest.mark.parametrize(
    ("said", "fact", "state"),
    [
        ({"kind": "failed", "code": 451}, EmailFailed, "queued"),
        ({"kind": "failed", "code": 554, "permanent": True}, EmailFailed, "failed"),
        ({"kind": "in doubt", "code": None, "cause": "no complete reply in time"}, EmailInDoubt, "in doubt"),
    ],
)
def test_every_kind_of_outcome_is_recorded(
    ledger: Ledger, runners: Path, token: str, said: dict[str, Any], fact: type[Event], state: str
) -> None:
    Journal(runners, GONE).write(sent(token, **said))
    assert replayed(ledger, runners) == 1
    assert [type(told) for told in facts(ledger)] == [fact]
    with ledger.campaign(1) as campaign:
        assert campaign.roll.state(0).label == state


def test_an_acceptance_settles_what_was_put_in_doubt_before(ledger: Ledger, runners: Path, token: str) -> None:
    for outcome in (sent(token, kind="in doubt", cause="its runner is gone"), sent(token)):
        Journal(runners, GONE).write(outcome)
    assert replayed(ledger, runners) == 2
    with ledger.campaign(1) as campaign:
        assert campaign.roll.state(0).label == "sent"


@pytest.mark.usefixtures("token")
def test_an_outcome_whose_lock_is_not_in_the_ledger_is_nobodys(ledger: Ledger, runners: Path) -> None:
    position = ledger.position()
    Journal(runners, GONE).write(sent("never-stored"))
    assert replayed(ledger, runners) == 0
    assert ledger.position() == position


def test_the_journal_of_a_runner_that_lives_is_its_own_affair(ledger: Ledger, runners: Path, token: str) -> None:
    with Liveness(runners, ledger.url) as living:
        Journal(runners, living.runner).write(sent(token))
        assert replayed(ledger, runners) == 0
    assert replayed(ledger, runners) == 1


@pytest.mark.parametrize(("age", "left"), [(KEPT - timedelta(minutes=1), 1), (KEPT + timedelta(minutes=1), 0)])
def test_a_journal_is_kept_for_thirty_days_after_its_last_line(runners: Path, age: timedelta, left: int) -> None:
    assert timedelta(days=30) == KEPT
    Journal(runners, GONE).write(sent("token-00001"))
    [path] = runners.iterdir()
    now = datetime.now(UTC)
    written = (now - age).timestamp()
    os.utime(path, (written, written))
    forget_old(runners, now)
    assert len(list(runners.iterdir())) == left


def test_what_is_no_journal_is_never_removed(runners: Path) -> None:
    guard = runners / "guard.json"
    guard.touch()
    os.utime(guard, (0, 0))
    forget_old(runners, datetime.now(UTC))
    assert guard.exists()
