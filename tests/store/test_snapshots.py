"""Snapshots: a cache that equals the fold of the whole stream, and is ignored as soon as it does not fit."""

from __future__ import annotations

from collections.abc import MutableMapping
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy.engine import URL

import runner.store.ledger
from domain.snapshot import freeze, freeze_mailbox
from projections.database import is_sqlite
from runner.store.ledger import Ledger
from tests.another_program import run
from tests.domain.given import running
from tests.domain.test_snapshot import eventful
from tests.store.given import CAMPAIGN, folded, given, held, one_more_a_day

EVERY = 4

NO_ROOM = {
    "sqlite": ["CREATE TRIGGER no_room BEFORE INSERT ON snapshots BEGIN SELECT RAISE(ABORT, 'no room'); END"],
    "postgresql": [
        "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no room'; END $$",
        "CREATE TRIGGER no_room BEFORE INSERT ON snapshots EXECUTE FUNCTION no_room()",
    ],
}


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot is due after a few events."""
    monkeypatch.setattr(runner.store.ledger, "SNAPSHOT_EVERY", EVERY)


def anew(database: URL) -> bytes:
    """The state as a fresh start holds it."""
    with closing(Ledger(database)) as ledger:
        return held(ledger)


def snapshot_version(database: URL) -> int:
    """Of the newest snapshot; 0 when there is none."""
    [(version,)] = run(database, "SELECT coalesce(max(version), 0) FROM snapshots")
    return int(version)


def forge(ledger: Ledger, database: URL) -> bytes:
    """A snapshot that fits and lies about the state: who believes it has used it. Returns what it says."""
    with ledger.campaign(1) as campaign:
        campaign.name = "Forged"
        run(database, "UPDATE snapshots SET state = :lie", lie=(lie := freeze(campaign)))
        campaign.name = "Autumn"
    return lie


def test_a_start_from_a_snapshot_holds_the_same_state_as_a_full_fold(ledger: Ledger, database: URL) -> None:
    given(ledger, eventful())
    ledger.snapshot(1)
    assert snapshot_version(database) == ledger.version(CAMPAIGN)
    assert anew(database) == folded(ledger)


def test_a_start_from_a_snapshot_and_the_events_after_it_holds_the_same_state(
    ledger: Ledger, other: Ledger, database: URL
) -> None:
    given(ledger)
    ledger.snapshot(1)
    for _ in range(3):
        other.on_campaign(1, one_more_a_day)
    assert snapshot_version(database) == ledger.version(CAMPAIGN) - 3
    assert anew(database) == folded(ledger)


@pytest.mark.usefixtures("often")
def test_a_snapshot_is_taken_when_it_is_due_and_there_is_one_a_campaign(ledger: Ledger, database: URL) -> None:
    given(ledger)
    held(ledger)
    first = snapshot_version(database)
    assert first == ledger.version(CAMPAIGN)
    for nth in range(1, 2 * EVERY + 1):
        ledger.on_campaign(1, one_more_a_day)
        assert snapshot_version(database) == first + nth // EVERY * EVERY
    assert run(database, "SELECT stream FROM snapshots") == [(CAMPAIGN,)]
    assert anew(database) == folded(ledger)


@pytest.mark.usefixtures("often")
def test_a_mailbox_has_one_too_however_many_mails_it_has_sent(ledger: Ledger, database: URL) -> None:
    world = running(*[5] * EVERY)
    for position in range(EVERY):
        world.delivered(position)
    given(ledger, world)
    with ledger.mailbox("sales") as mailbox:
        frozen = freeze_mailbox(mailbox)
    assert frozen == freeze_mailbox(world.mailbox)
    assert run(database, "SELECT version, state FROM snapshots") == [(1 + EVERY, frozen)]
    world.mailbox.daily_limit = 7
    lie = freeze_mailbox(world.mailbox)
    run(database, "UPDATE snapshots SET state = :lie", lie=lie)
    with closing(Ledger(database)) as fresh, fresh.mailbox("sales") as mailbox:
        assert freeze_mailbox(mailbox) == lie


def test_a_snapshot_that_fits_is_what_a_start_reads(ledger: Ledger, database: URL) -> None:
    given(ledger)
    ledger.snapshot(1)
    lie = forge(ledger, database)
    assert anew(database) == lie != folded(ledger)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE snapshots SET shape = 'of an older program'",
        "UPDATE snapshots SET position = position + 1",
        "UPDATE snapshots SET position = position - 1",
        "UPDATE snapshots SET version = version + 1",
        "UPDATE snapshots SET version = version - 1",
        "UPDATE snapshots SET stream = 'campaign-2'",
    ],
)
def test_a_snapshot_that_does_not_fit_is_ignored(ledger: Ledger, database: URL, change: str) -> None:
    given(ledger)
    ledger.snapshot(1)
    forge(ledger, database)
    run(database, change)
    assert anew(database) == folded(ledger)


@pytest.mark.usefixtures("often")
def test_one_that_does_not_fit_is_replaced_by_the_next(ledger: Ledger, database: URL) -> None:
    given(ledger)
    ledger.snapshot(1)
    forge(ledger, database)
    run(database, "UPDATE snapshots SET shape = 'of an older program'")
    assert anew(database) == folded(ledger)
    assert run(database, "SELECT count(*) FROM snapshots WHERE shape = 'of an older program'") == [(0,)]
    assert anew(database) == folded(ledger)


@pytest.mark.usefixtures("often")
def test_events_are_stored_though_the_snapshot_is_not(
    ledger: Ledger, database: URL, log: list[MutableMapping[str, Any]]
) -> None:
    given(ledger)
    for statement in NO_ROOM["sqlite" if is_sqlite(database) else "postgresql"]:
        run(database, statement)
    for _ in range(EVERY):
        ledger.on_campaign(1, one_more_a_day)
    assert snapshot_version(database) == 0
    assert {entry["event"] for entry in log} == {"snapshot not taken"}
    assert held(ledger) == folded(ledger) == anew(database)
