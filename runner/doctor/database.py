"""The database: is it there, does it keep what it has reported stored, may this role do what it must and no more, and
are its tables and triggers those of this program?"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, select, text

from migrations.grants import CHANGING, EVENT_COLUMNS, KEPT_RIGHTS, SCHEMA_VERSION
from migrations.run import current, require_head, require_ledger, shown
from projections import event_log, kept, queries, views
from projections.database import POSTGRESQL, SQLITE, reading
from runner.doctor.findings import Finding, fail, ok, warn
from runner.store.postgres import DB_FUNCTIONS, OLDEST_VERSION
from runner.store.sqlite import file_system, require_local
from runner.workplace import Workplace

MB = 10**6
LEAST_SPACE = 100 * MB
"""Below it an import, a rebuild or a mail's bytes may not fit: then nothing is sent."""
LITTLE_SPACE = 1000 * MB

CLOCKS_APART = timedelta(seconds=2)
CLOCKS_FAR_APART = timedelta(minutes=1)
"""By so much the rule for a runner that is gone lets two clocks differ."""

TRIES = 3

SYNCHRONOUS_FULL = 2

SERVER = text(
    "SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number,"
    " current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS synchronous_commit,"
    " current_setting('full_page_writes') AS full_page_writes"
)
ROLE = text(
    "SELECT current_user AS role, rolsuper AS is_superuser,"
    " pg_has_role(relowner, 'USAGE') AS owns,"
    " has_table_privilege(c.oid, 'SELECT') AS reads,"
    " (SELECT bool_and(has_column_privilege(c.oid, name, 'INSERT')) FROM unnest(CAST(:columns AS text[])) AS name)"
    "   AS appends,"
    " has_column_privilege(c.oid, 'notification_id', 'INSERT') AS numbers,"
    " has_any_column_privilege(c.oid, 'UPDATE') AS updates,"
    " has_table_privilege(c.oid, 'DELETE') AS deletes,"
    " has_table_privilege(c.oid, 'TRUNCATE') AS truncates"
    " FROM pg_class c, pg_roles WHERE c.oid = 'stored_events'::regclass AND rolname = current_user"
)
"""What this role may do with events."""
LACKING = text(
    "SELECT right_, table_ FROM unnest(CAST(:tables AS text[]), CAST(:rights AS text[])) AS needed (table_, right_)"
    " WHERE NOT has_table_privilege(table_, right_)"
)
TRIGGERS = {
    SQLITE: text("SELECT name FROM sqlite_schema WHERE type = 'trigger'"),
    # 'A': ALWAYS, so that a session which plays a replica does not pass it by.
    POSTGRESQL: text(
        "SELECT tgname FROM pg_trigger WHERE tgrelid IN ('stored_events'::regclass, 'checkpoints'::regclass)"
        " AND tgenabled = 'A'"
    ),
}
CLOCK = text("SELECT extract(epoch FROM clock_timestamp())::float8")


def reached(engine: Engine) -> Iterator[Finding]:
    """Is there a ledger, of whatever schema?"""
    require_ledger(engine.url)
    if engine.dialect.name == SQLITE:
        require_local(_file(engine))
    with reading(engine) as connection:
        kind = "SQLite" if engine.dialect.name == SQLITE else f"PostgreSQL {_server(connection)['version']}"
    yield ok("database", f"{kind}, {shown(engine.url)}")


def durable(engine: Engine) -> Iterator[Finding]:
    """Does it keep what it has reported stored?"""
    with reading(engine) as connection:
        if engine.dialect.name == SQLITE:
            mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
            level = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
            yield judge_sqlite(mode, level, file_system(_file(engine).resolve()))
            free = shutil.disk_usage(_file(engine).parent).free
            yield judge_space(free, _file(engine).stat().st_size)
        else:
            yield judge_postgres(_server(connection), os.environ.get(DB_FUNCTIONS))


def judge_sqlite(mode: str, synchronous: int, files: str | None) -> Finding:
    """The settings in force on our own connections."""
    found = f"journal mode {mode}, synchronous {synchronous}, on {files or 'an unknown file system'}"
    if mode != "wal" or synchronous < SYNCHRONOUS_FULL:
        return fail("durability", f"{found}: a power cut may undo what was sent.", "Move the ledger to a local disk.")
    return ok("durability", found)


def judge_space(free: int, used: int) -> Finding:
    """Octets free where the database lies, and octets that it has."""
    found = f"{free // MB:,} MB free, the database has {used / MB:,.1f} MB"
    if free < LEAST_SPACE:
        return fail("disk", found, "Make room: without it nothing can be recorded, so nothing is sent.")
    if free < max(LITTLE_SPACE, used):
        return warn("disk", found, "Make room: a rebuild of the views may take as much again.")
    return ok("disk", found)


def judge_postgres(server: Mapping[str, Any], db_functions: str | None) -> Finding:
    """The settings of the server, for this role and database."""
    names = ("fsync", "synchronous_commit", "full_page_writes")
    found = ", ".join(f"{name} {server[name]}" for name in names)
    if server["number"] < OLDEST_VERSION:
        return fail("durability", f"PostgreSQL {server['version']} is too old.", "Move to 15 or newer.")
    if off := [name for name in names if server[name] == "off"]:
        return fail("durability", f"{found}: a crash may undo what was sent.", f"Set {' and '.join(off)} to on.")
    if db_functions:
        return warn("durability", f"{DB_FUNCTIONS} is set.", "Unset it: with it, readers miss events.")
    return ok("durability", found)


def role(engine: Engine) -> Iterator[Finding]:
    """May this role do what a runner must, and nothing to the events that are there?"""
    if engine.dialect.name == SQLITE:
        return
    with reading(engine) as connection:
        columns = [name.strip() for name in EVENT_COLUMNS.split(",")]
        rights = dict(connection.execute(ROLE, {"columns": columns}).mappings().one())
        yield judge_role(rights, list(_lacking(connection)))


def judge_role(rights: Mapping[str, Any], lacking: list[str]) -> Finding:
    """`lacking`: what a runner needs of the other tables, and this role does not have."""
    name = rights["role"]
    if rights["is_superuser"] or rights["owns"]:
        what = "is a superuser" if rights["is_superuser"] else "owns the events"
        problem = f"{name} {what}, and could remove what protects them."
        return warn("role", problem, "For runners, take a role of its own: `sendledger db grant --daemon ROLE`.")
    if changes := [what for what in ("updates", "deletes", "truncates", "numbers") if rights[what]]:
        mend = f"As the owner: REVOKE ALL ON stored_events FROM {name}, then `sendledger db grant --daemon {name}`."
        return fail("role", f"{name} has rights to change events: {', '.join(changes)}.", mend)
    if not rights["reads"]:
        return fail("role", f"{name} may not read events.", f"As the owner: `sendledger db grant --daemon {name}`.")
    if not rights["appends"]:
        return warn("role", f"{name} only reads: it can look, and not send.", "To send, take the daemon's role.")
    if lacking:
        problem = f"{name} appends events, but lacks {', '.join(lacking)}."
        return fail("role", problem, f"As the owner: `sendledger db grant --daemon {name}`.")
    return ok("role", f"{name} appends events and can change none")


def triggers(engine: Engine) -> Iterator[Finding]:
    """Are the triggers in place that keep events, and the checkpoints over them, from being changed?"""
    wanted = {*event_log.TRIGGERS[engine.dialect.name], *kept.CHECKPOINT_TRIGGERS[engine.dialect.name]}
    with reading(engine) as connection:
        there = set(connection.execute(TRIGGERS[engine.dialect.name]).scalars())
    if missing := sorted(wanted - there):
        problem = f"events or checkpoints can be changed: {', '.join(missing)} not in force."
        mend = "Find out who removed it and why; put it back as migrations/versions make it."
        yield fail("append-only", problem, mend)
    else:
        yield ok("append-only", f"{len(wanted)} triggers in force")


def schema(engine: Engine) -> Iterator[Finding]:
    """Is it the schema of this program?"""
    require_head(engine.url)
    yield ok("schema", f"{current(engine.url)}, as this program needs it")


def up_to_date(place: Workplace) -> Iterator[Finding]:
    """Do the views follow the ledger, and do they add up?"""
    behind = place.ledger.position() - place.projector.position
    with place.views() as connection:
        position = connection.execute(select(views.progress.c.position)).scalar_one()
        broken = _broken(connection, position)
    if broken:
        yield fail("views", broken, "`sendledger rebuild --check` lists what differs, `sendledger rebuild` mends it.")
    else:
        lag = f"; {behind:,} events were behind" if behind > 0 else ""
        yield ok("views", f"up to date at {position:,}{lag}, and they add up: no rebuild is needed")


def server_clock(engine: Engine) -> Iterator[Finding]:
    """This machine's clock beside the database server's."""
    if engine.dialect.name == SQLITE:
        return
    with reading(engine) as connection:
        yield judge_server_clock(*apart([_try(connection) for _ in range(TRIES)]))


def apart(tries: Iterable[tuple[float, float, float]]) -> tuple[timedelta, timedelta]:
    """How far another clock is ahead of ours, and by how much that may be wrong: it was read at some instant between
    our question and its answer. Each try: when we asked, how long the answer took, what it was. The shortest counts."""
    taken, ahead = min((taken, theirs - asked_at - taken / 2) for asked_at, taken, theirs in tries)
    return timedelta(seconds=ahead), timedelta(seconds=taken / 2)


def judge_server_clock(ahead: timedelta, bound: timedelta) -> Finding:
    """`bound`: by how much `ahead` may be wrong."""
    side = "ahead of" if ahead > timedelta() else "behind"
    found = f"the server's is {abs(ahead).total_seconds():.3f} s {side} ours, ± {bound.total_seconds():.3f} s"
    least = abs(ahead) - bound
    mend = "Let a time service keep both clocks, such as chrony."
    if least > CLOCKS_FAR_APART:
        return fail("server's clock", found, mend)
    return warn("server's clock", found, mend) if least > CLOCKS_APART else ok("server's clock", found)


def _try(connection: Connection) -> tuple[float, float, float]:
    asked_at, steady = time.time(), time.monotonic()
    theirs = float(connection.execute(CLOCK).scalar_one())
    return asked_at, time.monotonic() - steady, theirs


def _broken(connection: Connection, position: int) -> str:
    if rows := queries.unaccounted(connection):
        numbers = ", ".join(str(row["id"]) for row in rows)
        return f"campaigns {numbers}: counts are not those of their leads."
    folded = queries.events_folded(connection)
    # A position that a broken-off append had drawn stays empty, on PostgreSQL only.
    if folded > position or (folded < position and connection.dialect.name == SQLITE):
        return f"they were made of {folded:,} events, and stand at {position:,}."
    return ""


def _lacking(connection: Connection) -> Iterator[str]:
    needed = {**KEPT_RIGHTS, **dict.fromkeys(views.METADATA.tables, CHANGING), SCHEMA_VERSION: "SELECT"}
    pairs = [(table, right) for table, rights in needed.items() for right in rights.split(", ")]
    tables, rights = zip(*pairs, strict=True)
    for row in connection.execute(LACKING, {"tables": list(tables), "rights": list(rights)}):
        yield f"{row.right_} on {row.table_}"


def _server(connection: Connection) -> Mapping[str, Any]:
    return dict(connection.execute(SERVER).mappings().one())


def _file(engine: Engine) -> Path:
    return Path(engine.url.database or "")
