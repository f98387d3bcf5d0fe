"""A lead file of any size: the real command, in bounded memory, killed in the middle and run again."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.leads.spool import BATCH
from runner.settings import FILE_NAME, new_settings
from tests.faults.processes import wait_until
from tests.leads.world import World, people

MEMORY_KIB = 150 * 1024
"""What an import may take, whatever the file's size. The program alone takes half of it."""

WIDE = 3_500
"""Characters a row."""

ROWS = 30_000
"""So the file has 105 MB: whoever holds it in memory once has taken too much."""

MEASURED = """\
import sys
from pathlib import Path
from runner.cli import main
try:
    main()
finally:
    print(Path("/proc/self/status").read_text(), file=sys.stderr)
"""


@pytest.fixture
def home(world: World) -> Path:
    """Where the command is given: the world's folder, with its settings."""
    settings = new_settings(world.url.render_as_string(hide_password=False))
    (world.folder / FILE_NAME).write_text(settings)
    (world.folder / "sendledger.key").write_bytes(world.secret)
    return world.folder


def command(home: Path, file: Path) -> subprocess.Popen[str]:
    """`sendledger leads import 4 FILE`; when it ends in good order it says how it was."""
    return subprocess.Popen(
        [sys.executable, "-c", MEASURED, "leads", "import", "4", file.name],
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wide(count: int) -> Iterator[str]:
    yield "email,about\n"
    yield from (f"person{number}@example.com,{number:0{WIDE}}\n" for number in range(count))


def test_a_file_larger_than_the_memory_that_is_left_is_imported(world: World, home: Path) -> None:
    file = world.folder / "leads.csv"
    with file.open("w") as lines:
        lines.writelines(wide(ROWS))
    with command(home, file) as process:
        out, err = process.communicate()
    assert out == f"Campaign 4: {ROWS:,} rows: {ROWS:,} imported.\n"
    peak = re.search(r"VmHWM:\s+(\d+) kB", err)
    assert peak is not None
    assert int(peak[1]) < MEMORY_KIB


def test_a_command_killed_from_outside_is_finished_by_giving_it_again(world: World, home: Path) -> None:
    count = 12 * BATCH
    file = world.file(people(range(count)))
    with command(home, file) as process:
        wait_until(lambda: world.ledger.version("campaign-4") > 2 * BATCH)
        process.kill()
    stands = len(world.addresses())
    assert 0 < stands < count
    assert stands % BATCH == 0
    assert world.unsound() == []
    with command(home, file) as process:
        out, _ = process.communicate()
    assert out == f"Campaign 4: {count:,} rows: {count - stands:,} imported, {stands:,} unchanged.\n"
    assert world.addresses() == [f"person{number}@example.com" for number in range(count)]
    assert world.unsound() == []
