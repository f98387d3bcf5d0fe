"""Given a ledger on a server, when its owner lets an auditor in, then that role can verify all, and do nothing else."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from runner.sink import Sink
from runner.store.postgres import connection_string
from tests.cli.audits import sends_two_campaigns
from tests.cli.desk import BAD_INPUT, Desk
from tests.cli.test_roles import CHANGES, NO_RIGHT, READ, RIGHTS_ON_COLUMNS, VIEWS, acting_as, asked, rights
from tests.databases import Databases, PostgresDatabases, on_postgresql

pytestmark = on_postgresql

AUDITED = ("stored_events", "alembic_version", "ledger_info", "checkpoints", "contacts", "kept_mails", *VIEWS)
ANSWERS = (
    *("audit sends", "audit sends --by v2 --outcome sent", "audit person jan@customer.example", "audit mail 1 1"),
    *("audit systems --by-day", "audit rules", "audit verify --public-key ledger.pub", "sendlog", "ticks", "check"),
)
REFUSED = {
    **CHANGES,
    "erase jan@customer.example --reason asked": "suppressed",
    "suppress list": "suppressed",
}
STATEMENTS = (
    "INSERT INTO stored_events (originator_id, originator_version, topic, state) VALUES ('x', 1, 'x/1', '')",
    "UPDATE stored_events SET topic = topic",
    "DELETE FROM stored_events",
    "TRUNCATE stored_events",
    "INSERT INTO checkpoints VALUES (1, 0, 1, '', '', '')",
    "DELETE FROM checkpoints",
    "UPDATE send_log SET outcome = outcome",
    "UPDATE progress SET position = 0",
    "DELETE FROM contacts",
    "SELECT * FROM suppressed",
    "SELECT * FROM replies",
    "SELECT * FROM mailbox_identities",
    "SELECT * FROM snapshots",
    "CREATE TABLE mine (a int)",
)


@pytest.fixture
def office(folder: Path, databases: Databases, sink: Sink) -> Desk:
    """Two campaigns that were sent, in a ledger on a server, and the public key beside it."""
    assert isinstance(databases, PostgresDatabases)
    desk = Desk(folder, databases.empty())
    assert desk.server is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SENDLEDGER_DATABASE_URL", desk.server.render_as_string(hide_password=False))
        sends_two_campaigns(desk, sink)
        desk.write("ledger.pub", desk.done("audit", "key"))
    return desk


@pytest.fixture
def auditor(office: Desk, databases: Databases) -> str:
    """A role that audits."""
    assert isinstance(databases, PostgresDatabases)
    assert office.server is not None
    role = databases.role()
    with acting_as(str(office.server.username), office):
        office.done("db", "grant", "--auditor", role)
    return role


def test_an_auditor_sees_and_verifies_all_while_the_views_lag_behind(office: Desk, auditor: str) -> None:
    """Nobody has asked the views before: what they lack is folded for the auditor alone, and they stay as they were."""
    position = "SELECT position FROM progress WHERE %s::text IS NOT NULL"
    before = asked(office, position, "any")
    (office.folder / "sendledger.key").unlink()
    (office.folder / "sendledger.seal.key").unlink()
    with acting_as(auditor, office):
        told = {words: office.rows(*words.split()) for words in ANSWERS}
        office.done("audit", "prove", "1", "1", "--public-key", "ledger.pub", "-o", "proof")
        assert office.done("audit", "check-proof", "proof", "--public-key", "ledger.pub").startswith("Holds: ")
        assert "is not known here" in office.done("audit", "person", "jan@customer.example")
    assert asked(office, position, "any") == before
    assert {row["verdict"] for row in told["audit verify --public-key ledger.pub"]} == {"PASS"}
    assert len(told["audit sends"]) == 8
    with acting_as("postgres", office):
        assert {words: office.rows(*words.split()) for words in ANSWERS} == told


def test_an_auditor_changes_nothing_whatever_is_tried(office: Desk, auditor: str) -> None:
    office.campaign_file(("Autumn 2026", "Other"), name="winter.toml")
    office.write("more.csv", "email,first_name\nola@customer.example,Ola\n")
    with acting_as(auditor, office):
        before = office.everything()
        for words, what in REFUSED.items():
            said = office.says(*words.split())
            assert said.code == BAD_INPUT, words
            assert "permission denied for" in said.err or "reached" in said.err, (words, what, said.err)
            assert said.err.endswith(NO_RIGHT), words
    assert office.everything() == before
    assert office.server is not None
    for statement in STATEMENTS:
        with (
            psycopg.connect(connection_string(office.server.set(username=auditor))) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(statement)


def test_an_auditor_has_these_rights_and_no_other_before_and_after_a_rebuild(office: Desk, auditor: str) -> None:
    for _ in range(2):
        assert rights(office, auditor) == dict.fromkeys(AUDITED, READ)
        assert asked(office, RIGHTS_ON_COLUMNS, auditor) == []
        with acting_as("postgres", office):
            office.done("rebuild")
