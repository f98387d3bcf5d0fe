"""Given a ledger, when a user says `sendledger rebuild`, with or without `--check`, then views are made or compared."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from runner.store.ledger import Ledger
from tests.cli.desk import DONE, FAILED, Desk
from tests.projections.given import all_rows, damage, projected, story, tables_of

STORY = story()


@pytest.fixture
def engine(own_engine: Engine) -> Engine:
    """Here a real ledger is behind the views."""
    return own_engine


@pytest.fixture(autouse=True)
def told(ledger: Ledger) -> None:
    """The ledger holds the story; its views have seen none of it."""
    ledger.append(STORY)


def test_a_rebuild_says_how_many_events_it_read(desk: Desk, engine: Engine) -> None:
    assert desk.done("rebuild") == f"Views rebuilt from {len(STORY)} events.\n"
    assert len(all_rows(engine)["leads"]) == 20


def test_a_check_of_sound_views_follows_the_ledger_and_is_content(desk: Desk, engine: Engine) -> None:
    assert desk.done("rebuild", "--check") == f"The views equal those rebuilt from {len(STORY)} events.\n"
    assert len(all_rows(engine)["leads"]) == 20


def test_a_check_names_table_and_key_of_what_was_tampered_with_and_changes_nothing(desk: Desk, engine: Engine) -> None:
    projected(engine, STORY)
    damage(engine)
    damaged, tables = all_rows(engine), tables_of(engine)

    said = desk.says("rebuild", "--check", "--format", "csv")

    assert said.code == FAILED
    for table, key in [
        ("campaigns", "{'id': 1}"),
        ("leads", "{'campaign_id': 1, 'position': 2}"),
        ("mailbox_days", "{'mailbox': 'sales', 'date': '1999-01-01'}"),
    ]:
        assert any(line.startswith(table) and key in line for line in said.out.splitlines()), said.out
    assert len(said.out.splitlines()) == 1 + 3
    assert (all_rows(engine), tables_of(engine)) == (damaged, tables)


def test_a_rebuild_mends_what_a_check_found(desk: Desk, engine: Engine) -> None:
    projected(engine, STORY)
    damage(engine)
    assert desk.says("rebuild", "--check").code == FAILED

    desk.done("rebuild")

    assert desk.says("rebuild", "--check").code == DONE
