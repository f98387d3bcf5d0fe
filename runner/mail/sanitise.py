"""Text from outside, checked before it comes near a mail: it cannot add a header, a line or a disguise.

Merge fields are checked for each cell of an import, so a value costs one search with one prepared expression.
"""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache

from domain.errors import InvalidInput

MAX_VALUE_CHARACTERS = 4_000
MAX_NAME_CHARACTERS = 100

# Jinja gives these a meaning of its own, so a field of that name could not be reached.
_TAKEN_BY_JINJA = frozenset({"true", "false", "none", "self", "loop", "super", "caller", "varargs", "kwargs"})

# Control characters (C0, DEL, C1), the Unicode line ends with the directional overrides behind them,
# directional isolates, and halves of surrogate pairs. The class stands first and alone so that the search
# leaps from candidate to candidate: up to three times faster than two alternatives. An encoded word is
# refused from its opening on, so two harmless pieces cannot be joined into one.
_UNSAFE = re.compile(r"[=\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff](?:(?<!=)|\?[^?]*\?[bBqQ]\?)")

# A body may hold tabs and line feeds. Other control characters and surrogate halves it may not.
_UNSAFE_IN_BODY = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def check_merge_fields(fields: Mapping[str, str]) -> None:
    """Refuse the first field whose name a template cannot use or whose value is not one clean line."""
    for name, value in fields.items():
        check_field_name(name)
        problem = line_problem(value)
        if problem:
            raise InvalidInput(problem, mend="Remove it from this value.", field=name)


def check_field_name(name: str) -> None:
    """Refuse a name that `{{ name }}` could not reach."""
    problem = _name_problem(name)
    if problem:
        raise InvalidInput(
            problem,
            mend="Use letters, digits and underscores, not beginning with a digit, such as first_name.",
            field=printable(name),
        )


def line_problem(text: str) -> str | None:
    """Say why `text` is not one clean line of bounded length, without quoting it; None when it is."""
    if len(text) > MAX_VALUE_CHARACTERS:
        return f"the value has {len(text):,} characters, {MAX_VALUE_CHARACTERS:,} are the most."
    found = _UNSAFE.search(text)
    if found is None:
        return None
    return f"character {found.start() + 1} {_describe(found[0][0])}."


def body_problem(text: str) -> str | None:
    """Say which line of a body holds a character that no text holds; None when there is none."""
    found = _UNSAFE_IN_BODY.search(text)
    if found is None:
        return None
    return f"line {text.count(chr(10), 0, found.start()) + 1} {_describe(found[0]).replace('is', 'holds', 1)}."


def printable(name: str) -> str:
    """Make a name fit for an error message of one line."""
    return name[:MAX_NAME_CHARACTERS].encode("unicode_escape").decode("ascii") if not name.isprintable() else name


@lru_cache(maxsize=4096)
def _name_problem(name: str) -> str | None:
    if len(name) > MAX_NAME_CHARACTERS:
        return f"the field's name is longer than {MAX_NAME_CHARACTERS} characters."
    if not name.isidentifier():
        return "the field's name is not one word that a template can use."
    if keyword.iskeyword(name) or name in _TAKEN_BY_JINJA:
        return "the field's name is a word of the template language."
    # Python folds such names when it compiles a template: two fields would then become one.
    if unicodedata.normalize("NFKC", name) != name:
        return "the field's name holds letters in a decomposed or compatibility form."
    return None


def _describe(character: str) -> str:
    code = f"(U+{ord(character):04X})"
    if character == "=":
        return "begins an encoded word (=?charset?q?…), which a mail program would decode"
    if character in "\r\n\x85\u2028\u2029":
        return f"is a line break {code}"
    if "\u202a" <= character <= "\u2069":
        return f"is an invisible change of the writing direction {code}"
    if "\ud800" <= character <= "\udfff":
        return f"is half of a surrogate pair {code}, which no encoding can hold"
    return f"is a control character {code}"
