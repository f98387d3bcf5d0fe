"""The runbook is true: its commands are run in order, and what it shows of their output is what they say."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

from domain import analysis
from tests.cutover.office import Office
from tests.databases import on_sqlite

RUNBOOK = Path(__file__).parents[2] / "docs" / "cutover.md"
STEP = re.compile(r"```console\n(?P<shown>.*?)```|<!-- until (?P<until>\S+) -->", re.DOTALL)
LEFT_OUT = "…"


def shown(block: str) -> Iterator[tuple[list[str], list[str]]]:
    """Each command with what is shown of its output."""
    for said in block.split("$ sendledger ")[1:]:
        words, *lines = said.strip().splitlines()
        yield shlex.split(words), lines


@on_sqlite
def test_the_runbook_shows_what_its_commands_say(office: Office) -> None:
    shutil.copy(str(office.old.database), office.desk.folder / "old.db")
    commands = 0
    for step in STEP.finditer(RUNBOOK.read_text(encoding="utf-8")):
        if until := step["until"]:
            office.desk.done("run", "--until", until)
            continue
        for words, lines in shown(step["shown"]):
            _must_show(office.desk.done(*words), lines, words)
            commands += 1
    assert commands > 15


def _must_show(out: str, lines: list[str], words: list[str]) -> None:
    said = iter(out.splitlines())
    for line in lines:
        begin = line.removesuffix(LEFT_OUT).rstrip()
        if begin:
            assert any(each.rstrip().startswith(begin) for each in said), f"{words} does not say {line!r}:\n{out}"


def test_the_runbook_explains_every_rule_of_an_analysis() -> None:
    rules = {
        value for name, value in vars(analysis).items() if name.isupper() and isinstance(value, str) and "-" in value
    }
    explained = set(
        re.findall(r"`([a-z0-9-]+)`", RUNBOOK.read_text(encoding="utf-8").partition("What an analysis finds")[2])
    )
    assert rules - explained == set()
