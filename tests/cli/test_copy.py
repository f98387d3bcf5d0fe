"""Given a ledger, when it is copied to a server, then both hold the same, and mails leave from one of them only:
broken off at any point, it can be finished; and what does not fit is refused.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Iterator
from email import message_from_bytes
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.engine import URL

from migrations.run import create, current, shown
from projections import kept, views
from projections.database import sqlite_url
from runner.sending.liveness import Liveness
from runner.sink import Sink
from runner.store import copying
from runner.store.ledger import Ledger
from runner.store.postgres import connection_string
from tests.cli import victims
from tests.cli.desk import BAD_INPUT, FAILED, MONDAY, Desk
from tests.databases import INFO, PostgresDatabases
from tests.faults.processes import ended, started
from tests.projections.victims import Moment, killed_at

PEOPLE = "email,first_name\n" + "".join(f"p{number}@customer.example,P\n" for number in range(8))
TABLES = ["stored_events", *sorted({*kept.METADATA.tables, *views.METADATA.tables} - {"ledger_info"})]


@pytest.fixture
def servers(server: URL) -> Iterator[PostgresDatabases]:
    """Databases to copy to."""
    servers = PostgresDatabases(server)
    with servers.within():
        yield servers


@pytest.fixture
def target(servers: PostgresDatabases) -> URL:
    """An empty one."""
    return servers.empty()


def lived(desk: Desk, port: int) -> None:
    """A ledger with something in each table: mails sent and to be sent, a refusal, people who must not be mailed."""
    desk.ledger(clock=f"{MONDAY}T10:00+02:00")
    desk.mailbox(port)
    desk.campaign(people=f"{PEOPLE}gone@customer.example,G\n", started=False)
    desk.done("campaign", "edit", "1", desk.campaign_file(("the autumn catalogue", "our catalogue")))
    desk.done("suppress", "add", "p3@customer.example", "max@customer.example")
    desk.done("campaign", "start", "1")
    desk.done("run", "--until", f"{MONDAY}T10:06+02:00")
    desk.done("status")  # so that the views are up to date


@pytest.fixture
def source(desk: Desk, sink: Sink) -> Desk:
    """A ledger in a file, in the middle of its story."""
    lived(desk, sink.port)
    return desk


def to(target: URL) -> tuple[str, ...]:
    """The command that copies there."""
    return "db", "copy", "--to", target.render_as_string(hide_password=False)


def at(target: URL, monkeypatch: pytest.MonkeyPatch, desk: Desk) -> Desk:
    """The same desk, with settings that name the target from now on."""
    monkeypatch.setenv("SENDLEDGER_DATABASE_URL", target.render_as_string(hide_password=False))
    return Desk(desk.folder, target)


def held(desk: Desk) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables but the one about the ledger itself; of an event without its position."""
    rows = {name: sorted(map(tuple, found), key=repr) for name, found in desk.stored().items() if name in TABLES}
    return {**rows, "stored_events": sorted((row[:4] for row in rows["stored_events"]), key=repr)}


def positions(target: URL) -> list[int]:
    with psycopg.connect(connection_string(target)) as connection:
        return [row[0] for row in connection.execute("SELECT notification_id FROM stored_events ORDER BY 1")]


def info(target: URL) -> dict[str, str]:
    with psycopg.connect(connection_string(target)) as connection:
        return dict(connection.execute("SELECT key, value FROM ledger_info").fetchall())


# --- the whole way ---


def test_a_ledger_is_copied_proven_and_goes_on_in_its_new_place_without_a_mail_twice(
    desk_on_each: Desk, sink: Sink, tmp_path: Path, target: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = desk_on_each
    lived(old, sink.port)
    before, events = held(old), len(old.kept()["stored_events"])
    assert old.done(*to(target), "--dry-run") == (
        f"Would copy {events} events to {shown(target)}. Nothing was changed.\n"
    )
    assert current(target) is None

    compared = old.rows(*to(target))

    assert [(row["table"], row["rows"]) for row in compared if row["table"] == "stored_events"] == [
        ("stored_events", events)
    ]
    assert sorted(row["table"] for row in compared) == sorted(TABLES)
    assert len({row["sha256"] for row in compared}) > len(TABLES) / 2
    assert held(Desk(old.folder, target)) == held(old) == before
    assert positions(target) == list(range(1, events + 1))

    for command in (("tick", "v1"), ("run", "--until", f"{MONDAY}T12:00+02:00")):
        assert f"this ledger was copied to {shown(target)}, and what is sent from both goes out twice" in old.refused(
            *command
        )
    new = at(target, monkeypatch, old)
    assert "this machine has not sent from this ledger before" in new.refused("tick", "v1")
    new.done("runner", "register", "--reason", "moved to PostgreSQL")
    new.done("run", "--until", f"{MONDAY}T12:00+02:00")

    mails = Counter(
        str(message_from_bytes(file.read_bytes())["Message-ID"]) for file in (tmp_path / "mails" / "new").iterdir()
    )
    assert (set(mails.values()), len(mails)) == ({1}, 7)
    assert new.rows("status")[0]["sent"] == 7
    assert {row["verdict"] for row in new.rows("check")} == {"PASS"}
    assert new.rows("rebuild", "--check") == []
    assert positions(target) == list(range(1, len(new.kept()["stored_events"]) + 1))


def test_a_copy_that_was_given_up_lets_the_original_send_again(source: Desk, target: URL) -> None:
    source.done(*to(target))
    assert "this ledger was copied to" in source.refused("tick", "v1")
    assert source.done("runner", "register", "--reason", "copy given up") == (
        "This machine may send from this ledger.\n"
    )
    source.done("tick", "v1")
    source.done("run", "--until", f"{MONDAY}T12:00+02:00")
    assert source.rows("status")[0]["sent"] == 7


def test_people_are_told_what_was_compared_and_what_comes_next(source: Desk, target: URL) -> None:
    said = source.done(*to(target))
    assert all(table in said for table in TABLES)
    assert f"Both databases hold the same. Next: database_url = '{shown(target)}' in sendledger.toml," in said
    assert 'then sendledger runner register --reason "moved to PostgreSQL".' in said


def test_a_ledger_without_events_is_copied(desk: Desk, target: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.ledger()
    desk.done(*to(target))
    new = at(target, monkeypatch, desk)
    new.mailbox()
    assert positions(target) == [1]


def test_progress_is_told_by_table_and_the_proof_by_table(source: Desk, target: URL) -> None:
    told: list[tuple[str, int, int]] = []
    ledger = Ledger(sqlite_url(source.database))
    events = ledger.position()
    copying.prepare(target, "a ledger")
    copying.copy(ledger, target, lambda *said: told.append(said))
    ledger.close()
    assert ("events", events, events) in told
    assert ("views", events, events) in told
    assert {f"proof of {table}" for table in TABLES} <= {step for step, *_ in told}
    assert all(0 <= done <= total for _, done, total in told)


# --- broken off ---

MOMENTS = [
    *(Moment("CREATE TABLE contents"), Moment("COMMIT"), Moment("INSERT INTO stored_events")),
    *(Moment("INSERT INTO stored_events", 3), Moment("COMMIT", 4), Moment("ALTER TABLE stored_events")),
    *(Moment("INSERT INTO contacts"), Moment("DELETE FROM suppressed"), Moment("UPDATE rebuilt_progress")),
    *(Moment("DROP TABLE campaigns"), Moment("DELETE FROM ledger_info"), Moment("INSERT INTO ledger_info", 2)),
]
"""`INSERT INTO ledger_info` comes first when the tables are made, then when all is through."""


def test_until_it_is_through_the_original_sends(source: Desk, target: URL) -> None:
    killed(source, target, Moment("INSERT INTO contacts"))
    source.done("tick", "v1")
    source.done(*to(target))
    assert held(Desk(source.folder, target)) == held(source)


def killed(source: Desk, target: URL, moment: Moment) -> None:
    work = partial(victims.copy_from, source.folder)
    assert ended(started(killed_at, moment, work, target)) == -signal.SIGKILL


# --- differences ---

FORGES = "CREATE FUNCTION forge() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.{} := 'forged'; RETURN NEW; END $$;"
BEFORE = "CREATE TRIGGER forge BEFORE INSERT ON {} FOR EACH ROW EXECUTE FUNCTION forge()"
TAMPERED = {
    "stored_events": "ALTER TABLE stored_events DISABLE TRIGGER ALL; UPDATE stored_events SET state ="
    " convert_to(replace(convert_from(state, 'UTF8'), 'anna', 'ella'), 'UTF8') WHERE notification_id = 2",
    "contacts": FORGES.format("salt") + BEFORE.format("contacts"),
    "suppressed": FORGES.format("reason") + BEFORE.format("suppressed"),
    "contents": "ALTER TABLE contents ALTER html SET DEFAULT 'x';" + FORGES.format("html") + BEFORE.format("contents"),
}
"""By the table that differs then."""


def test_views_of_the_original_that_were_tampered_with_are_found_and_mended(source: Desk, target: URL) -> None:
    source.done("status")
    source.sql("UPDATE leads SET priority = 7 WHERE lead_id = 2")
    assert source.refused(*to(target)).startswith("sendledger: leads differs: ")
    assert source.says("rebuild", "--check").code == FAILED
    source.done("rebuild")
    source.done(*to(target))


def tampered(target: URL, statements: str) -> None:
    with psycopg.connect(connection_string(target)) as connection:
        connection.execute(statements)


# --- what does not fit ---


def of_another_program(target: URL) -> None:
    tampered(target, "CREATE TABLE leads (name text)")


def another_ledger(target: URL) -> None:
    create(target, INFO)


def of_a_newer_program(target: URL) -> None:
    create(target, INFO)
    tampered(target, "UPDATE alembic_version SET version_num = '9999'")


NOT_FIT: dict[str, tuple[Callable[[URL], None], str]] = {
    "tables of another program": (of_another_program, "has tables of another program: leads. A ledger wants a"),
    "another ledger": (another_ledger, "is not empty: it holds another ledger. Name a database that is empty."),
    "a newer program's": (of_a_newer_program, "the database has schema 9999, this program needs 0001."),
}


@pytest.mark.parametrize("options", [(), ("--dry-run",)], ids=["", "dry run"])
@pytest.mark.parametrize("case", NOT_FIT)
def test_a_database_that_does_not_fit_is_refused_and_stays_as_it_is(
    source: Desk, target: URL, case: str, options: tuple[str, ...]
) -> None:
    make, words = NOT_FIT[case]
    make(target)
    assert words in source.refused(*to(target), *options)
    assert copying.MOVED_TO not in dict(source.kept()["ledger_info"])
    source.done("tick", "v1")


def test_a_copy_is_not_copied_over(source: Desk, target: URL) -> None:
    source.done(*to(target))
    before = Desk(source.folder, target).stored()
    assert "is not empty" in source.refused(*to(target))
    assert Desk(source.folder, target).stored() == before


PLACES = {
    "sqlite:///other.db": "--to: a ledger is copied to PostgreSQL only. Copy an SQLite file as files.",
    "mysql://host/db": "--to: mysql is no database that this program knows. Write sqlite:///PATH",
    "nonsense": "--to: the database URL cannot be read. Write",
    "postgresql://127.0.0.1:1/nowhere": "postgresql://127.0.0.1:1/nowhere: ",
    "postgresql://anna:hunter2@127.0.0.1:1/nowhere": "postgresql://anna@127.0.0.1:1/nowhere: ",
}


@pytest.mark.parametrize("options", [(), ("--dry-run",)], ids=["", "dry run"])
@pytest.mark.parametrize("place", PLACES)
def test_a_place_that_is_none_is_refused_with_the_cause(source: Desk, place: str, options: tuple[str, ...]) -> None:
    said = source.refused("db", "copy", "--to", place, *options)
    assert said.startswith(f"sendledger: {PLACES[place]}")
    assert "hunter2" not in said
    if "127.0.0.1" in place:
        assert "refused" in said
        assert said.endswith("Mend the server or the connection.\n")


def test_a_database_that_is_not_there_and_a_role_without_rights_are_named(
    source: Desk, target: URL, servers: PostgresDatabases
) -> None:
    assert 'database "nowhere" does not exist' in source.refused(*to(target.set(database="nowhere")))
    said = source.refused(*to(target.set(username=servers.role())))
    assert "permission denied for schema public. This role may not do that: run it as the owner" in said
    assert current(target) is None


@pytest.mark.parametrize("options", [(), ("--dry-run",)], ids=["", "dry run"])
def test_while_a_runner_is_at_work_nothing_is_copied(source: Desk, target: URL, options: tuple[str, ...]) -> None:
    with Liveness(source.folder / "sendledger.db.runners", sqlite_url(source.database)):
        said = source.says(*to(target), *options)
    assert (said.code, said.err) == (
        BAD_INPUT,
        "sendledger: 1 runners are at work on this ledger; stop them first.\n",
    )
    assert current(target) is None
    source.done(*to(target))
