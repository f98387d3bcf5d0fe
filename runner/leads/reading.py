"""Reading CSV files: UTF-8 with or without a mark, comma or semicolon, one record at a time in bounded memory.
A fault of the file is raised with its row; a fault of one row is the caller's to collect.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import NamedTuple, TextIO

from domain.errors import InvalidInput
from runner.leads.addresses import EMAIL, canonical
from runner.mail.sanitise import check_field_name, check_merge_fields, printable
from runner.mail.unsubscribe import MERGE_FIELD

PRIORITY = "priority"
DEFAULT_PRIORITY = 999
MAX_RECORD_CHARACTERS = 1_000_000
"""More is no row: a quote that nobody closed, or a file that is no text."""

_PRIORITY = re.compile(r"-?[0-9]{1,9}")
_UNDECODED = re.compile(r"[\ud800-\udfff]")


class Lead(NamedTuple):
    """A lead as a file gives it. `row`: where its record begins, as a spreadsheet counts."""

    row: int
    address: str
    priority: int
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class LeadColumns:
    """What the columns of a lead file are, by place."""

    count: int
    email: int
    priority: int | None
    fields: tuple[tuple[int, str], ...]

    def lead(self, row: int, cells: Sequence[str]) -> Lead:
        """The lead in these cells. Raises `InvalidInput` with the column, without quoting the cell."""
        if len(cells) != self.count:
            raise InvalidInput(f"has {len(cells)} cells, the header has {self.count}.", field="row")
        address = canonical(given(cells[self.email]))
        priority = DEFAULT_PRIORITY if self.priority is None else _priority(cells[self.priority])
        fields = {name: cells[at] for at, name in self.fields}
        check_merge_fields(fields)
        return Lead(row, address, priority, fields)


class Records:
    """The records of one file that are not blank, each with the row where it begins."""

    def __init__(self, file: TextIO, source: str) -> None:
        self.source = source
        self._file = file
        self._lines = _Lines(file, source)
        self._reader = csv.reader(self._lines, delimiter=self._lines.delimiter(), strict=True)

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        for row in count(1):  # records, not lines: a line break in quotes begins no row of a spreadsheet
            self._lines.record_begins(row)
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                problem = f"the quotes cannot be understood: {error}."
                mend = "Close each quote, and write a quote inside a quoted cell twice."
                raise InvalidInput(problem, mend=mend, row=row, source=self.source) from None
            if any(cells):
                yield row, cells

    @property
    def octets(self) -> int:
        """The size of the file; 0 for what is no regular file."""
        return os.fstat(self._file.fileno()).st_size

    @property
    def octets_read(self) -> int:
        """How far into the file it is, in steps of a buffer; 0 for what is no regular file."""
        return self._file.buffer.tell() if self._file.seekable() else 0


@contextmanager
def open_records(path: Path) -> Iterator[Records]:
    """The records of a file. Raises `InvalidInput` for one that cannot be read or is empty."""
    source = str(path)
    with _unreadable(source):
        # What is not UTF-8 comes through as halves of surrogate pairs, so that its row can be named.
        file = path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
    with file:
        yield Records(file, source)


def lead_columns(header: Sequence[str], source: str, row: int) -> LeadColumns:
    """What the columns are. Raises `InvalidInput` for a header that does not name leads."""
    names = column_names(header, source, row)
    email = email_column(names, source, row)
    priority = next((at for at, name in enumerate(names) if name.casefold() == PRIORITY), None)
    fields = tuple((at, name) for at, name in enumerate(names) if at not in (email, priority))
    for at, name in fields:
        if name == MERGE_FIELD:
            mend = "Rename the column; the page is set in the campaign file, table [unsubscribe]."
            raise InvalidInput("Sendledger fills this field itself.", mend=mend, field=name, row=row, source=source)
        try:
            check_field_name(name)
        except InvalidInput as error:
            field = error.field or f"column {at + 1}"
            raise InvalidInput(error.problem, mend=error.mend, field=field, row=row, source=source) from None
    return LeadColumns(len(names), email, priority, fields)


def column_names(header: Sequence[str], source: str, row: int) -> list[str]:
    """The names in the header, each once, whatever its case."""
    names = [name.strip() for name in header]
    seen: set[str] = set()
    for at, name in enumerate(names, start=1):
        if name.casefold() in seen:
            problem = "is there twice (capital letters make no difference)."
            field = printable(name) or f"column {at}"
            raise InvalidInput(problem, mend="Rename one of them.", field=field, row=row, source=source)
        seen.add(name.casefold())
    return names


def email_column(names: Sequence[str], source: str, row: int) -> int:
    """Where the addresses are."""
    for at, name in enumerate(names):
        if name.casefold() == EMAIL:
            return at
    problem = "there is no such column."
    mend = f"Name the column with the addresses `{EMAIL}`; columns are parted by commas or semicolons."
    raise InvalidInput(problem, mend=mend, field=EMAIL, row=row, source=source)


def given(cell: str) -> str:
    """An address without blanks around it. Raises `InvalidInput` when there is none."""
    address = cell.strip()
    if not address:
        raise InvalidInput("the cell is empty.", mend="Give the address.", field=EMAIL)
    return address


def _priority(cell: str) -> int:
    text = cell.strip()
    if not text:
        return DEFAULT_PRIORITY
    if not _PRIORITY.fullmatch(text):
        raise InvalidInput("is no whole number of at most nine digits.", mend="Lower goes first.", field=PRIORITY)
    return int(text)


@contextmanager
def _unreadable(source: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        problem = f"cannot be read: {error.strerror}."
        raise InvalidInput(problem, mend="Correct the path or the file.", source=source) from None


class _Lines:
    """The lines of a file, decoded for certain, and no more of them in one record than memory is meant for."""

    def __init__(self, file: TextIO, source: str) -> None:
        self._file = file
        self._source = source
        self._row = 1
        self._taken = 0
        self._first: str | None = self._read()

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line, self._first = (self._first, None) if self._first is not None else (self._read(), None)
        if not line:
            raise StopIteration
        return line

    def record_begins(self, row: int) -> None:
        self._row, self._taken = row, 0

    def delimiter(self) -> str:
        """What parts the names in the header, which hold neither."""
        if not self._first:
            raise InvalidInput("is empty.", mend=f"Give it a header with the column `{EMAIL}`.", source=self._source)
        return ";" if self._first.count(";") > self._first.count(",") else ","

    def _read(self) -> str:
        with _unreadable(self._source):
            line = self._file.readline(MAX_RECORD_CHARACTERS + 1)
        self._taken += len(line)
        if self._taken > MAX_RECORD_CHARACTERS:
            problem = f"the row has more than {MAX_RECORD_CHARACTERS:,} characters."
            mend = "Close the quote that was opened there, or correct the line ends."
            raise InvalidInput(problem, mend=mend, row=self._row, source=self._source)
        if not line.isascii() and _UNDECODED.search(line):
            problem = "is not UTF-8."
            mend = "Save the file as UTF-8 (in a spreadsheet: “CSV UTF-8”)."
            raise InvalidInput(problem, mend=mend, row=self._row, source=self._source)
        return line
