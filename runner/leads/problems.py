"""What is wrong with the rows of a file: all are counted, the first ones are told, none is quoted."""

from __future__ import annotations

from dataclasses import dataclass

from domain.errors import InvalidInput

SHOWN = 20
"""Rows told one by one: a screen."""


@dataclass(frozen=True, slots=True)
class RowProblem:
    """One row that cannot be used, and why. `row` as a spreadsheet counts: the header is row 1."""

    row: int
    column: str
    problem: str

    def __str__(self) -> str:
        return f"row {self.row}, {self.column}: {self.problem}"


class Problems:
    """Counts the bad rows of a file and remembers the first."""

    def __init__(self) -> None:
        self.rows = 0
        self._first: list[RowProblem] = []

    def add(self, row: int, error: InvalidInput) -> None:
        """One more bad row."""
        self.rows += 1
        if len(self._first) < SHOWN:
            self._first.append(RowProblem(row, error.field or "row", error.problem))

    @property
    def first(self) -> tuple[RowProblem, ...]:
        """The first of them."""
        return tuple(self._first)


class BadRows(InvalidInput):
    """Rows of a file cannot be used, so none of it was. `str()` has a line for each of the first rows.

    Attributes beside those of `InvalidInput`: `problems` (the first), `bad` and `rows` (all, counted).
    """

    def __init__(self, source: str, problems: Problems, rows: int) -> None:
        self.problems = problems.first
        self.bad = problems.rows
        self.rows = rows
        super().__init__(
            f"{self.bad:,} of {rows:,} rows cannot be used, so nothing was imported.",
            mend="Correct them, or leave them out with --skip-bad-rows.",
            source=source,
        )

    def __str__(self) -> str:
        more = self.bad - len(self.problems)
        lines = [f"{self.source}: {self.problem}", *(f"  {problem}" for problem in self.problems)]
        return "\n".join([*lines, *([f"  … and {more:,} more"] if more else []), self.mend])
