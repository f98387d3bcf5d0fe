"""The whole examination, in the order in which one thing rests on another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from sqlalchemy import Engine

from projections.database import engine_for
from runner.doctor import database, machine, seal, sending
from runner.doctor.findings import Finding, Verdict, looked, warn
from runner.doctor.mailboxes import mailboxes
from runner.settings import Settings, load_settings
from runner.workplace import Workplace

Look = Callable[[Workplace], Iterator[Finding]]


def examine(path: Path, *, smtp: bool) -> Iterator[Finding]:
    """Everything that can be looked at, by the settings in this file. `smtp`: ask the mail servers too."""
    offset = machine.steady_offset()
    settings: list[Settings] = []

    def read() -> Iterator[Finding]:
        settings.append(load_settings(path))
        yield from machine.settings_file(settings[0], path)

    yield from looked("settings", read)
    yield from looked("zone data", machine.zone_data)
    if settings:
        yield from _of_ledger(settings[0], smtp, offset)
    else:
        yield _unseen()


def _of_ledger(settings: Settings, smtp: bool, offset: float) -> Iterator[Finding]:
    engines: list[Engine] = []

    def reach() -> Iterator[Finding]:
        engines.append(engine_for(settings.url))
        yield from database.reached(engines[0])

    there = list(looked("database", reach))
    yield from there
    try:
        if _sound(there):
            yield from _of_database(engines[0])
            schema = list(looked("schema", partial(database.schema, engines[0])))
            yield from schema
            if _sound(schema):
                yield from _of_tables(settings, smtp, offset)
                return
    finally:
        for engine in engines:
            engine.dispose()
    yield _unseen()


def _of_database(engine: Engine) -> Iterator[Finding]:
    yield from looked("durability", partial(database.durable, engine))
    yield from looked("append-only", partial(database.triggers, engine))
    yield from looked("server's clock", partial(database.server_clock, engine))


def _of_tables(settings: Settings, smtp: bool, offset: float) -> Iterator[Finding]:
    looks: dict[str, Look] = {
        "role": lambda place: database.role(place.engine),
        "views": database.up_to_date,
        "suppression key": machine.suppression_key,
        "seal": seal.seal,
        "runners' folder": machine.runners_folder,
        "runners": sending.runners,
        "in doubt": sending.doubts,
        "mailboxes": partial(mailboxes, smtp=smtp),
        "templates": sending.templates,
        "clock": partial(machine.clock, offset_before=offset),  # last: so long it was watched
    }
    place = Workplace(settings)
    try:
        for check, look in looks.items():
            yield from looked(check, partial(look, place))
    finally:
        place.close()


def _unseen() -> Finding:
    return warn("all else", "could not be looked at.", "Mend the above, then ask again.")


def _sound(findings: list[Finding]) -> bool:
    return all(finding.verdict is not Verdict.FAIL for finding in findings)
