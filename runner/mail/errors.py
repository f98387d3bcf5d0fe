"""What can go wrong with one mail before any server hears of it: definite, local, and nothing was sent.

    SendledgerError
    ├── RenderFailed    this lead's fields do not fit the templates
    └── MessageBroken   the message cannot be built, or its bytes do not say what was meant

Neither message holds a value: no address, name or text. They name the part, the field or the header.
"""

from __future__ import annotations

from domain.errors import SendledgerError


class RenderFailed(SendledgerError):
    """A template could not be filled with the fields of one lead.

    Attributes: `part` (subject, text or html), `field` where one is to blame, and `problem`.
    """

    def __init__(self, part: str, problem: str, *, field: str | None = None) -> None:
        self.part = part
        self.field = field
        self.problem = problem
        blamed = f", field {field}" if field else ""
        super().__init__(f"The {part} cannot be rendered{blamed}: {problem}")


class MessageBroken(SendledgerError):
    """A message that must not be sent.

    Attributes: `part` (a header's name or a part of the body) and `problem`.
    """

    def __init__(self, part: str, problem: str) -> None:
        self.part = part
        self.problem = problem
        super().__init__(f"The message is not sent, {part}: {problem}")
