"""A connection is lost around a commit: what was stored is stored once, and whoever asks learns which it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from eventsourcing.persistence import OperationalError, PersistenceError, StoredEvent
from sqlalchemy.engine import URL

from runner.store.ledger import Ledger
from tests.another_program import end_connections
from tests.databases import on_postgresql
from tests.faults.processes import TIMEOUT_S, wait_until
from tests.store.cable import Cable, Moment, cable
from tests.store.given import CAMPAIGN, folded, given, held, one_more_a_day, recorder_of
from tests.store.test_together import limits, on, together

moments = pytest.mark.parametrize(
    ("moment", "stored"), [("before the server hears of it", False), ("before its answer is heard", True)]
)


@pytest.fixture
def line(database: URL) -> Iterator[Cable]:
    with cable(database) as line:
        yield line


@pytest.fixture
def far(line: Cable) -> Iterator[Ledger]:
    """A ledger that is reached by the cable."""
    ledger = Ledger(line.url)
    yield ledger
    ledger.close()


def settled(ledger: Ledger, version: int) -> None:
    """The server takes a moment to end what was cut off."""
    wait_until(lambda: ledger.version(CAMPAIGN) == version)


@on_postgresql
@moments
@pytest.mark.parametrize("first_in_line", [False, True])
def test_a_lost_commit_is_an_error_that_is_tried_once_and_the_next_decision_knows_what_became_of_it(
    line: Cable, far: Ledger, ledger: Ledger, moment: Moment, stored: bool, first_in_line: bool
) -> None:
    given(ledger)
    before, version = held(far), ledger.version(CAMPAIGN)
    line.cut_at_commit(moment)
    with pytest.raises(OperationalError):
        far.on_campaign(1, one_more_a_day, first_in_line=first_in_line)
    assert line.cut.wait(TIMEOUT_S)
    settled(ledger, version + stored)
    assert first_in_line or held(far) == before
    assert limits(far.on_campaign(1, one_more_a_day)) == [1001 + stored]
    assert held(far) == folded(ledger)


@on_postgresql
@moments
def test_after_a_lost_commit_the_ledger_is_read_back_at_once_by_another_connection(
    line: Cable, far: Ledger, ledger: Ledger, moment: Moment, stored: bool
) -> None:
    given(ledger)
    held(far)
    far.refresh()
    version = ledger.version(CAMPAIGN)
    line.cut_at_commit(moment)
    with pytest.raises(OperationalError):
        far.on_campaign(1, one_more_a_day)
    settled(ledger, version + stored)
    assert far.refresh() == ({CAMPAIGN} if stored else set())
    assert held(far) == folded(ledger)


@on_postgresql
@moments
def test_a_lost_commit_of_many_decisions_leaves_the_states_as_they_are_stored(
    line: Cable, far: Ledger, ledger: Ledger, moment: Moment, stored: bool
) -> None:
    given(ledger)
    held(far)
    version = ledger.version(CAMPAIGN)
    line.cut_at_commit(moment)
    for future in together(far, *[on(far)] * 3):
        with pytest.raises(OperationalError):
            future.result()
    settled(ledger, version + 3 * stored)
    far.refresh()
    assert held(far) == folded(ledger)
    assert limits(far.on_campaign(1, one_more_a_day)) == [1001 + 3 * stored]


@on_postgresql
@moments
def test_an_append_of_many_events_whose_commit_was_lost_is_there_whole_or_not_at_all(
    line: Cable, far: Ledger, ledger: Ledger, moment: Moment, stored: bool
) -> None:
    events = [StoredEvent(CAMPAIGN, 1 + number, "CampaignCompleted/1", b"{}") for number in range(1000)]
    line.cut_at_commit(moment)
    with pytest.raises(OperationalError):
        recorder_of(far).append(events)
    settled(ledger, 1000 * stored)


@on_postgresql
def test_connections_that_a_server_ended_cost_one_error_and_not_one_each(ledger: Ledger, database: URL) -> None:
    given(ledger)
    together(ledger, *[on(ledger)] * 3)
    pool = ledger.factory.datastore.pool  # type: ignore[attr-defined]
    connections = [pool.getconn() for _ in range(5)]
    for connection in connections:
        pool.putconn(connection)
    end_connections(database)
    with pytest.raises(PersistenceError):
        ledger.refresh()
    for _ in range(10):
        ledger.refresh()


@on_postgresql
def test_while_the_server_is_away_one_wait_is_all_that_it_takes_to_say_so(
    line: Cable, database: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library would try ten times, with a wait for a connection each."""
    monkeypatch.setattr("runner.store.postgres.CONNECT_TIMEOUT_S", 0.3)
    with closing(Ledger(line.url)) as ledger:
        waits: list[float] = []
        pool = ledger.factory.datastore.pool  # type: ignore[attr-defined]
        getconn = pool.getconn

        def counted(timeout: float | None = None) -> object:
            waits.append(pool.timeout)
            return getconn(timeout)

        monkeypatch.setattr(pool, "getconn", counted)
        line.close()
        end_connections(database)
        for _ in range(2):
            for read in (ledger.refresh, ledger.position, lambda: ledger.version(CAMPAIGN)):
                waits.clear()
                with pytest.raises(OperationalError):
                    read()
                assert len(waits) == 1
