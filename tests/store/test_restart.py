"""The server crashes and comes back: what was reported stored is there, and the ledger goes on by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest
from eventsourcing.persistence import PersistenceError

from domain.events import LimitsChanged
from migrations.run import create
from runner.store.ledger import Ledger
from tests.databases import INFO, OwnServer, own_server
from tests.faults.processes import wait_until
from tests.store.given import CAMPAIGN, folded, given, held, one_more_a_day

AT_LEAST = 20


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OwnServer]:
    """With a ledger."""
    with own_server(tmp_path) as server:
        create(server.url, INFO)
        yield server


def test_after_a_crash_of_the_server_all_that_was_reported_stored_is_there_and_the_work_goes_on(
    server: OwnServer,
) -> None:
    ledger = Ledger(server.url)
    given(ledger)
    reported: list[int] = []
    failed: list[PersistenceError] = []
    enough = Event()

    def work() -> None:
        while not enough.is_set():
            try:
                [event] = ledger.on_campaign(1, one_more_a_day)
            except PersistenceError as error:
                failed.append(error)
            else:
                assert isinstance(event, LimitsChanged)
                reported.append(event.limits.daily_limit)

    thread = Thread(target=work)
    thread.start()
    try:
        wait_until(lambda: len(reported) >= AT_LEAST)
        server.crash()
        server.start()
        before = len(reported)
        wait_until(lambda: len(reported) >= before + AT_LEAST)
    finally:
        enough.set()
        thread.join()
    stored = [event.limits.daily_limit for event in ledger.stream(CAMPAIGN) if isinstance(event, LimitsChanged)]
    assert failed
    assert stored == list(range(1001, 1001 + len(stored)))
    assert set(reported) <= set(stored)
    assert len(stored) - len(reported) <= len(failed)  # those whose answer was lost
    assert held(ledger) == folded(ledger)
    ledger.close()
