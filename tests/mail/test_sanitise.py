"""Text from outside: what is refused, where, and without quoting it."""

from __future__ import annotations

import pytest

from domain.errors import InvalidInput
from runner.mail.sanitise import (
    MAX_VALUE_CHARACTERS,
    body_problem,
    check_field_name,
    check_merge_fields,
    line_problem,
)

CLEAN_VALUES = [
    "",
    "Łucja Wiśniewska-Żółć",
    "a=b?c",
    "1+1=2",
    "=?",
    "?=",
    "=?what?",
    'O\'Neil <x@example.com>, "q"',
    "👩‍👩‍👧 family",
    "שלום\u200f",
    "x" * MAX_VALUE_CHARACTERS,
]
UNSAFE_VALUES = [
    ("a\rBcc: b@example.com", "line break"),
    ("a\nBcc: b@example.com", "line break"),
    ("a\r\n\r\nbody", "line break"),
    ("a\x85b", "line break"),
    ("a\u2028b", "line break"),
    ("a\u2029b", "line break"),
    ("a\0b", "control character"),
    ("a\tb", "control character"),
    ("a\x1bb", "control character"),
    ("a\x7fb", "control character"),
    ("a\x9bb", "control character"),
    ("a\u202etxt.exe", "writing direction"),
    ("a\u2066b", "writing direction"),
    ("a\ud800b", "surrogate"),
    ("=?utf-8?q?=0ABcc:_x?=", "encoded word"),
    ("=?UTF-8?B?Qmxh?=", "encoded word"),
    ("x=?iso-8859-2*pl?Q?only-the-opening", "encoded word"),
    ("x" * (MAX_VALUE_CHARACTERS + 1), "characters"),
]


@pytest.mark.parametrize("value", CLEAN_VALUES)
def test_a_clean_value_passes(value: str) -> None:
    check_merge_fields({"first_name": value})


@pytest.mark.parametrize(("value", "reason"), UNSAFE_VALUES)
def test_an_unsafe_value_is_refused_with_its_field_and_without_quoting_it(value: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason) as refused:
        check_merge_fields({"company": "Acme", "first_name": value})

    assert refused.value.field == "first_name"
    assert refused.value.mend
    assert value not in str(refused.value)


def test_the_place_in_the_value_is_counted_from_one() -> None:
    assert line_problem("ab\ncd") == "character 3 is a line break (U+000A)."


@pytest.mark.parametrize("name", ["first_name", "imię", "x1", "_", "Email"])
def test_a_word_is_a_field_name(name: str) -> None:
    check_field_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "first name",
        "1st",
        "a-b",
        "a.b",
        "a\nb",
        "if",
        "not",
        "true",
        "None",
        "self",
        "loop",
        "\ufb01rst",
        "e\u0328",
        "x" * 101,
    ],
)
def test_a_name_that_no_template_could_reach_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_merge_fields({name: "value"})

    assert "\n" not in str(refused.value)


def test_a_body_may_have_lines_and_tabs_but_no_other_control_characters() -> None:
    assert body_problem("one\n\ttwo\n") is None
    assert body_problem("one\ntwo\x08") == "line 2 holds a control character (U+0008)."
    assert body_problem("one\r\ntwo") is not None
    assert body_problem("\udc80") is not None
