"""Every command explains itself, and shows how it is used."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest

from runner.cli.panels import IN_ORDER
from tests.cli.desk import SENDLEDGER, Desk


def commands(node: Any = SENDLEDGER, path: str = "") -> Iterator[str]:
    """All commands that do something, by their words."""
    for name, inner in node.commands.items():
        words = f"{path} {name}".strip()
        if hasattr(inner, "commands"):
            yield from commands(inner, words)
        else:
            yield words


def groups() -> set[str]:
    return {words.rpartition(" ")[0] for words in commands()}


@pytest.mark.parametrize("words", list(commands()))
def test_every_command_has_an_example_of_itself(desk: Desk, words: str) -> None:
    said = " ".join(desk.done(*words.split(), "--help").split())
    assert re.search(rf"Usage: sendledger {words} ", said)
    assert f"Example: sendledger {words}" in said, f"`{words} --help` shows no example"


@pytest.mark.parametrize("group", sorted(groups()))
def test_every_group_lists_its_commands_each_with_a_sentence(desk: Desk, group: str) -> None:
    lines = desk.done(*group.split(), "--help").splitlines()
    for words in commands():
        if words.rpartition(" ")[0] == group:
            assert any(re.match(rf"\W+{words.rpartition(' ')[2]}\s+\w", line) for line in lines), words


def test_without_a_command_the_help_is_shown(desk: Desk) -> None:
    for words in ((), ("campaign",)):
        said = desk.says(*words)
        assert "Usage: sendledger" in said.out + said.err


def test_the_root_help_tells_each_command_on_one_line_under_its_panel(desk: Desk) -> None:
    under: dict[str, list[str]] = {}
    panel = ""
    for line in desk.done("--help").splitlines():
        if title := re.match(r"╭─ (\w[\w ]*?) ─", line):
            panel = title[1]
        elif panel in IN_ORDER and line.startswith("│"):
            name, told = line.strip("│ ").split(maxsplit=1)
            under.setdefault(panel, []).append(name)
            assert told.endswith((".", "?")), f"{name}: {told} goes on in the next line"
    assert list(under) == ["Set up", "Campaigns", "Sending", "Seeing", "Comparing", "Repair"]
    assert sorted(name for names in under.values() for name in names) == sorted(SENDLEDGER.commands)  # type: ignore[attr-defined]


def test_the_version_is_told_without_a_ledger(desk: Desk) -> None:
    assert desk.done("--version") == f"{version('sendledger')}\n"
    assert list(desk.folder.iterdir()) == []
