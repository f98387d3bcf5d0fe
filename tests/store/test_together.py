"""Decisions that come together are committed together, and what one of them meets is its own affair."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from threading import Event as Flag
from typing import Any

import pytest
from eventsourcing.persistence import IntegrityError, OperationalError
from sqlalchemy import select

from domain import commands
from domain.campaign import Campaign
from domain.errors import CommandRefused
from domain.events import Event, LimitsChanged
from domain.gate import LockRequest, lock
from projections import kept
from runner.store.ledger import Ledger
from tests.domain.given import NOON, running
from tests.faults.processes import TIMEOUT_S, wait_until
from tests.faults.steps import Fault, lose, struck
from tests.store.given import Decision, folded, given, held, one_more_a_day, recorder_of, refuse

ENTRY = {"address_hmac": "0" * 64, "reason": "asked for it", "added_at": "2026-10-05", "actor": "anna"}

Asked = Callable[[], list[Event]]
"""One thread's call of the ledger."""


def together(ledger: Ledger, *calls: Asked) -> list[Future[list[Event]]]:
    """All of them are made while another decision is being made, so that they wait for it, in this order."""
    go_on = Flag()

    def first(_campaign: Campaign) -> list[Event]:
        assert go_on.wait(TIMEOUT_S)
        return []

    with ThreadPoolExecutor(1 + len(calls)) as pool:
        under_way = pool.submit(ledger.on_campaign, 1, first)
        wait_until(ledger._turn.locked)
        futures = []
        for call in calls:
            before = len(ledger._waiting)
            futures.append(pool.submit(call))
            wait_until(lambda before=before: len(ledger._waiting) > before)  # type: ignore[misc]
        go_on.set()
        under_way.result(timeout=TIMEOUT_S)
    return futures


def on(ledger: Ledger, decision: Decision = one_more_a_day, number: int = 1, **other: Any) -> Asked:
    return lambda: ledger.on_campaign(number, decision, **other)


@pytest.fixture
def commits(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The appends of this process: each is a commit."""
    made: list[str] = []
    recorder = type(recorder_of(ledger))
    append, append_lock = recorder.append, recorder.append_lock

    def counted(*said: Any) -> None:
        made.append("append")
        append(*said)

    @contextmanager
    def locked(*said: Any) -> Iterator[Any]:
        made.append("append lock")
        with append_lock(*said) as appending:
            yield appending

    given(ledger)
    monkeypatch.setattr(recorder, "append", counted)
    monkeypatch.setattr(recorder, "append_lock", locked)
    return made


def limits(events: Sequence[Event]) -> list[int]:
    return [event.limits.daily_limit for event in events if isinstance(event, LimitsChanged)]


def test_decisions_that_wait_are_made_one_after_the_other_and_committed_together(
    ledger: Ledger, commits: list[str]
) -> None:
    futures = together(ledger, *[on(ledger)] * 5)
    assert [limits(future.result()) for future in futures] == [[1001], [1002], [1003], [1004], [1005]]
    assert commits == ["append lock"]
    assert held(ledger) == folded(ledger)


def test_a_decision_that_nobody_waits_with_takes_no_lock_before_it_has_something_to_append(
    ledger: Ledger, commits: list[str]
) -> None:
    ledger.on_campaign(1, lambda _: [])
    assert commits == []


def test_decisions_on_several_campaigns_and_their_mailbox_are_committed_together_too(
    ledger: Ledger, other: Ledger
) -> None:
    worlds = [given(ledger, running(5, 5, number=1))]
    worlds.append(given(ledger, running(5, 5, number=2, mailbox=worlds[0].mailbox)))
    requests = {1: worlds[0].request(0), 2: worlds[1].request(1)}
    held(ledger)
    other.on_campaign(2, one_more_a_day)  # what another process did meanwhile is seen by all

    def locked(number: int, request: LockRequest) -> Asked:
        return lambda: ledger.on_both(number, "sales", lambda c, m: lock(c, m, request, NOON))

    futures = together(ledger, *[locked(number, request) for number, request in requests.items()], on(ledger, number=2))
    assert [len(future.result()) for future in futures] == [2, 2, 1]
    assert limits(futures[2].result()) == [1002]
    with ledger.mailbox("sales") as mailbox, closing(Ledger(ledger.url)) as anew, anew.mailbox("sales") as stored:
        assert (mailbox.version, mailbox.mails.quarters()) == (stored.version, stored.mails.quarters())
        assert mailbox.version == 3
    for number in (1, 2):
        assert held(ledger, number) == folded(ledger, number)


def test_a_refusal_harms_no_other(ledger: Ledger, commits: list[str]) -> None:
    futures = together(ledger, on(ledger), on(ledger, refuse), on(ledger), on(ledger, refuse), on(ledger))
    assert [limits(futures[nth].result()) for nth in (0, 2, 4)] == [[1001], [1002], [1003]]
    for nth in (1, 3):
        with pytest.raises(CommandRefused, match="not now"):
            futures[nth].result()
    assert commits.count("append lock") == 1
    assert held(ledger) == folded(ledger)


def test_what_one_decision_uses_up_the_next_is_refused(ledger: Ledger) -> None:
    """Each is decided on what those before it decided, though nothing is stored yet."""
    world = given(ledger, running(5, 5, limits=running().campaign.limits.model_copy(update={"daily_limit": 1})))
    requests = [world.request(0), world.request(1)]
    futures = together(
        ledger,
        *[
            lambda request=request: ledger.on_both(1, "sales", lambda c, m: lock(c, m, request, NOON))
            for request in requests
        ],
    )
    assert len(futures[0].result()) == 2
    with pytest.raises(CommandRefused, match="daily limit"):
        futures[1].result()
    assert held(ledger) == folded(ledger)


def test_a_kept_row_that_does_not_fit_harms_its_own_decision_alone(ledger: Ledger) -> None:
    given(ledger)
    ledger.keep((kept.SUPPRESS, [ENTRY]))

    def keeps(number: int) -> Asked:
        entry = ENTRY | {"address_hmac": f"{number:064x}"}
        return on(ledger, keep=lambda _: [(kept.SUPPRESS, [entry])])

    futures = together(ledger, keeps(1), keeps(0), keeps(2))
    assert [limits(futures[nth].result()) for nth in (0, 2)] == [[1001], [1002]]
    with pytest.raises(IntegrityError):
        futures[1].result()
    assert len(ledger.fetch(select(kept.suppressed))) == 3
    assert held(ledger) == folded(ledger)


@pytest.mark.parametrize("step", ["in a transaction of changes", "after a commit of many"])
def test_a_commit_that_failed_or_was_not_answered_leaves_every_state_as_it_is_stored(
    ledger: Ledger, other: Ledger, step: str
) -> None:
    first = given(ledger)
    given(ledger, running(5, number=2, mailbox=first.mailbox))
    for number in (1, 2):
        held(ledger, number)
    with struck(Fault(step, 1, lose)):
        futures = together(ledger, on(ledger), on(ledger, number=2), on(ledger, refuse), on(ledger))
    for nth in (0, 1, 3):
        with pytest.raises(OperationalError):
            futures[nth].result()
    with pytest.raises(CommandRefused):
        futures[2].result()
    for number in (1, 2):
        assert held(ledger, number) == folded(ledger, number) == held(other, number)
    ledger.refresh()
    for number in (1, 2):
        assert held(ledger, number) == folded(ledger, number)
    stood = 1000 if step == "in a transaction of changes" else 1002
    assert limits(ledger.on_campaign(1, one_more_a_day)) == [stood + 1]


def test_an_object_that_somebody_holds_follows_after_a_commit_that_failed(ledger: Ledger) -> None:
    """The roster keeps campaigns by the object: one that was forgotten is filled anew, not replaced."""
    given(ledger)
    with ledger.campaign(1) as campaign:
        pass
    with struck(Fault("in a transaction of changes", 1, lose)):
        together(ledger, on(ledger), on(ledger))
    ledger.on_campaign(1, one_more_a_day)
    with ledger.campaign(1) as again:
        assert again is campaign
    assert campaign.limits.daily_limit == 1001


def test_an_operator_and_senders_together_are_decided_in_the_order_they_came(ledger: Ledger) -> None:
    given(ledger)

    def pause(campaign: Campaign) -> list[Event]:
        return commands.pause(campaign, actor="anna", reason=None, now=NOON)

    futures = together(ledger, on(ledger), on(ledger, pause, first_in_line=True), on(ledger, pause), on(ledger))
    assert [len(futures[nth].result()) for nth in (0, 1, 3)] == [1, 1, 1]
    with pytest.raises(CommandRefused, match="is paused"):
        futures[2].result()
    assert held(ledger) == folded(ledger)
