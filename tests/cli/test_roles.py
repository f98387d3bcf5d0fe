"""Given a ledger on a server, when its owner gives rights to a role that sends and to one that reads, then each can do
its work and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from runner.sink import Sink
from runner.store.postgres import connection_string
from tests.cli.desk import BAD_INPUT, MONDAY, Desk, Said
from tests.cli.test_story import sends_two_campaigns
from tests.databases import Databases, PostgresDatabases, on_postgresql
from tests.smtp.scripted import BEHAVED, ScriptedServer, in_turn

pytestmark = on_postgresql

NO_RIGHT = "This role may not do that: run it as the owner of the database, or give rights by `sendledger db grant`.\n"
READ = {"SELECT"}
CHANGE = {"SELECT", "INSERT", "UPDATE", "DELETE"}
VIEWS = (
    *("campaigns", "leads", "send_log", "campaign_days", "mailboxes", "mailbox_days", "runners", "ticks"),
    *("cutovers", "shadows", "event_counts", "progress"),
)
OF_THE_DAEMON = {
    "stored_events": READ,  # and INSERT on columns
    "alembic_version": READ,
    "ledger_info": {"SELECT", "DELETE"},
    "contacts": CHANGE,
    "contents": {"SELECT", "INSERT"},
    "mailbox_identities": {"SELECT", "INSERT"},
    "kept_mails": {"SELECT", "INSERT", "DELETE"},
    "replies": CHANGE,
    "suppressed": {"SELECT", "INSERT", "DELETE"},
    "snapshots": {"SELECT", "INSERT", "DELETE"},
    "checkpoints": {"SELECT", "INSERT"},
    **dict.fromkeys(VIEWS, CHANGE),
}
RIGHTS = """
SELECT relname, array_agg(privilege_type) FROM pg_class, aclexplode(relacl)
WHERE grantee = %s::regrole AND relnamespace = 'public'::regnamespace GROUP BY relname
"""
RIGHTS_ON_COLUMNS = """
SELECT attrelid::regclass::text, attname, privilege_type FROM pg_attribute, aclexplode(attacl)
WHERE grantee = %s::regrole
"""

LISTINGS = (
    *("status", "queue 1", "sendlog", "why 1", "why 1 --lead 2", "campaign list", "campaign show 1", "mailbox list"),
    *("mailbox days sales", "ticks", "in-doubt list", "suppress list", "check"),
)
CHANGES = {
    "campaign cancel 1": "stored_events",
    "campaign create winter.toml": "stored_events",
    "campaign edit 1 winter.toml": "stored_events",
    "campaign pause 1": "stored_events",
    "campaign resume 2": "stored_events",
    "campaign retry 1 --failed --reason mended": "stored_events",
    "campaign start 3": "stored_events",
    "in-doubt resolve 1 2 --sent --evidence log": "stored_events",
    "leads import 1 more.csv": "stored_events",
    "mailbox add office --from anna@sender.example --smtp-host 127.0.0.1 --smtp-tls none": "stored_events",
    "mailbox pause sales": "stored_events",
    "mailbox set sales --daily-limit 7": "stored_events",
    "rebuild": "schema public",
    "rebuild --check": "progress",
    "run --until 2026-10-05T12:00Z": "stored_events",
    "suppress add max@customer.example": "suppressed",
    "suppress import more.csv": "suppressed",
    "suppress remove ewa@customer.example": "suppressed",
    "tick v1": "stored_events",
}
"""Each with the table, or schema, that it may not change."""


@pytest.fixture
def servers(databases: Databases) -> PostgresDatabases:
    assert isinstance(databases, PostgresDatabases)
    return databases


@pytest.fixture
def desk(folder: Path, servers: PostgresDatabases) -> Desk:
    """Of the owner, who has made the ledger."""
    desk = Desk(folder, servers.empty())
    assert desk.server is not None
    url = desk.server.render_as_string(hide_password=False)
    desk.done("init", "--simulated", "--start", f"{MONDAY}T08:00+02:00", "--database-url", url)
    return desk


@pytest.fixture
def daemon(desk: Desk, servers: PostgresDatabases) -> str:
    """A role that sends."""
    role = servers.role()
    desk.done("db", "grant", "--daemon", role)
    return role


@pytest.fixture
def reader(desk: Desk, servers: PostgresDatabases) -> str:
    """A role that reads."""
    role = servers.role()
    desk.done("db", "grant", "--reader", role)
    return role


@contextmanager
def acting_as(role: str, desk: Desk) -> Iterator[None]:
    """Whoever gives commands logs in by this role."""
    assert desk.server is not None
    with pytest.MonkeyPatch.context() as patch:
        url = desk.server.set(username=role)
        patch.setenv("SENDLEDGER_DATABASE_URL", url.render_as_string(hide_password=False))
        yield


def asked(desk: Desk, query: str, role: str) -> list[tuple[str, ...]]:
    assert desk.server is not None
    with psycopg.connect(connection_string(desk.server)) as connection:
        return connection.execute(query, (role,)).fetchall()


def rights(desk: Desk, role: str) -> dict[str, set[str]]:
    return {table: set(kinds) for table, kinds in asked(desk, RIGHTS, role)}


# --- who sends ---


def test_a_role_that_sends_can_do_everything_from_day_to_day(desk: Desk, daemon: str, sink: Sink) -> None:
    with acting_as(daemon, desk):
        sends_two_campaigns(desk, sink, "v2")
        assert {row["verdict"] for row in desk.rows("check")} <= {"PASS", "NO DATA"}
        [runners] = desk.folder.glob("*.runners")
        (runners / "guard.json").unlink()
        desk.done("runner", "register", "--reason", "moved to this machine")
    assert desk.rows("rebuild", "--check") == []
    assert sink.accepted == 3


def test_a_role_that_sends_can_settle_what_is_in_doubt(desk: Desk, daemon: str) -> None:
    with ScriptedServer({"DOT": b"what was that?\r\n"}) as server, acting_as(daemon, desk):
        desk.mailbox(server.port)
        desk.campaign(people="email,first_name\njan@customer.example,Jan\n")
        desk.done("run", "--until", f"{MONDAY}T12:00+02:00")
        assert len(desk.rows("in-doubt", "list")) == 1
        desk.done("in-doubt", "resolve", "1", "1", "--sent", "--evidence", "relay log")
        assert desk.rows("status")[0]["sent"] == 1


def test_a_role_that_sends_has_these_rights_and_no_other_before_and_after_a_rebuild(desk: Desk, daemon: str) -> None:
    for _ in range(2):
        assert rights(desk, daemon) == OF_THE_DAEMON
        assert set(asked(desk, RIGHTS_ON_COLUMNS, daemon)) == {
            ("stored_events", column, "INSERT") for column in ("originator_id", "originator_version", "topic", "state")
        }
        desk.done("rebuild")


def test_a_role_that_sends_reads_no_table_that_is_not_ours(desk: Desk, servers: PostgresDatabases) -> None:
    assert desk.server is not None
    with psycopg.connect(connection_string(desk.server)) as connection:
        connection.execute("CREATE TABLE wages (name text)")
    role = servers.role()
    desk.done("db", "grant", "--daemon", role)
    with (
        psycopg.connect(connection_string(desk.server.set(username=role))) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("SELECT * FROM wages")


@pytest.mark.parametrize("options", [(), ("--check",)], ids=["rebuild", "check"])
def test_a_role_that_sends_cannot_rebuild_and_is_told_who_can(desk: Desk, daemon: str, options: tuple[str]) -> None:
    with acting_as(daemon, desk):
        said = desk.refused("rebuild", *options)
    assert "permission denied for schema public" in said
    assert said.endswith(NO_RIGHT)
    desk.done("rebuild", *options)


def test_after_a_rebuild_by_the_owner_senders_and_readers_go_on(desk: Desk, daemon: str, reader: str) -> None:
    with acting_as(daemon, desk):
        desk.mailbox()
        desk.campaign()
        desk.done("status")
    desk.done("rebuild")
    with acting_as(daemon, desk):
        desk.campaign()
        assert len(desk.rows("status")) == 2
    with acting_as(reader, desk):
        assert len(desk.rows("status")) == 2


# --- who reads ---


@pytest.fixture
def busy(desk: Desk) -> Desk:
    """A campaign with something of everything, one that is paused, and a draft."""
    nobody = in_turn(b"550 5.1.1 nobody here\r\n", BEHAVED["RCPT"])
    with ScriptedServer({"DOT": b"what was that?\r\n", "RCPT": nobody}) as server:
        desk.mailbox(server.port)
        desk.campaign()
        desk.done("suppress", "add", "ewa@customer.example")
        desk.done("run", "--until", f"{MONDAY}T09:03+02:00")
    desk.campaign()
    desk.done("campaign", "pause", "2")
    desk.campaign(started=False)
    desk.campaign_file(("Autumn 2026", "Winter 2026"), ("delay_s = 90", "delay_s = 60"), name="winter.toml")
    desk.write("more.csv", "email,first_name\nola@customer.example,Ola\n")
    return desk


def test_a_reader_sees_all_there_is_and_changes_nothing(busy: Desk, reader: str) -> None:
    """What the views lack is folded for it alone: nobody has asked them since."""
    shown_to_the_reader = {}
    with acting_as(reader, busy):
        for listing in LISTINGS:
            shown_to_the_reader[listing] = busy.rows(*listing.split())
        refused: dict[str, Said] = {}
        before = busy.everything()
        for change in CHANGES:
            refused[change] = busy.says(*change.split())
    assert shown_to_the_reader == {listing: busy.rows(*listing.split()) for listing in LISTINGS}
    assert {change: said.code for change, said in refused.items()} == dict.fromkeys(CHANGES, BAD_INPUT)
    for change, what in CHANGES.items():
        assert f"permission denied for {'table ' if ' ' not in what else ''}{what}" in refused[change].err, change
        assert refused[change].err.endswith(NO_RIGHT)
    assert busy.everything() == before


def test_a_reader_sees_what_was_appended_a_moment_ago(desk: Desk, reader: str) -> None:
    desk.mailbox()
    with acting_as(reader, desk):
        assert desk.rows("status") == []
    desk.campaign()
    with acting_as(reader, desk):
        for _ in range(2):
            assert [(row["status"], row["queued"]) for row in desk.rows("status")] == [("running", 4)]
    assert desk.rows("rebuild", "--check") == []


def test_a_reader_who_cannot_keep_a_snapshot_says_nothing_of_it(desk: Desk, reader: str) -> None:
    desk.mailbox()
    people = "".join(f"p{number}@customer.example,P\n" for number in range(5_000))
    desk.campaign(people=f"email,first_name\n{people}", started=False)
    desk.sql("DELETE FROM snapshots")
    with acting_as(reader, desk):
        said = desk.says("status", "--format", "json")
    assert (said.code, said.err) == (0, "")
    assert json.loads(said.out)[0]["queued"] == 5_000
    assert desk.kept()["snapshots"] == []


def test_a_reader_has_the_right_to_read_and_no_other(desk: Desk, reader: str) -> None:
    for _ in range(2):
        assert rights(desk, reader) == dict.fromkeys(OF_THE_DAEMON, READ)
        assert asked(desk, RIGHTS_ON_COLUMNS, reader) == []
        desk.done("rebuild")


# --- granting ---


def test_rights_can_be_looked_at_first_and_given_again(desk: Desk, servers: PostgresDatabases) -> None:
    roles = servers.role(), servers.role()
    words = ("db", "grant", "--daemon", roles[0], "--reader", roles[1])
    told = desk.done(*words, "--dry-run")
    assert told.endswith("Nothing was changed.\n")
    assert [rights(desk, role) for role in roles] == [{}, {}]
    *statements, _ = told.splitlines()
    for _ in range(2):
        assert desk.done(*words).splitlines() == [*statements, f"{len(statements)} rights granted."]
        assert rights(desk, roles[0]) == OF_THE_DAEMON


def test_a_role_that_is_not_there_is_named_and_nobody_gets_a_right(desk: Desk, servers: PostgresDatabases) -> None:
    role = servers.role()
    said = desk.refused("db", "grant", "--daemon", role, "--reader", "nobody")
    assert said.startswith("sendledger: there is no role nobody on the server. Make it first: CREATE ROLE nobody ")
    assert rights(desk, role) == {}
    assert "--daemon, --reader or --auditor: is missing. Name a role." in desk.refused("db", "grant")


def test_only_the_owner_gives_rights(desk: Desk, daemon: str, servers: PostgresDatabases) -> None:
    role = servers.role()
    with acting_as(daemon, desk):
        said = desk.refused("db", "grant", "--daemon", role)
    assert said.endswith("only their owner gives rights on tables. Run it as postgres.\n")
    assert rights(desk, role) == {}
