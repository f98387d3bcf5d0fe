"""Free text that an operator gives, such as a reason: it is kept for ever, so it may name nobody by address."""

from __future__ import annotations

import re
import unicodedata

from domain.errors import InvalidInput
from runner.mail.sanitise import line_problem

# Cautious: whatever sticks to an @ on both sides (or to its form in links), and, with blanks around it, what ends
# like a domain. A time ("@ 9:30") or a lone @ passes.
_ADDRESS = re.compile(r"\S(?:@|%40)\S|\S\s*@\s*[^\s.]+(?:\.[^\s.]+)*\.[^\W\d_]{2}", re.IGNORECASE)


def check_free_text(text: str, *, field: str) -> str:
    """The text without blanks around it. Raises `InvalidInput` if it is empty, no clean line, or holds an address."""
    stripped = text.strip()
    if not stripped:
        raise InvalidInput("is empty.", mend="Say it in a few words.", field=field)
    if problem := line_problem(stripped):
        raise InvalidInput(problem, mend="Remove it.", field=field)
    if _ADDRESS.search(unicodedata.normalize("NFKC", stripped)):
        raise InvalidInput(
            "holds what looks like an e-mail address; this text is kept for ever, and an address must be erasable.",
            mend="Name the lead by its number.",
            field=field,
        )
    return stripped
