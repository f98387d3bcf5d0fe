"""A desk with a command line: `sendledger …` in a folder of its own, and what was true before and after.
Most commands run in this process, for speed; a daemon runs as the console script that a user starts.
"""

from __future__ import annotations

import csv
import io
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData, inspect
from sqlalchemy.engine import URL
from typer.main import get_command

from projections import event_log, kept, views
from projections.database import engine_for, reading, sqlite_url, writing
from runner.cli.app import app

SENDLEDGER = get_command(app)  # put together once: that takes as long as a command
DONE, FAILED, BAD_INPUT = 0, 1, 2
SCREEN_LINES = 24
TIMEOUT_S = 30

MONDAY = "2026-10-05"
WEEKDAYS = '["MON", "TUE", "WED", "THU", "FRI"]'
WEEK = '["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]'
SENDER = "Anna <anna@sender.example>"
PEOPLE = """\
email,first_name
jan@customer.example,Jan
gone@customer.example,Zofia
shy@customer.example,Paweł
ewa@customer.example,Ewa
"""
CAMPAIGN = """\
name = "Autumn 2026"
mailbox = "sales"
owner = "v1"

[content]
subject = "Autumn news for {{ first_name }}"
text = "Dear {{ first_name }}, the autumn catalogue is out."

[schedule]
zone = "Europe/Warsaw"
weekdays = ["MON", "TUE", "WED", "THU", "FRI"]
start = "09:00"
end = "15:00"

[limits]
daily_limit = 100
delay_s = 90
"""


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Desk:
    """One folder, which is the working directory too, and a ledger in it or on a server."""

    folder: Path
    server: URL | None = None

    # --- given ---

    def write(self, name: str, text: str) -> str:
        (self.folder / name).write_text(text, encoding="utf-8")
        return name

    def campaign_file(self, *changes: tuple[str, str], name: str = "autumn.toml") -> str:
        """The usual file, with these pieces of it changed."""
        text = CAMPAIGN
        for old, new in changes:
            assert text.count(old) == 1, f"{old!r} is not in the file once"
            text = text.replace(old, new)
        return self.write(name, text)

    def ledger(self, *, clock: str = f"{MONDAY}T08:00+02:00") -> None:
        """A ledger whose simulated time starts on a Monday morning."""
        self.done("init", "--simulated", "--start", clock)

    def mailbox(self, port: int = 25, *options: str, name: str = "sales", sender: str = SENDER) -> None:
        """A mailbox that sends through a server on this machine."""
        server = ("--smtp-host", "127.0.0.1", "--smtp-port", str(port), "--smtp-tls", "none")
        self.done("mailbox", "add", name, "--from", sender, *server, *options)

    def campaign(self, *changes: tuple[str, str], people: str = PEOPLE, started: bool = True) -> None:
        """A campaign with leads."""
        self.done("campaign", "create", self.campaign_file(*changes))
        number = str(len(self.rows("campaign", "list")))
        self.done("leads", "import", number, self.write("leads.csv", people))
        if started:
            self.done("campaign", "start", number)

    def sql(self, statement: str) -> None:
        """Change the database behind the program's back."""
        with self._engine() as engine, writing(engine) as connection:
            connection.exec_driver_sql(statement)

    # --- when ---

    def says(self, *words: str) -> Said:
        """Run a command in this process. An error that nobody meant is raised, as it would reach the terminal."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
            SENDLEDGER.main(list(words), prog_name="sendledger")
        assert isinstance(end.value.code, int)
        return Said(end.value.code, out.getvalue(), err.getvalue())

    def done(self, *words: str) -> str:
        """Run a command that must succeed; what it printed."""
        said = self.says(*words)
        assert said.code == DONE, f"{words}: {said}"
        return said.out

    def refused(self, *words: str) -> str:
        """Run a command that must be refused: exit code 2, words that fit on a screen, and nothing changed."""
        before = self.everything()
        said = self.says(*words)
        assert (said.code, said.out) == (BAD_INPUT, ""), f"{words}: {said}"
        assert 1 <= len(said.err.splitlines()) < SCREEN_LINES
        assert self.everything() == before, f"{words} changed something"
        return said.err

    def rows(self, *words: str) -> Any:
        """A listing, as a program reads it."""
        return json.loads(self.done(*words, "--format", "json"))

    def csv(self, *words: str) -> list[list[str]]:
        """A listing, as a spreadsheet reads it."""
        return list(csv.reader(io.StringIO(self.done(*words, "--format", "csv"), newline="")))

    def process(self, *words: str, **variables: str) -> subprocess.Popen[str]:
        """Start the console script that a user has."""
        return subprocess.Popen(
            [Path(sys.executable).with_name("sendledger"), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env={**os.environ, **variables},
        )

    # --- then ---

    @property
    def database(self) -> Path:
        return self.folder / "sendledger.db"

    def everything(self) -> dict[str, Any]:
        """All events, all kept rows and all other files. Views are left out: any query may bring those up to date."""
        files = {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file() and not path.name.startswith(self.database.name)
        }
        return {**files, **self.kept()}

    def kept(self) -> dict[str, Any]:
        """The rows of the events' table and of all kept tables; nothing where there is no database."""
        if not self.has_ledger():
            return {}
        return {
            name: rows for each in (event_log.METADATA[self._kind], kept.METADATA) for name, rows in self._rows(each)
        }

    def has_ledger(self) -> bool:
        """Is there a database with tables?"""
        if self.server is None:
            return self.database.is_file()
        with self._engine() as engine:
            return inspect(engine).has_table("stored_events")

    def stored(self) -> dict[str, Any]:
        """The rows of all tables."""
        return {**self.kept(), **dict(self._rows(views.METADATA))}

    def _rows(self, metadata: MetaData) -> list[tuple[str, Any]]:
        tables = metadata.tables.items()
        if self.server is None:
            with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as file:
                return [(name, file.execute(str(table.select())).fetchall()) for name, table in tables]
        with self._engine() as engine, reading(engine) as connection:
            return [
                (name, [tuple(row) for row in connection.execute(table.select().order_by(*table.primary_key))])
                for name, table in tables
            ]

    @property
    def _kind(self) -> str:
        return "sqlite" if self.server is None else "postgresql"

    @contextmanager
    def _engine(self) -> Iterator[Engine]:
        engine = engine_for(self.server or sqlite_url(self.database))
        try:
            yield engine
        finally:
            engine.dispose()

    def events(self, kind: str) -> list[dict[str, Any]]:
        """The events of one kind as they are stored."""
        stored = self.kept()["stored_events"]
        return [
            json.loads(state) for _stream, _version, topic, state, *_position in stored if topic.startswith(f"{kind}/")
        ]


def ended(process: subprocess.Popen[str]) -> Said:
    """Wait for the end of a process."""
    try:
        out, err = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return Said(process.returncode, out, err)
