"""Given the old application's database in use, when it is read, then as it is at one moment, and nothing changes."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier
from sqlalchemy import Engine, event, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from projections.database import is_sqlite
from runner.legacy.old_database import OldDatabase, open_old_database
from runner.store.postgres import connection_string
from tests.databases import Databases, PostgresDatabases, on_postgresql, on_sqlite
from tests.legacy.old_player import OldApplication
from tests.legacy.old_sample import Place, Sample
from tests.legacy.old_system import build

FIRST_READ = re.compile(r'FROM (main\."Campaign"|"SendLog")')
"""On SQLite the first table that is copied, on PostgreSQL the first that the test asks for."""


@contextmanager
def asked(sql: Callable[[str], None]) -> Iterator[None]:
    """Each statement that any engine runs, after it ran."""

    def tell(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sql(statement)

    event.listen(Engine, "after_cursor_execute", tell)
    try:
        yield
    finally:
        event.remove(Engine, "after_cursor_execute", tell)


# --- one moment ---


def happen(old_url: URL, sample: Sample) -> None:
    """The old application goes on."""
    zima = sample.campaigns["Zima"]
    application = OldApplication(old_url, zima, sample.now)
    waiting, another, third, *_ = sample.leads[zima][Place.CLEAN_WAITING]
    application.start_sending(waiting)
    application.finish(waiting, "<nowa@nadawca.example>")
    application.start_sending(another)
    application.reset_to_queued(another)
    application.fail(third)
    application.pause()
    application.add_lead("zofia@kuznia.example")


def everything(old: OldDatabase, campaign: int) -> tuple[Any, ...]:
    return old.campaigns(), list(old.leads(campaign)), list(old.sends(campaign)), list(old.queue(campaign))


@pytest.mark.parametrize("wal", [False, True])
def test_what_happens_meanwhile_is_not_seen_until_it_is_opened_again(old_url: URL, wal: bool) -> None:
    sample = build(old_url, wal=wal)
    zima = sample.campaigns["Zima"]
    with open_old_database(old_url) as old:
        before = everything(old, zima)
        happen(old_url, sample)
        assert everything(old, zima) == before
    with open_old_database(old_url) as old:
        campaigns, leads, sends, queue = everything(old, zima)
    assert campaigns[zima - 1].status == "PAUSED"
    assert (len(leads), leads[-1].address) == (len(before[1]) + 1, "zofia@kuznia.example")
    assert (len(sends), sends[-1].message_id) == (len(before[2]) + 1, "<nowa@nadawca.example>")
    assert "pending" not in {row.status for row in queue}


def test_what_is_committed_while_it_is_opened_is_seen_in_no_table_or_in_all(old_url: URL) -> None:
    sample = build(old_url, wal=True)
    zima = sample.campaigns["Zima"]
    lead, *_ = sample.leads[zima][Place.CLEAN_WAITING]
    begun: list[str] = []

    def meanwhile(statement: str) -> None:
        if FIRST_READ.search(statement) and not begun:
            begun.append(statement)
            OldApplication(old_url, zima, sample.now).finish(lead, "<nowa@nadawca.example>")

    with asked(meanwhile), open_old_database(old_url) as old:
        sent = {each.lead_id for each in old.sends(zima)}
        statuses = {each.lead_id: each.v1_status for each in old.leads(zima)}
    assert begun
    assert (lead in sent, statuses[lead]) == (False, "queued")


@on_sqlite
def test_the_old_application_never_waits_for_a_reader(old_url: URL) -> None:
    """Its file has no write-ahead log, so a lock of ours would be a time-out of its own, after a mail was accepted."""
    sample = build(old_url)
    with open_old_database(old_url) as old:
        half_read = old.leads(sample.campaigns["Zima"])
        next(half_read)
        with closing(sqlite3.connect(str(old_url.database), timeout=0)) as application:
            application.execute('UPDATE "CampaignLead" SET "status" = \'sending\'')
            application.commit()
        assert {lead.v1_status for lead in half_read} != {"sending"}


# --- nothing changes ---


def test_nothing_can_be_written_through_it(old_url: URL) -> None:
    build(old_url)
    schema = "main" if is_sqlite(old_url) else "public"
    with open_old_database(old_url) as old, pytest.raises(DBAPIError, match=r"read-?only"):
        old._connection.execute(text(f'UPDATE {schema}."Campaign" SET "status" = \'DRAFT\''))  # noqa: S608


@on_sqlite
def test_the_file_stays_as_it_is_and_nothing_is_left_beside_it(old_url: URL) -> None:
    sample = build(old_url)
    file = Path(str(old_url.database))
    before, beside = file.read_bytes(), sorted(file.parent.glob(f"{file.name}*"))
    with open_old_database(old_url) as old:
        everything(old, sample.campaigns["Zima"])
        assert sorted(file.parent.glob(f"{file.name}*")) == beside
    assert (file.read_bytes(), sorted(file.parent.glob(f"{file.name}*"))) == (before, beside)


def test_passwords_and_bodies_are_never_asked_for(old_url: URL) -> None:
    sample = build(old_url)
    statements: list[str] = []
    with asked(statements.append), open_old_database(old_url) as old:
        mailboxes = old.mailboxes()
        for campaign in sample.campaigns.values():
            everything(old, campaign)
    assert len(mailboxes) == 2
    heard = "\n".join(each for each in statements if '"Mailbox"' in each or '"SendLog"' in each)
    assert "smtpHost" in heard
    assert "toEmail" in heard
    assert [
        name for name in ("smtpPass", "imapPassword", "content", '."subject" AS', "SELECT *") if name in heard
    ] == []


@on_postgresql
def test_a_role_without_a_right_to_the_passwords_is_enough(old_url: URL, databases: Databases) -> None:
    build(old_url)
    assert isinstance(databases, PostgresDatabases)
    role = databases.role()
    mailbox = ("id", "email", "displayName", "smtpHost", "smtpPort", "smtpUser", "smtpSecure")
    columns = SQL(", ").join(map(Identifier, (*mailbox, "dailyEmailLimit", "isActive")))
    names = SQL(", ").join(map(Identifier, ("Campaign", "Lead", "CampaignLead", "SendLog", "CampaignEmailQueue")))
    with psycopg.connect(connection_string(old_url)) as server:
        server.execute(SQL("GRANT SELECT ON {} TO {}").format(names, Identifier(role)))
        server.execute(SQL('GRANT SELECT ({}) ON "Mailbox" TO {}').format(columns, Identifier(role)))
    with open_old_database(old_url.set(username=role)) as old:
        assert len(old.mailboxes()) == 2
