"""Given a ledger, when it is copied to a server, then both hold the same, and mails leave from one of them only:
broken off at any point, it can be finished; and what does not fit is refused.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.engine import URL

from migrations.run import create, current, head, shown
from projections import kept, views
from projections.database import sqlite_url
from runner.cli.context import AGAIN
from runner.sending.liveness import Liveness
from runner.sink import Sink
from runner.store import copying
from runner.store.ledger import Ledger
from runner.store.postgres import connection_string
from tests.another_program import append_lock_is_free
from tests.cli import victims
from tests.cli.desk import BAD_INPUT, DONE, FAILED, MONDAY, Desk, Said
from tests.cli.test_watch import in_a_terminal
from tests.databases import INFO, PostgresDatabases
from tests.faults.processes import ended, put_away, started, wait_until
from tests.projections.victims import Moment, killed_at, struck_at

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


def tables(target: URL) -> set[str]:
    with psycopg.connect(connection_string(target)) as connection:
        return {row[0] for row in connection.execute("SELECT relname FROM pg_class WHERE relkind = 'r'").fetchall()}


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


def test_who_waits_at_a_terminal_sees_how_far_it_is(source: Desk, target: URL) -> None:
    with in_a_terminal(source, *to(target)) as (process, until):
        until("proof of")
        assert "Both databases hold the same." in until(None)
    assert process.returncode == DONE


def test_progress_is_told_by_table_and_the_proof_by_table(source: Desk, target: URL) -> None:
    told: list[tuple[str, int, int]] = []

    def tell(step: str, done: int, total: int) -> None:
        told.append((step, done, total))

    ledger = Ledger(sqlite_url(source.database))
    events = ledger.position()
    copying.prepare(target, "a ledger")
    copying.copy(ledger, target, tell)
    copying.finish(ledger.url, target, tell, lambda: None)
    ledger.close()
    assert ("events", events, events) in told
    assert ("views", events, events) in told
    assert {f"proof of {table}" for table in TABLES} <= {step for step, *_ in told}
    assert all(0 <= done <= total for _, done, total in told)


# --- broken off ---

PROOF = Moment("SELECT contacts.")
MOMENTS = [
    *(Moment("CREATE TABLE contents"), Moment("COMMIT"), Moment("INSERT INTO stored_events")),
    *(Moment("INSERT INTO stored_events", 3), Moment("COMMIT", 4), Moment("ALTER TABLE stored_events")),
    *(Moment("INSERT INTO contacts"), Moment("DELETE FROM suppressed"), Moment("UPDATE rebuilt_progress")),
    *(Moment("INSERT INTO rebuilt_leads"), Moment("DROP TABLE campaigns"), PROOF),
    *(Moment("DELETE FROM ledger_info"), Moment("INSERT INTO ledger_info", 2)),
]
"""`INSERT INTO ledger_info` comes first when the tables are made, then when all is through."""


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_a_copy_that_is_killed_is_finished_by_the_same_command(
    source: Desk, target: URL, moment: Moment, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = held(source)
    killed(source, target, moment)
    assert held(source) == before
    if current(target):
        with monkeypatch.context() as patch:
            unfinished = at(target, patch, source)
            for command in ("status", "campaign list", "mailbox list", "tick v1", "check", "rebuild", "suppress list"):
                assert "this database is a copy that is not finished. Run `sendledger db copy` again" in (
                    unfinished.refused(*command.split())
                )

    source.done(*to(target))

    new = at(target, monkeypatch, source)
    assert held(new) == before
    assert new.rows("rebuild", "--check") == []
    new.done("runner", "register", "--reason", "moved")
    new.done("tick", "v1")


def test_a_copy_goes_on_where_it_was_killed(source: Desk, target: URL) -> None:
    killed(source, target, Moment("INSERT INTO stored_events", 4))
    stands = positions(target)
    assert stands == list(range(1, 3 * victims.SMALL_BATCH + 1))
    killed(source, target, Moment("INSERT INTO stored_events", 2))
    assert len(positions(target)) == 4 * victims.SMALL_BATCH


def test_until_it_is_through_the_original_sends(source: Desk, target: URL) -> None:
    killed(source, target, Moment("INSERT INTO contacts"))
    source.done("tick", "v1")
    source.done(*to(target))
    assert held(Desk(source.folder, target)) == held(source)


def killed(source: Desk, target: URL, moment: Moment) -> None:
    work = partial(victims.copy_from, source.folder, source.folder.parent / "said")
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


@pytest.mark.parametrize("table", TAMPERED)
def test_a_row_that_differs_is_found_and_the_original_goes_on(source: Desk, target: URL, table: str) -> None:
    killed(source, target, Moment("DELETE FROM contacts"))
    tampered(target, TAMPERED[table])

    said = source.refused(*to(target))

    assert said.startswith(f"sendledger: {table} differs: ")
    assert "drop the new database and copy again" in said
    assert copying.MOVED_TO not in dict(source.kept()["ledger_info"])
    assert copying.COPY_OF in info(target)
    source.done("tick", "v1")


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


def with_tables_named_like_ours(target: URL) -> None:
    tampered(target, "CREATE TABLE leads (name text)")


def of_another_program(target: URL) -> None:
    tampered(target, "CREATE TABLE wages (name text); CREATE TABLE cars (name text)")


def of_a_large_program(target: URL) -> None:
    tampered(target, "".join(f"CREATE TABLE t{number} (name text);" for number in range(9)))


def another_ledger(target: URL) -> None:
    create(target, INFO)


def of_a_newer_program(target: URL) -> None:
    create(target, INFO)
    tampered(target, "UPDATE alembic_version SET version_num = '9999'")


def of_an_older_program(target: URL) -> None:
    create(target, INFO)
    tampered(target, "UPDATE alembic_version SET version_num = '0000'")


def that_forgets(target: URL) -> None:
    tampered(target, f'ALTER DATABASE "{target.database}" SET synchronous_commit = off')


NOT_FIT: dict[str, tuple[Callable[[URL], None], str]] = {
    "tables named like ours": (with_tables_named_like_ours, "is not empty: it has tables of another program: leads."),
    "tables of another program": (of_another_program, "it has tables of another program: cars, wages. Name a"),
    "many tables": (of_a_large_program, "it has tables of another program: t0, t1, t2, t3, t4, …. Name a"),
    "another ledger": (another_ledger, "is not empty: it holds another ledger. Name a database that is empty."),
    "a newer program's": (of_a_newer_program, f"it has schema 9999, this program needs {head()}. Name a database"),
    "an older program's": (of_an_older_program, f"it has schema 0000, this program needs {head()}. Name a database"),
    "a server that forgets": (that_forgets, "synchronous_commit is off: after a crash, mails that were sent would"),
}


@pytest.mark.parametrize("options", [(), ("--dry-run",)], ids=["", "dry run"])
@pytest.mark.parametrize("case", NOT_FIT)
def test_a_database_that_does_not_fit_is_refused_and_stays_as_it_is(
    source: Desk, target: URL, case: str, options: tuple[str, ...]
) -> None:
    make, words = NOT_FIT[case]
    make(target)
    before = tables(target)
    assert words in source.refused(*to(target), *options)
    assert tables(target) == before
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
        assert said.endswith(f"{AGAIN}\n")
        assert len(said.splitlines()) == 1


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


# --- whoever comes in between ---


@contextmanager
def paused_copy(source: Desk, target: URL, moment: Moment) -> Iterator[Callable[[], Said]]:
    """A copy in a process of its own that has come to this moment; and a way to let it go on, to its end."""
    here, said = source.folder.parent, source.folder.parent / "said"
    pause = partial(victims.wait_for, here / "reached", here / "go on")
    process = started(struck_at, moment, pause, partial(victims.copy_from, source.folder, said), target)

    def go_on() -> Said:
        (here / "go on").touch()
        code = ended(process)
        return Said(code, said.with_suffix(".out").read_text(), said.with_suffix(".err").read_text())

    try:
        wait_until((here / "reached").exists)
        yield go_on
    finally:
        put_away(process)


VIEWS_BEGIN = Moment("CREATE TABLE rebuilt_campaigns")


def test_a_runner_that_starts_meanwhile_goes_on_and_the_ledger_is_not_moved(source: Desk, target: URL) -> None:
    runner = Liveness(source.folder / "sendledger.db.runners", sqlite_url(source.database))
    with paused_copy(source, target, VIEWS_BEGIN) as go_on, runner:
        said = go_on()
    assert (said.code, said.err) == (BAD_INPUT, "sendledger: 1 runners are at work on this ledger; stop them first.\n")
    assert copying.MOVED_TO not in dict(source.kept()["ledger_info"])
    assert copying.COPY_OF in info(target)
    source.done("tick", "v1")
    source.done(*to(target))
    assert held(Desk(source.folder, target)) == held(source)


CHANGES = {
    "stored_events": ("tick", "v1"),
    "suppressed": ("suppress", "add", "nobody@customer.example"),
}
"""By the table that differs then."""


@pytest.mark.parametrize("table", CHANGES)
def test_what_changes_meanwhile_is_found_and_comes_along_with_the_next_try(
    source: Desk, target: URL, table: str
) -> None:
    with paused_copy(source, target, VIEWS_BEGIN) as go_on:
        source.done(*CHANGES[table])
        said = go_on()
    assert (said.code, said.out) == (BAD_INPUT, "")
    assert said.err.startswith(f"sendledger: {table} differs: ")
    assert copying.MOVED_TO not in dict(source.kept()["ledger_info"])
    source.done(*to(target))
    assert held(Desk(source.folder, target)) == held(source)


def test_while_it_is_proven_nobody_changes_the_original(source: Desk, target: URL) -> None:
    with paused_copy(source, target, PROOF) as go_on:
        assert not append_lock_is_free(sqlite_url(source.database))
        said = go_on()
    assert said.code == DONE
    assert held(Desk(source.folder, target)) == held(source)


def test_of_two_copies_at_once_one_is_the_ledger_and_the_other_changes_nothing_in_it(
    source: Desk, target: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    with paused_copy(source, target, Moment("SELECT ledger_info", 3)) as go_on:
        source.done(*to(target))
        with monkeypatch.context() as patch:
            new = at(target, patch, source)
            new.done("runner", "register", "--reason", "moved")
            new.done("suppress", "add", "new@customer.example")
            before = new.stored()
        said = go_on()
    assert (said.code, said.err) == (
        BAD_INPUT,
        "sendledger: another process has finished this copy; nothing in it was changed.\n",
    )
    assert Desk(source.folder, target).stored() == before
