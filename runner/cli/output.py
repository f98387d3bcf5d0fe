"""Listings as table, JSON or CSV; and the one place where a command's words meet the terminal.
JSON and CSV are written row by row as the rows come, so a listing of any length takes no more memory than a short one.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, TextIO
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from domain.rules import Wait

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet would run a cell that begins so."""

PIPED_WIDTH = 160
"""Columns of a table that goes to a file or a pipe, where there is no terminal to ask."""

console = Console(highlight=False, emoji=False, soft_wrap=True, width=None if sys.stdout.isatty() else PIPED_WIDTH)


class Format(StrEnum):
    """How a listing is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


MaybeReason = Annotated[str | None, typer.Option("--reason", help="Recorded for ever; may hold no address.")]
FormatOption = Annotated[Format, typer.Option("--format", "-f", help="table for people, json or csv for programs.")]


def show(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], form: Format, *, empty: str = "None.") -> None:
    """Print rows: a table with these columns, or all of them as JSON or CSV."""
    match form:
        case Format.TABLE:
            _table(list(rows), columns, empty)
        case Format.JSON:
            _json(rows, columns)
        case Format.CSV:
            _csv(rows, columns)


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")


def say(text: str) -> None:
    """One line for people."""
    console.print(text, markup=False)


def local(at: datetime | str | None, zone: str = "UTC") -> str:
    """A time in a zone, to the second, for people."""
    if not at:
        return ""
    at = datetime.fromisoformat(at) if isinstance(at, str) else at
    return f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S}"


def held_by(wait: Wait, zone: str) -> str:
    """The rule that holds a mail back, for people: its note, and until when in this zone."""
    note = f" ({wait.note})" if wait.note else ""
    until = f", until {local(wait.until, zone)}" if wait.until else ""
    return f"{wait.rule}{note}{until}"


def _table(rows: list[Mapping[str, Any]], columns: Sequence[str], empty: str) -> None:
    if not rows:
        say(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        numbers = all(isinstance(row[name], int | None) for row in rows)
        table.add_column(name.replace("_", " "), justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if row[name] is None else str(row[name])) for name in columns))
    console.print(table)


def _json(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    write_json(sys.stdout, columns, ([row[name] for name in columns] for row in rows))


def _csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    write_csv(sys.stdout, columns, ([row[name] for name in columns] for row in rows))


def write_json(to: TextIO, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """As `print_json` would write the list of them. Cell by cell: an encoder that indents takes five times as long."""
    encode = json.JSONEncoder(ensure_ascii=False, default=str).encode
    keys = [f"    {encode(name)}: " for name in columns]
    before, end = "[\n", "[]\n"
    for row in rows:
        cells = ",\n".join([key + encode(value) for key, value in zip(keys, row, strict=True)])
        to.write(f"{before}  {{\n{cells}\n  }}")
        before, end = ",\n", "\n]\n"
    to.write(end)


def write_csv(to: TextIO, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """For spreadsheets and programs. A text that a spreadsheet would take for a formula is quoted; numbers stay so."""
    writer = csv.writer(to, lineterminator="\r\n")
    writer.writerow(columns)
    starts = FORMULA_STARTS  # written out: a call for each cell took a third of an export
    writer.writerows(
        [f"'{value}" if value.__class__ is str and value.startswith(starts) else value for value in row] for row in rows
    )
