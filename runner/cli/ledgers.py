"""`sendledger init`, `rebuild`, `sink`: make a ledger, make its views anew, try mail out."""

from __future__ import annotations

import secrets
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from domain.errors import InvalidInput
from migrations.run import upgrade
from projections.database import engine_for, writing
from projections.kept import SET_INFO
from runner.cli.context import command, naming, workplace
from runner.cli.output import Format, FormatOption, say, show
from runner.cli.progress import bar
from runner.cli.sending import instant
from runner.sending.guard import Guard
from runner.settings import TEMPLATE, Settings, load_settings, parse_settings, settings_path
from runner.sink import RefuseRule, Sink
from runner.store.ledger import Ledger
from runner.workplace import LEDGER_ID, SIMULATED_START

app = typer.Typer()

KEY_BYTES = 32
PRIVATE = 0o600


@app.command("init")
@command
def init(
    simulated: Annotated[bool, typer.Option("--simulated", help="Simulated time; mail stays on this machine.")] = False,
    start: Annotated[str | None, typer.Option(help="Where simulated time starts; now, unless given.")] = None,
) -> None:
    """Make a ledger here: settings file, key of the suppression list, database. What is there already is kept.

    Example: sendledger init --simulated --start 2026-10-05T07:00+02:00
    """
    if start and not simulated:
        raise InvalidInput("only simulated time has a start.", mend="Add --simulated.", field="--start")
    begin = instant(start, field="--start") if start else datetime.now(UTC)
    path = settings_path()
    settings = load_settings(path) if path.exists() else parse_settings(tomllib.loads(TEMPLATE), path)
    if settings.database.exists():
        mend = "Use it, or name another database_url."
        raise InvalidInput(f"there is a ledger at {settings.database} already.", mend=mend, source=str(path))
    info = [{"key": LEDGER_ID, "value": secrets.token_hex(16)}]
    if simulated:
        info.append({"key": SIMULATED_START, "value": begin.isoformat()})
    with _all_or_nothing(path, *_key_file(settings), *_database_files(settings)), naming(settings.database):
        if not path.exists():
            path.write_text(TEMPLATE, encoding="utf-8")
        _make_key(settings)
        _make_database(settings, info)
    time = f"simulated from {begin:%Y-%m-%d %H:%M} UTC" if simulated else "real"
    say(f"Ledger made: {settings.database}, time {time}. Settings: {path}")


@app.command("rebuild")
@command
def rebuild(
    check: Annotated[bool, typer.Option("--check", help="Change nothing: compare with rebuilt views.")] = False,
    form: FormatOption = Format.TABLE,
) -> None:
    """Make all views anew from the events. Interrupted, the old ones stay.

    Example: sendledger rebuild --check
    """
    with workplace() as place, bar("events") as progress:
        total = place.ledger.position()
        place.projector.catch_up()
        if not check:
            place.projector.rebuild(lambda done: progress(done, total))
            say(f"Views rebuilt from {total:,} events.")
            return
        differences = place.projector.check(lambda done: progress(done, total))
    rows = [{"table": d.table, "key": str(d.key), "difference": str(d)} for d in differences]
    show(rows, ("table", "key", "difference"), form, empty=f"The views equal those rebuilt from {total:,} events.")
    if rows:
        raise typer.Exit(1)


@app.command("sink")
@command
def sink(
    maildir: Annotated[Path, typer.Option(help="Where mails are filed.")],
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 2525,
    refuse: Annotated[list[str] | None, typer.Option(help="Refuse this address for good; repeatable.")] = None,
    greylist: Annotated[list[str] | None, typer.Option(help="Refuse this address at first; repeatable.")] = None,
) -> None:
    """Serve a mail server for trying out: it files every mail in a Maildir and sends none on.

    Example: sendledger sink --maildir mails --port 2525 --greylist pawel@customer.example
    """
    rules = [RefuseRule(address) for address in refuse or ()]
    rules += [RefuseRule(address, 1) for address in greylist or ()]
    server = Sink(maildir, host, port, refuse=rules)
    try:
        server.listen()
    except OSError as error:
        mend = "Take another with --port."
        raise InvalidInput(f"port {port} is not free: {error.strerror}.", mend=mend, field="--port") from None
    say(f"Listening on {host}:{server.port}, mails go to {maildir}. Ctrl-C ends it.")
    server.serve_forever()
    say(f"{server.accepted} mails filed in {maildir}.")


@contextmanager
def _all_or_nothing(*files: Path) -> Iterator[None]:
    """Those of these files that are new stay only if all that is done meanwhile succeeds."""
    with ExitStack() as undo:
        for file in files:
            if not file.exists():
                undo.callback(_remove, file)
        yield
        undo.pop_all()


def _remove(file: Path) -> None:
    with suppress(OSError):  # it was never made
        file.unlink()


def _key_file(settings: Settings) -> list[Path]:
    kind, _, place = settings.suppression_key.partition(":")
    return [settings.folder / place] if kind == "file" else []


def _database_files(settings: Settings) -> list[Path]:
    return [settings.database.with_name(settings.database.name + suffix) for suffix in ("", "-wal", "-shm")]


def _make_key(settings: Settings) -> None:
    for path in _key_file(settings):
        if not path.exists():
            path.touch(mode=PRIVATE)
            path.write_text(secrets.token_hex(KEY_BYTES) + "\n", encoding="ascii")


def _make_database(settings: Settings, info: list[dict[str, str]]) -> None:
    url = f"sqlite:///{settings.database}"
    upgrade(url)
    engine = engine_for(url)
    with writing(engine) as connection:
        connection.execute(SET_INFO, info)
    engine.dispose()
    with closing(Ledger(settings.database)) as ledger:
        Guard(ledger, settings.runners_folder).mark()  # from its first event on, this machine knows the ledger
