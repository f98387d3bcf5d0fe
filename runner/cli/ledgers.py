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
from sqlalchemy.engine import URL

from domain.commitments import key_check
from domain.errors import InvalidInput
from migrations.run import create, require_empty, shown
from projections.database import is_sqlite
from projections.projector import Difference
from runner.cli.audit.keys import make_signing_key, write_private
from runner.cli.context import command, naming, workplace
from runner.cli.output import Format, FormatOption, say, show
from runner.cli.panels import REPAIR, SET_UP
from runner.cli.progress import bar
from runner.cli.sending import instant
from runner.sending.guard import Guard
from runner.settings import DEFAULT_URL, Settings, load_settings, new_settings, parse_settings, settings_path
from runner.sink import RefuseRule, Sink
from runner.store.ledger import Ledger
from runner.workplace import KEY_CHECK, LEDGER_ID, SIMULATED_START

app = typer.Typer()

KEY_BYTES = 32


@app.command("init", rich_help_panel=SET_UP, short_help="Make a ledger here: settings, keys, database.")
@command
def init(
    simulated: Annotated[bool, typer.Option("--simulated", help="Simulated time; mail stays on this machine.")] = False,
    start: Annotated[str | None, typer.Option(help="Where simulated time starts; now, unless given.")] = None,
    database_url: Annotated[
        str | None, typer.Option(help="Where; a file here, or postgresql://USER@HOST/DATABASE.")
    ] = None,
) -> None:
    """Make a ledger here: settings file, keys of suppression list and seal, database. What is there already is kept.

    Example: sendledger init --database-url postgresql://sendledger@db.example/sendledger
    """
    if start and not simulated:
        raise InvalidInput("only simulated time has a start.", mend="Add --simulated.", field="--start")
    begin = instant(start, field="--start") if start else datetime.now(UTC)
    path = settings_path()
    is_new = not path.exists()
    if database_url and not is_new:
        raise InvalidInput("there are settings here already.", mend="Change database_url there.", source=str(path))
    text = new_settings(database_url or DEFAULT_URL)
    settings = parse_settings(tomllib.loads(text), path) if is_new else load_settings(path)
    with naming(settings.url):
        require_empty(settings.url)
    _require_no_seal(settings)
    with _all_or_nothing(path, *_key_files(settings), *_database_files(settings.url)), naming(settings.url):
        if is_new:
            path.write_text(text, encoding="utf-8")
        _make_key(settings)
        _make_database(settings, begin if simulated else None)
    time = f"simulated from {begin:%Y-%m-%d %H:%M} UTC" if simulated else "real"
    say(f"Ledger made: {shown(settings.url)}, time {time}. Settings: {path}")


@app.command("rebuild", rich_help_panel=REPAIR, short_help="Make all views anew from the events, or compare them.")
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
        if not check:
            place.projector.rebuild(lambda done: progress(done, total))
            say(f"Views rebuilt from {total:,} events.")
            return
        differences = place.projector.check(lambda done: progress(done, total))
    rows = [{"table": d.table, "key": str(d.key), "difference": _told(d)} for d in differences]
    show(rows, ("table", "key", "difference"), form, empty=f"The views equal those rebuilt from {total:,} events.")
    if rows:
        raise typer.Exit(1)


@app.command("sink", rich_help_panel=SET_UP, short_help="A mail server for trying out: files mails, sends none on.")
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


def _told(difference: Difference) -> str:
    """What is wrong with the live row."""
    live, rebuilt = difference.live, difference.rebuilt
    if live is None or rebuilt is None:
        return "is missing" if live is None else "should not be there"
    changed = (name for name in live if live[name] != rebuilt[name])
    return ", ".join(f"{name} is {live[name]!r} and should be {rebuilt[name]!r}" for name in changed)


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


def _key_files(settings: Settings) -> list[Path]:
    places = (settings.suppression_key, settings.signing_key)
    return [file for file in map(settings.key_file, places) if file is not None]


def _database_files(url: URL) -> list[Path]:
    return [Path(f"{url.database}{suffix}") for suffix in ("", "-wal", "-shm")] if is_sqlite(url) else []


def _require_no_seal(settings: Settings) -> None:
    """A log has a key and a file of checkpoints of its own: those of another would never fit."""
    for file in (settings.key_file(settings.signing_key), settings.checkpoints_file):
        if file is not None and file.exists():
            mend = "Move it away, or name another file in the settings."
            raise InvalidInput("belongs to the seal of another ledger.", mend=mend, source=str(file))


def _make_key(settings: Settings) -> None:
    file = settings.key_file(settings.suppression_key)
    if file is not None and not file.exists():
        write_private(file, secrets.token_hex(KEY_BYTES))


def _make_database(settings: Settings, simulated_start: datetime | None) -> None:
    ledger_id = secrets.token_hex(16)
    make_signing_key(settings, ledger_id)
    info = {LEDGER_ID: ledger_id, KEY_CHECK: key_check(settings.secret())}
    if simulated_start is not None:
        info[SIMULATED_START] = simulated_start.isoformat()
    create(settings.url, info)
    with closing(Ledger(settings.url)) as ledger:
        Guard(ledger, settings.runners_folder).mark()  # from its first event on, this machine knows the ledger
