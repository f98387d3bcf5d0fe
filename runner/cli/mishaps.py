"""An error that nobody meant, as the terminal may show it: where it happened, and never what was at hand.

Its own words may quote a value, and the value may be an address: `KeyError: 'anna@example.com'`.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator

ADVICE = "This is a bug in Sendledger; please report it. The error's words are left out: they may name a person.\n"


def told(error: BaseException) -> str:
    """A traceback without values, its causes first."""
    return "".join(part for each in _causes_first(error) for part in _lines(each)) + ADVICE


def _lines(error: BaseException) -> Iterator[str]:
    yield "Traceback (most recent call last):\n"
    yield from traceback.format_tb(error.__traceback__)
    yield f"{type(error).__module__}.{type(error).__qualname__}\n\n"


def _causes_first(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in chain:
        chain.append(following)
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)
    return chain[::-1]
