"""The errors of Sendledger. Each message says what was wrong, what is true, and what to do next.

    SendledgerError
    ├── InvalidInput        bad input from a person or a file: names the field, and the row and file where there are any
    ├── CommandRefused      the rules do not allow this command now
    │   └── LockRefused     this mail may not leave now: carries the one rule that binds
    └── UnknownEvent        a stored event that this program cannot read

Rooms further out derive their own errors from these (SMTP, templates, the store).
"""

from __future__ import annotations


class SendledgerError(Exception):
    """The base of every error that Sendledger raises on purpose."""


class InvalidInput(SendledgerError):
    """Input that cannot be used. `str()` is one line: where, what is wrong, how to mend it.

    Attributes: `problem`, `mend`, and where they are known `source` (a file), `row` (1-based, as a
    spreadsheet counts, the header is row 1) and `field`.
    """

    def __init__(
        self,
        problem: str,
        *,
        mend: str = "",
        field: str | None = None,
        row: int | None = None,
        source: str | None = None,
    ) -> None:
        self.problem = problem
        self.mend = mend
        self.field = field
        self.row = row
        self.source = source
        super().__init__(problem)

    def __str__(self) -> str:
        where = [self.source or "", f"row {self.row}" if self.row is not None else "", self.field or ""]
        place = ", ".join(part for part in where if part)
        text = f"{place}: {self.problem}" if place else self.problem
        return f"{text} {self.mend}".rstrip()


class CommandRefused(SendledgerError):
    """The rules do not allow this command in the state the campaign or mailbox is in."""


class UnknownEvent(SendledgerError):
    """A stored event whose type or version this program does not know."""
