"""Settings that are wrong, databases that cannot be used: exit code 2, file or variable named, nothing changed."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from migrations.run import head
from runner.sink import Sink
from tests.cli.desk import MONDAY, Desk

ROOM_OCTETS = 40_000
"""A full disk, as one process meets it: enough for what SQLite shares between connections, too little to write."""

# --- settings ---

SETTINGS = {
    "an unknown key": ("v1_evry_s = 30", "v1_evry_s: is no setting. There are: checkpoints, database_password,"),
    "a word for a number": ('v1_every_s = "soon"', "v1_every_s: Input should be a valid integer"),
    "a fraction": ("v2_every_s = 0.5", "v2_every_s: Input should be a valid integer"),
    "no time at all": ("v2_every_s = 0", "v2_every_s: Input should be greater than or equal to 1"),
    "more than a day": ("v2_every_s = 90000", "v2_every_s: Input should be less than or equal to 86400"),
    "an unknown format": ('log_format = "xml"', "log_format: Input should be 'text' or 'json'"),
    "a number for a text": ("database_url = 5", "database_url: Input should be a valid string"),
    "an unknown database": (
        'database_url = "mysql://host/db"',
        "database_url: mysql is no database that this program knows. Write sqlite:///PATH",
    ),
    "a database without a path": ('database_url = "sqlite:///"', "it names no database. Write sqlite:///PATH"),
    "a secret that is no reference": ('suppression_key = "hunter2"', "suppression_key: is not a reference to a secret"),
    "a folder": ('folder = "/tmp"', "folder: is no setting"),
    "no TOML": ("log_format = \nv1_every_s = 60", "is not TOML: Invalid value (at line 1"),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_a_settings_file_is_refused_with_its_key(desk: Desk, case: str) -> None:
    text, words = SETTINGS[case]
    desk.write("sendledger.toml", text)
    for command in (("init",), ("status",), ("run",), ("db", "current")):
        said = desk.refused(*command)
        assert said.startswith("sendledger: sendledger.toml")
        assert words in said
        assert "hunter2" not in said


VARIABLES = {
    "SENDLEDGER_V1_EVERY_S": ("soon", "Input should be a valid integer"),
    "sendledger_v2_every_s": ("0", "Input should be greater than or equal to 1"),
    "SENDLEDGER_LOG_FORMAT": ("xml", "Input should be 'text' or 'json'"),
    "SENDLEDGER_DATABASE_URL": ("mysql://host/db", "mysql is no database that this program knows"),
    "SENDLEDGER_SUPPRESSION_KEY": ("hunter2", "is not a reference to a secret"),
}


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_variable_of_the_environment_is_refused_by_its_name(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    value, words = VARIABLES[variable]
    desk.ledger()
    monkeypatch.setenv(variable, value)
    said = desk.refused("status")
    assert said.startswith(f"sendledger: {variable.upper()}: {words}")
    assert "hunter2" not in said


def test_the_environment_overrules_the_file_and_only_its_settings(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.write("sendledger.toml", 'v1_every_s = 0\ndatabase_url = "sqlite:///other.db"')
    monkeypatch.setenv("SENDLEDGER_V1_EVERY_S", "30")
    monkeypatch.setenv("SENDLEDGER_DATABASE_URL", "sqlite:///mine.db")
    monkeypatch.setenv("SENDLEDGER_FOLDER", "/nonexistent")
    desk.done("init")
    assert (desk.folder / "mine.db").exists()
    assert not (desk.folder / "other.db").exists()


def test_paths_are_relative_to_the_settings_file(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    (desk.folder / "office").mkdir()
    monkeypatch.setenv("SENDLEDGER_SETTINGS", "office/sendledger.toml")
    desk.done("init")
    assert {path.name for path in desk.folder.iterdir()} == {"office"}
    assert {path.name for path in (desk.folder / "office").glob("sendledger.*")} == {
        *("sendledger.toml", "sendledger.key", "sendledger.seal.key", "sendledger.db", "sendledger.db.runners")
    }
    desk.done("suppress", "add", "max@customer.example")


def test_without_settings_every_command_says_how_to_get_some(desk: Desk) -> None:
    for command in (("status",), ("campaign", "list"), ("run",), ("db", "check")):
        assert "sendledger.toml: there is no settings file. Make a ledger here with `sendledger init`" in desk.refused(
            *command
        )


def test_the_key_of_the_suppression_list_is_asked_for_where_it_is_missing(desk: Desk) -> None:
    desk.ledger()
    desk.mailbox()
    desk.campaign(started=False)
    (desk.folder / "sendledger.key").unlink()
    assert "suppression_key" in desk.refused("suppress", "add", "max@customer.example")
    assert "suppression_key" in desk.refused("leads", "import", "1", "leads.csv")


# --- init: all or nothing ---

PLACES = {
    "no folder for the database": ("DATABASE_URL", "sqlite:///nowhere/ledger.db", "nowhere/ledger.db: unable to open"),
    "a file for a folder": ("DATABASE_URL", "sqlite:///file/ledger.db", "file/ledger.db: unable to open"),
    "a folder for the database": ("DATABASE_URL", "sqlite:///folder", "folder: unable to open"),
    "no folder for the key": ("SUPPRESSION_KEY", "file:nowhere/key", "nowhere/key: No such file or directory"),
    "no folder for the settings": ("SETTINGS", "nowhere/my.toml", "nowhere/my.toml: No such file or directory"),
    "a folder for the settings": ("SETTINGS", "folder", "folder: cannot be read: Is a directory"),
}


@pytest.mark.parametrize("case", PLACES)
def test_a_ledger_is_made_as_a_whole_or_not_at_all(desk: Desk, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    variable, value, words = PLACES[case]
    desk.write("file", "")
    (desk.folder / "folder").mkdir()
    monkeypatch.setenv(f"SENDLEDGER_{variable}", value)
    assert words in desk.refused("init")
    assert {path.name for path in desk.folder.iterdir()} == {"file", "folder"}


def test_on_a_full_disk_no_half_ledger_is_left(desk: Desk) -> None:
    with no_room():
        assert desk.refused("init").startswith("sendledger: sendledger.db: ")
    assert list(desk.folder.iterdir()) == []
    desk.done("init")


def test_a_ledger_is_never_made_over_another(desk: Desk) -> None:
    desk.ledger()
    assert "there is a ledger at sendledger.db already" in desk.refused("init")
    assert "--start: only simulated time has a start" in desk.refused("init", "--start", f"{MONDAY}T08:00Z")
    desk.database.unlink()
    assert "--start: 'soon' is no instant" in desk.refused("init", "--simulated", "--start", "soon")
    before = (desk.folder / "sendledger.key").read_bytes()
    assert "sendledger.seal.key: belongs to the seal of another ledger." in desk.refused("init")
    (desk.folder / "sendledger.seal.key").unlink()
    desk.ledger()
    assert (desk.folder / "sendledger.key").read_bytes() == before


# --- databases ---


@contextmanager
def no_room() -> Iterator[None]:
    """Files of this process cannot grow beyond little: file modes do not hold back a test that runs as root."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM_OCTETS, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def becomes_a_folder(database: Path) -> None:
    database.unlink()
    database.mkdir()


def becomes_text(database: Path) -> None:
    database.write_text("This is no database. " * 100)


def is_cut_short(database: Path) -> None:
    database.write_bytes(database.read_bytes()[:5000])


def has_a_folder_where_its_log_belongs(database: Path) -> None:
    database.with_name(f"{database.name}-wal").mkdir()


BROKEN = [becomes_a_folder, becomes_text, is_cut_short, has_a_folder_where_its_log_belongs]


@pytest.mark.parametrize("breaks", BROKEN)
def test_a_database_that_cannot_be_used_is_named(desk: Desk, breaks: Callable[[Path], None]) -> None:
    desk.ledger(clock=f"{MONDAY}T10:00+02:00")
    desk.mailbox()
    desk.campaign(started=False)
    breaks(desk.database)
    for command in ("status", "campaign start 1", "leads import 1 leads.csv", "tick v1", "rebuild", "suppress list"):
        said = desk.says(*command.split())
        assert said.code == 2
        assert said.err.startswith("sendledger: sendledger.db: ")
        assert said.err.endswith(". Mend the file, its folder or the disk.\n")
    assert desk.says("db", "current").err.startswith("sendledger: sendledger.db: ")


def test_on_a_full_disk_nothing_is_half_done(desk: Desk) -> None:
    desk.ledger()
    desk.mailbox()
    desk.campaign(started=False)
    desk.done("status")
    people = "".join(f"p{n}@customer.example,P\n" for n in range(1000))
    many = desk.write("many.csv", f"email,first_name\n{people}")
    with no_room():
        assert desk.refused("leads", "import", "1", many).startswith("sendledger: ")
    assert desk.rows("campaign", "list")[0]["leads"] == 4
    assert "1,000 imported" in desk.done("leads", "import", "1", many)


def test_a_database_that_is_not_there_is_not_made_by_looking(desk: Desk) -> None:
    desk.ledger()
    desk.database.unlink()
    for command in ("status", "run", "campaign list", "suppress list", "db current", "db check", "db upgrade"):
        assert "database_url: there is no ledger at sendledger.db. Make it with `sendledger init`" in desk.refused(
            *command.split()
        )
    assert not desk.database.exists()


def test_a_database_of_another_schema_is_refused_with_what_mends_it(desk: Desk) -> None:
    desk.ledger()
    desk.sql("UPDATE alembic_version SET version_num = '9999'")
    for command in ("status", "run", "db check"):
        assert f"schema 9999, this program needs {head()}. A newer Sendledger made it" in desk.refused(*command.split())
    assert desk.done("db", "current") == f"database 9999, program {head()}\n"
    desk.sql("DELETE FROM alembic_version")
    assert "Bring it up to date with `sendledger db upgrade`" in desk.refused("status")


def test_an_empty_database_is_brought_to_the_schema_after_a_dry_run(desk: Desk) -> None:
    desk.ledger()
    desk.database.write_bytes(b"")
    told = f"Would bring the schema from none to {head()}. Nothing was changed.\n"
    assert desk.done("db", "upgrade", "--dry-run") == told
    assert "sendledger db upgrade" in desk.says("status").err
    assert desk.done("db", "upgrade") == f"The schema is {head()} now; it was none.\n"
    assert desk.rows("status") == []


def test_a_port_that_is_taken_is_named(desk: Desk) -> None:
    with Sink(desk.folder / "mails") as taken:
        said = desk.says("sink", "--maildir", "other", "--port", str(taken.port))
    assert (said.code, "--port: port" in said.err, "Take another with --port" in said.err) == (2, True, True)


def test_a_folder_for_the_demonstration_that_cannot_be_made_is_named(desk: Desk) -> None:
    desk.write("file", "")
    assert "file: File exists" in desk.refused("demo", "--folder", "file")
