"""Shell completion: commands, numbers of campaigns, names of mailboxes; and where there is nothing to say, silence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from projections.database import engine_for, writing
from runner.cli.completing import campaign_numbers, mailbox_names
from runner.settings import load_settings
from tests.cli.desk import DONE, TIMEOUT_S, Desk, Said, ended

ASKS = {
    "bash": {"COMP_WORDS": "sendledger mailbox pause s", "COMP_CWORD": "3", "_SENDLEDGER_COMPLETE": "complete_bash"},
    "zsh": {"_TYPER_COMPLETE_ARGS": "sendledger mailbox pause s", "_SENDLEDGER_COMPLETE": "complete_zsh"},
    "fish": {
        "_TYPER_COMPLETE_ARGS": "sendledger mailbox pause s",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_SENDLEDGER_COMPLETE": "complete_fish",
    },
}
ANSWERS = {
    "bash": "sales\nsupport\n",
    "zsh": """_arguments '*: :(("sales"\n"support"))'\n""",
    "fish": "sales\nsupport\n",
}
SILENCE = {"bash": "\n", "zsh": "_files\n", "fish": "\n"}
"""What each shell takes for nothing, or for names of files."""


@pytest.fixture
def busy(office: Desk) -> Desk:
    """Eleven campaigns and three mailboxes, of which no view knows yet."""
    for name in ("sales", "support", "post"):
        office.mailbox(name=name)
    for _ in range(11):
        office.done("campaign", "create", office.campaign_file())
    return office


@pytest.mark.usefixtures("busy")
def test_numbers_of_campaigns_and_names_of_mailboxes_are_completed() -> None:
    assert campaign_numbers("") == [str(number) for number in range(1, 12)]
    assert campaign_numbers("1") == ["1", "10", "11"]
    assert mailbox_names("") == ["post", "sales", "support"]
    assert mailbox_names("s") == ["sales", "support"]


@pytest.mark.usefixtures("busy")
def test_completing_waits_for_nobody_who_writes() -> None:
    engine = engine_for(load_settings().url)
    with writing(engine) as connection:
        connection.execute(text("DELETE FROM mailboxes"))
        assert campaign_numbers("11") == ["11"]
    engine.dispose()


def test_a_name_that_a_shell_would_run_is_never_told(desk: Desk) -> None:
    desk.ledger()
    desk.sql("INSERT INTO stored_events VALUES ('mailbox-$(reboot)', 1, 'MailboxAdded/1', x'00')")
    desk.sql("INSERT INTO stored_events VALUES ('mailbox-post', 1, 'MailboxAdded/1', x'00')")
    assert mailbox_names("") == ["post"]


@pytest.mark.parametrize("trouble", ["no settings", "no database", "no tables", "no server", "settings that are wrong"])
def test_a_completion_that_fails_completes_nothing(desk: Desk, trouble: str) -> None:
    url = {"no server": "postgresql://nobody@127.0.0.1:1/nothing"}.get(trouble, "sqlite:///sendledger.db")
    if trouble != "no settings":
        desk.write("sendledger.toml", f'database_url = "{url}"\n' if trouble != "settings that are wrong" else "=")
    if trouble == "no tables":
        desk.write("sendledger.db", "")
    before = sorted(desk.folder.iterdir())
    assert (campaign_numbers(""), mailbox_names("")) == ([], [])
    assert sorted(desk.folder.iterdir()) == before, "it left something behind"


@pytest.mark.parametrize("shell", ASKS)
def test_a_shell_is_answered_in_its_own_words(desk: Desk, shell: str) -> None:
    assert ended(desk.process("", **ASKS[shell])) == Said(DONE, SILENCE[shell], "")
    desk.ledger()
    desk.mailbox(name="sales")
    desk.mailbox(name="support")
    assert ended(desk.process("", **ASKS[shell])) == Said(DONE, ANSWERS[shell], "")


def test_bash_completes_once_it_is_installed(desk: Desk) -> None:
    desk.ledger()
    desk.mailbox()
    desk.done("campaign", "create", desk.campaign_file())
    assert "completion installed" in bash(desk.folder, "sendledger --install-completion; true")
    assert completed(desk.folder, "mailb") == "mailbox\n"
    assert completed(desk.folder, "campaign", "show", "") == "1\n"


def completed(folder: Path, *words: str) -> str:
    """What bash offers for the last of these words."""
    line = " ".join(f"'{word}'" for word in ("sendledger", *words))
    asked = f"source ~/.bashrc; COMP_WORDS=({line}); COMP_CWORD={len(words)}; _sendledger_completion sendledger"
    return bash(folder, asked + r'; printf "%s\n" "${COMPREPLY[@]}"')


def bash(folder: Path, script: str) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        cwd=folder,
        env={**os.environ, "HOME": str(folder), "PATH": path},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout
