"""`sendledger leads …` and `sendledger suppress …` as a person meets them: words, exit codes, the key's file."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from runner.cli.app import app
from runner.mail.sanitise import line_problem
from runner.settings import FILE_NAME, load_settings
from tests.databases import Databases
from tests.leads.world import World

LEADS = "email,first_name\nanna@example.com,Anna\njan@example.com,Jan\n"
ENCODED = "=?utf-8?q?Ewa?="
KEY = Path("sendledger.key")


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str


class Sendledger(Protocol):
    def __call__(self, *words: str) -> Said: ...


@pytest.fixture
def home(tmp_path: Path, databases: Databases, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a ledger that the program has made; it is where commands are given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SENDLEDGER_ACTOR", "operator")
    url = databases.empty().render_as_string(hide_password=False)
    app(["init", "--database-url", url], standalone_mode=False)
    return tmp_path


@pytest.fixture
def world(home: Path) -> Iterator[World]:
    """The same ledger, with campaign 4."""
    settings = load_settings(home / FILE_NAME)
    world = World(settings.url, home, settings.secret())
    world.campaign()
    yield world
    world.close()


@pytest.fixture
def sendledger(capsys: pytest.CaptureFixture[str]) -> Sendledger:
    """The program."""

    def run(*words: str) -> Said:
        capsys.readouterr()
        code = app(words, standalone_mode=False)
        return Said(code or 0, *capsys.readouterr())

    return run


class TestLeadsImport:
    def test_it_says_what_became_of_each_row(self, world: World, sendledger: Sendledger) -> None:
        world.load("email,first_name\newa@example.com,Ewa\nola@example.com,Ola\niza@example.com,Iza\n")
        world.start()
        world.lock(2)
        sendledger("suppress", "add", "piotr@example.com")
        world.file(
            f"{LEADS}ewa@example.com,Ewa\nola@example.com,Olga\niza@example.com,x\npiotr@example.com,P\n", "l.csv"
        )
        assert sendledger("leads", "import", "4", "l.csv") == Said(
            0,
            "Campaign 4: 6 rows: 2 imported, 1 changed, 1 unchanged, 1 suppressed, skipped,"
            " 1 no longer waiting, left as they are.\n",
            "",
        )

    def test_bad_rows_end_it_with_their_rows_and_code_2(self, world: World, sendledger: Sendledger) -> None:
        world.file(f"{LEADS}nobody,Ola\newa@example.com,{ENCODED}\n")
        before = world.everything()
        said = sendledger("leads", "import", "4", "leads.csv")
        assert (said.code, said.out) == (2, "")
        assert said.err.splitlines() == [
            "sendledger: leads.csv: 2 of 4 rows cannot be used, so nothing was imported.",
            "  row 4, email: An email address must have an @-sign.",
            f"  row 5, first_name: {line_problem(ENCODED)}",
            "Correct them, or leave them out with --skip-bad-rows.",
        ]
        assert world.everything() == before

    def test_bad_and_repeated_rows_that_are_skipped_are_told_by_row(self, world: World, sendledger: Sendledger) -> None:
        world.file(f"{LEADS}nobody,Ola\nAnna@example.com,Ania\n")
        said = sendledger("leads", "import", "4", "leads.csv", "--skip-bad-rows")
        assert said.out.splitlines() == [
            "  row 4, email: An email address must have an @-sign.",
            "  row 5, email: the same address as in row 2.",
            "Campaign 4: 4 rows: 2 imported, 1 duplicates in the file, skipped, 1 bad, skipped.",
        ]

    def test_a_dry_run_says_so_and_writes_nothing(self, world: World, sendledger: Sendledger) -> None:
        world.file(LEADS)
        before = world.everything()
        said = sendledger("leads", "import", "4", "leads.csv", "--dry-run")
        assert said == Said(0, "Campaign 4: 2 rows: 2 imported (dry run, nothing was written).\n", "")
        assert world.everything() == before

    @pytest.mark.parametrize(
        ("number", "file", "words"),
        [
            ("9", "leads.csv", "there is no campaign-9"),
            ("4", "nowhere.csv", "nowhere.csv: cannot be read: No such file or directory."),
            ("4", "empty.csv", "empty.csv: is empty."),
        ],
    )
    def test_what_cannot_be_done_is_one_line_and_code_2(
        self, world: World, sendledger: Sendledger, number: str, file: str, words: str
    ) -> None:
        world.file(LEADS)
        world.file("", "empty.csv")
        said = sendledger("leads", "import", number, file)
        assert said.code == 2
        assert said.err.startswith(f"sendledger: {words}")
        assert said.err.count("\n") == 1


class TestSuppress:
    def test_add_list_and_remove(self, world: World, sendledger: Sendledger) -> None:
        world.load(LEADS)
        assert sendledger("suppress", "list").out == "Nobody is suppressed.\n"
        said = sendledger("suppress", "add", "ANNA@example.com", "ewa@example.com", "--reason", "by phone")
        assert said == Said(0, "2 added, 0 on the list already; 1 waiting leads skipped.\n", "")
        listed = json.loads(sendledger("suppress", "list", "--format", "json").out)
        assert [(entry["reason"], entry["by"]) for entry in listed] == [("by phone", "operator")] * 2
        assert all(set(entry) == {"hmac", "reason", "added_at", "by"} for entry in listed)
        assert sendledger("suppress", "list", "--format", "csv").out.splitlines()[0] == "hmac,reason,added_at,by"
        said = sendledger("suppress", "remove", "ewa@example.com", "jan@example.com")
        assert said == Said(0, "1 of 2 taken off the list.\n", "")
        assert len(json.loads(sendledger("suppress", "list", "--format", "json").out)) == 1

    def test_import_tells_what_it_did_and_which_rows_are_bad(self, world: World, sendledger: Sendledger) -> None:
        world.load(LEADS)
        world.file("anna@example.com\nnobody@\n", "list.csv")
        said = sendledger("suppress", "import", "list.csv")
        assert said.code == 2
        assert "list.csv: 1 of 2 rows cannot be used" in said.err
        assert sendledger("suppress", "import", "list.csv", "--skip-bad-rows").out.splitlines() == [
            "  row 2, email: There must be something after the @-sign.",
            "1 added, 0 on the list already; 1 waiting leads skipped.",
        ]

    def test_a_mail_under_way_is_told_by_number_with_what_to_do(self, world: World, sendledger: Sendledger) -> None:
        world.load(LEADS)
        world.start()
        world.lock(1)
        said = sendledger("suppress", "add", "jan@example.com")
        assert said.out.splitlines()[1] == (
            "  campaign 4, lead 2: its mail is under way and cannot be called back;"
            " if it fails for now, suppress again."
        )

    @pytest.mark.parametrize(
        ("words", "problem"),
        [
            (["jan@example.com", "nobody"], "email: An email address must have an @-sign."),
            (["jan@example.com", "--reason", "anna@example.com asked"], "reason: holds what looks like an e-mail"),
        ],
    )
    def test_bad_input_is_one_line_and_code_2_and_suppresses_nobody(
        self, world: World, sendledger: Sendledger, words: list[str], problem: str
    ) -> None:
        said = sendledger("suppress", "add", *words)
        assert said.code == 2
        assert said.err.startswith(f"sendledger: {problem}")
        assert "anna@" not in said.err
        assert world.suppressions() == []


class TestKey:
    def test_init_makes_it_outside_the_database_for_its_owner_only(self, world: World) -> None:
        key = KEY.read_text().strip()
        assert len(bytes.fromhex(key)) == 32
        assert stat.S_IMODE(KEY.stat().st_mode) == 0o600
        assert key.encode() not in world.octets()
        assert bytes.fromhex(key) not in world.octets()

    def test_each_ledger_has_its_own(self, home: Path, sendledger: Sendledger, monkeypatch: pytest.MonkeyPatch) -> None:
        other = home / "other"
        other.mkdir()
        monkeypatch.chdir(other)
        assert sendledger("init").code == 0
        assert (other / KEY).read_text() != (home / KEY).read_text()

    @pytest.mark.parametrize(
        "words",
        [
            ["leads", "import", "4", "leads.csv"],
            ["leads", "import", "4", "leads.csv", "--dry-run"],
            ["suppress", "add", "anna@example.com"],
            ["suppress", "import", "leads.csv"],
            ["suppress", "remove", "anna@example.com"],
        ],
        ids=" ".join,
    )
    def test_without_it_whatever_needs_the_list_says_so_and_does_nothing(
        self, world: World, sendledger: Sendledger, words: list[str]
    ) -> None:
        world.file(LEADS)
        KEY.unlink()
        before = world.everything()
        said = sendledger(*words)
        assert said == Said(
            2,
            "",
            "sendledger: suppression_key: sendledger.key cannot be read: No such file or directory."
            " Mend the file or the path.\n",
        )
        assert world.everything() == before

    def test_it_may_come_from_the_environment(
        self, world: World, sendledger: Sendledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SENDLEDGER_SUPPRESSION_KEY", "env:LIST_KEY")
        assert "the environment variable LIST_KEY is not set." in sendledger("suppress", "add", "a@example.com").err
        monkeypatch.setenv("LIST_KEY", KEY.read_text().strip())
        KEY.unlink()
        sendledger("suppress", "add", "anna@example.com")
        assert world.load(LEADS).suppressed == 1
