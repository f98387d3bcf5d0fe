"""Secrets by reference: `env:NAME` or `file:PATH`. A secret itself is never stored, logged or shown."""

from __future__ import annotations

import os
from pathlib import Path

from domain.errors import InvalidInput

FORMS = "Write env:NAME for an environment variable or file:PATH for a file."


def check_reference(reference: str, *, field: str) -> str:
    """The reference, if it has one of the two forms. Raises `InvalidInput`, without repeating what may be a secret."""
    kind, colon, place = reference.partition(":")
    if not colon or kind not in ("env", "file") or not place:
        raise InvalidInput("is not a reference to a secret.", mend=FORMS, field=field)
    return reference


def read_secret(reference: str, *, field: str) -> str:
    """What the reference leads to. Raises `InvalidInput` when nothing is there."""
    kind, _, place = check_reference(reference, field=field).partition(":")
    if kind == "env":
        value = os.environ.get(place)
        if not value:
            raise InvalidInput(
                f"the environment variable {place} is not set.", mend="Set it and start again.", field=field
            )
        return value
    try:
        value = Path(place).expanduser().read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        problem = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise InvalidInput(
            f"{place} cannot be read: {problem}.", mend="Mend the file or the path.", field=field
        ) from None
    if not value:
        raise InvalidInput(f"{place} is empty.", mend="Put the secret into it.", field=field)
    return value
