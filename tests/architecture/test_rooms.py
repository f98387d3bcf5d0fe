"""Imports point one way only, and the domain reads no clock: given the source, when read, then no rule is broken."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("domain", "projections", "runner", "migrations", "tests")
MAY_IMPORT = {
    "domain": {"domain", "pydantic", "pydantic_core", "holidays"},
    "projections": {"projections", "domain", "sqlalchemy", "psycopg"},
    "migrations": {"migrations", "projections", "domain", "alembic", "sqlalchemy"},
}
LIBRARY_ROOM = ROOT / "runner" / "store"
IMPURE_MODULES = {"asyncio", "io", "logging", "os", "pathlib", "random", "secrets", "socket", "subprocess", "time"}
IMPURE_CALLS = {"now", "utcnow", "today", "fromtimestamp", "open", "print", "input"}


def sources(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import: there is one way to import a module"
            yield node.module or ""


def standard(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_a_room_imports_only_what_it_may(room: str) -> None:
    strangers = {
        (path.relative_to(ROOT).as_posix(), module)
        for path in sources(room)
        for module in imported(path)
        if not standard(module) and module.partition(".")[0] not in MAY_IMPORT[room]
    }
    assert not strangers


def test_no_room_imports_the_tests() -> None:
    rooms = [room for room in ROOMS if room != "tests"]
    assert not [(path, m) for room in rooms for path in sources(room) for m in imported(path) if m.startswith("tests")]


def test_the_domain_has_no_way_to_the_world() -> None:
    found = {
        (path.name, module)
        for path in sources("domain")
        for module in imported(path)
        if module.partition(".")[0] in IMPURE_MODULES
    }
    assert not found


def test_the_domain_never_reads_a_clock() -> None:
    found = [
        f"{path.name}:{node.lineno}"
        for path in sources("domain")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and _called(node) in IMPURE_CALLS
    ]
    assert not found


def test_only_the_rooms_hold_python_at_the_top() -> None:
    assert not list(ROOT.glob("*.py"))
    holders = {path.relative_to(ROOT).parts[0] for room in ROOMS for path in sources(room)}
    assert holders == set(ROOMS)


def test_the_event_sourcing_library_stays_in_the_store() -> None:
    """But for its errors, which the send path must tell apart."""
    allowed = {"eventsourcing.persistence"}
    found = {
        (path.relative_to(ROOT).as_posix(), module)
        for path in sources("runner")
        if LIBRARY_ROOM not in path.parents
        for module in imported(path)
        if module.startswith("eventsourcing") and module not in allowed
    }
    assert not found


def test_a_replay_has_no_way_to_send() -> None:
    """Whatever it imports, and whatever that does."""
    left, known = {_module(path) for path in sources("runner/replaying")}, set[str]()
    while left:
        known |= left
        left = {m for module in left if _path(module).exists() for m in imported(_path(module))} - known
    sends = ("runner.sending", "runner.smtp", "runner.mail", "runner.daemon", "smtplib")
    assert not {module for module in known if module.startswith(sends)}


@pytest.mark.parametrize("module", ["runner/replaying/shadow.py", "runner/replaying/history.py"])
def test_what_runs_beside_a_sender_is_handed_no_ledger(module: str) -> None:
    names = {node.id for node in ast.walk(ast.parse((ROOT / module).read_text("utf-8"))) if isinstance(node, ast.Name)}
    assert "Ledger" not in names


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def _path(module: str) -> Path:
    return (ROOT / module.replace(".", "/")).with_suffix(".py")


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""
