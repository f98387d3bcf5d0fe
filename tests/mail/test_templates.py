"""Templates: what a campaign may write, what is refused at once, and what one lead's data can break."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from domain.errors import InvalidInput
from runner.mail.errors import RenderFailed
from runner.mail.sanitise import MAX_VALUE_CHARACTERS
from runner.mail.templates import (
    MAX_FILTERS,
    MAX_SUBJECT_CHARACTERS,
    MAX_TEMPLATE_CHARACTERS,
    CompiledContent,
    Content,
    Rendered,
    compile_content,
)
from tests.mail.strategies import lines

ANNA = {"first_name": "Żaneta", "company": "Łoś & Syn"}


def compiled(subject: str = "Oferta", text: str = "Treść\n", html: str | None = None) -> CompiledContent:
    return compile_content(Content(subject, text, html))


def with_part(part: str, source: str) -> CompiledContent:
    """Content whose subject, text or html is this one."""
    parts: dict[str, Any] = {"subject": "s", "text": "t", part: source}
    return compile_content(Content(**parts))


def test_all_parts_are_filled_and_name_their_fields() -> None:
    content = compiled("Dla {{ company }}", "Dzień dobry, {{ first_name }}!\n", "<p>{{ first_name }}</p>\n")

    assert content.fields == {"first_name", "company"}
    assert content.render(ANNA) == Rendered("Dla Łoś & Syn", "Dzień dobry, Żaneta!\n", "<p>Żaneta</p>\n")


def test_conditions_filters_and_slices_work() -> None:
    text = (
        "{% if city in ['Gdynia', 'Sopot'] %}Trójmiasto{% elif city %}{{ city | upper }}{% else %}-"
        "{% endif %} {{ nick | default(first_name) }} {{ first_name[:3] }}"
        " {{ price | replace('.', ',') }}{# remark #}\n"
    )

    rendered = compiled(text=text).render({**ANNA, "city": "Łódź", "price": "9.50"})

    assert rendered.text == "ŁÓDŹ Żaneta Żan 9,50\n"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ nick | default('Kliencie') }}", "Kliencie"),
        ("{{ blank | default('Kliencie') }}", "Kliencie"),
        ("{{ spaces | d('Kliencie') }}", "Kliencie"),
        ("{{ blank | default('Kliencie', false) }}!", "!"),
        ("{{ name | default('Kliencie') }}", "łucja WIŚNIEWSKA-żółć"),
        ("{{ blank | length | default('x') }}", "0"),
        ("{{ name | upper }}", "ŁUCJA WIŚNIEWSKA-ŻÓŁĆ"),
        ("{{ name | lower }}", "łucja wiśniewska-żółć"),
        ("{{ name | capitalize }}", "Łucja wiśniewska-żółć"),
        ("{{ name | title }}", "Łucja Wiśniewska-Żółć"),
        ("{{ spaced | trim }}", "Ola"),
        ("{{ name | truncate(10, end='…') }}", "łucja…"),
        ("{{ name | truncate(10, true, '…') }}", "łucja WIŚ…"),
        ("{{ name | truncate(21) }}", "łucja WIŚNIEWSKA-żółć"),
        ("{{ name | truncate(20, true) }}", "łucja WIŚNIEWSKA-..."),
    ],
)
def test_a_filter_does_what_its_name_says(source: str, text: str) -> None:
    fields = {"name": "łucja WIŚNIEWSKA-żółć", "blank": "", "spaces": "  ", "spaced": " Ola "}

    assert compiled(text=source).render(fields).text == f"{text}\n"


@given(lines, st.integers(3, 60))
def test_what_truncate_returns_is_never_longer_than_was_asked(value: str, length: int) -> None:
    said = compiled(text=f"{{{{ name | truncate({length}) }}}}.").render({"name": value}).text

    assert len(said) <= length + len(".\n")


def test_an_unknown_filter_is_named_with_those_there_are_and_its_line() -> None:
    with pytest.raises(InvalidInput) as refused:
        compiled(text="Witaj,\n{{ name | uper }}")

    assert str(refused.value).startswith("text: line 2: there is no filter uper. Known filters: capitalize, count, d, ")
    assert {"default", "lower", "title", "trim", "truncate", "upper"} <= set(re.findall(r"\w+", refused.value.mend))


def test_a_body_keeps_its_last_line_end_or_is_given_one() -> None:
    assert compiled(text="a\r\n\r\nb\n\n").render({}).text == "a\n\nb\n\n"
    assert compiled(text="a").render({}).text == "a\n"


@given(lines)
def test_any_clean_value_arrives_in_a_text_as_it_is(value: str) -> None:
    assert compiled(text="<{{ name }}>\n").render({"name": value}).text == f"<{value}>\n"


@given(st.text("<>&\"'a", min_size=1, max_size=20))
def test_html_escapes_every_merge_field_and_text_does_not(value: str) -> None:
    rendered = compiled(text="{{ name }}.\n", html='<p title="{{ name }}">{{ name | upper | trim }}</p>').render(
        {"name": value}
    )

    assert rendered.text == f"{value}.\n"
    assert rendered.html is not None
    assert rendered.html.count("<") == 2
    assert rendered.html.count('"') == 2


def test_a_value_is_never_read_as_a_template() -> None:
    assert compiled(text="{{ name }}\n").render({"name": "{{ 7 * 7 }}"}).text == "{{ 7 * 7 }}\n"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{ name", "end of print statement"),
        ("{% if name %}", "endif"),
        ("{{ name | nosuch }}", "no filter nosuch"),
        ("{% if name %}{{ name | nosuch }}{% endif %}", "no filter nosuch"),
        ("{% if name is mapping %}x{% endif %}", "no test mapping"),
        ("{{ name | safe }}", "no filter safe"),
        ("{{ ''.__class__ }}", "attributes"),
        ("{{ cycler.__init__ }}", "attributes"),
        ("{{ name['__class__'] }}", "this construct"),
        ("{{ name | attr('__class__') }}", "no filter attr"),
        ("{{ name.upper() }}", "calls"),
        ("{{ lipsum(5) }}", "calls"),
        ("{{ self }}", "language"),
        ("{% include 'secret' %}", "include"),
        ("{% import 'secret' as s %}", "import"),
        ("{% from 'secret' import s %}", "import"),
        ("{% extends 'secret' %}", "extends"),
        ("{% block x %}{% endblock %}", "blocks"),
        ("{% macro m() %}{% endmacro %}", "macros"),
        ("{% set x = 'a' %}", "set"),
        ("{% with x = 'a' %}{% endwith %}", "this construct"),
        ("{% filter upper %}x{% endfilter %}", "this construct"),
        ("{% autoescape false %}{{ name }}{% endautoescape %}", "this construct"),
        ("{% for i in range(10**9) %}x{% endfor %}", "loops"),
        ("{% for i in 'abc' %}x{% endfor %}", "loops"),
        ("{{ 'x' * 1000000000 }}", "arithmetic"),
        ("{{ 10 ** 10 ** 10 }}", "arithmetic"),
        ("{{ '%1000000000d' % 1 }}", "arithmetic"),
        ("{{ name ~ name }}", "joining"),
        ("{{ name | center(1000000000) }}", "no filter center"),
        ("{{ [name, name] }}", "lists"),
        ("{{ {'a': name} }}", "this construct"),
        ("{{ 1e999 }}", "numbers beyond"),
        ("{{ " + "9" * 5_000 + " }}", "too long"),
        ("{{ " + "(" * 5_000 + "name" + ")" * 5_000 + " }}", "nested"),
        ("{{ name" + " | upper" * 50 + " }}", "nested"),
        ("{{ name | upper }}" * (MAX_FILTERS + 1), "filters"),
        ("{% if name %}" * 50 + "{% endif %}" * 50, "nested"),
        ("bell \x07", "control character"),
        ("half \ud800", "surrogate"),
        (" \n", "is empty"),
        ("x" * (MAX_TEMPLATE_CHARACTERS + 1), "are the most"),
    ],
)
@pytest.mark.parametrize("part", ["text", "html"])
def test_a_template_outside_the_language_is_refused_with_its_part(part: str, source: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason) as refused:
        with_part(part, source)

    assert refused.value.field == part
    assert refused.value.mend


def test_the_line_of_the_mistake_is_named() -> None:
    with pytest.raises(InvalidInput, match="html: line 3: "):
        compiled(html="<p>\n{{ first_name }}\n{{ first name }}\n</p>")


@pytest.mark.parametrize(
    "subject", ["", "  ", "two\nlines", "nul\0", "=?utf-8?q?x?=", "{{ oops", "{% for i in x %}{% endfor %}"]
)
def test_a_subject_that_is_not_one_clean_line_is_refused(subject: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        compiled(subject=subject)

    assert refused.value.field == "subject"


def test_a_missing_field_is_named() -> None:
    with pytest.raises(RenderFailed, match="field first_name") as failed:
        compiled(subject="Witaj, {{ first_name }}").render({"company": "x"})

    assert (failed.value.part, failed.value.field) == ("subject", "first_name")


@pytest.mark.parametrize("part", ["subject", "text", "html"])
@pytest.mark.parametrize("value", ["Secretly\r\nBcc: x@example.com", "Secretly =?utf-8?q?=0D=0A?=", "Secretly\0"])
def test_an_unsafe_value_fails_the_lead_and_is_not_quoted(part: str, value: str) -> None:
    content = with_part(part, "Witaj, {{ first_name }}")

    with pytest.raises(RenderFailed) as failed:
        content.render({"first_name": value})

    assert (failed.value.part, failed.value.field) == (part, "first_name")
    assert "Secretly" not in str(failed.value)
    assert failed.value.__suppress_context__ or failed.value.__context__ is None


def test_an_encoded_word_put_together_from_two_harmless_fields_is_refused() -> None:
    content = compiled(subject="{{ a }}{{ b }}")

    with pytest.raises(RenderFailed, match="encoded word"):
        content.render({"a": "=?utf", "b": "-8?q?=0ABcc:_x?="})


def test_a_line_break_written_as_an_escape_does_not_reach_the_subject() -> None:
    with pytest.raises(RenderFailed, match="line break"):
        compiled(subject="{{ 'a\\nBcc: x' }}").render({})


def test_text_that_claims_to_be_safe_html_is_refused() -> None:
    with pytest.raises(RenderFailed, match="not plain text"):
        compiled(html="<p>{{ name }}</p>").render({"name": Markup("<script>")})


@pytest.mark.parametrize(
    "text",
    [
        "{{ name < 1 }}",
        "{{ name | truncate(-9) }}",
        "{{ name[::0] }}",
        "{{ name[99] }}",
        "{{ name | replace('S', 'SSS') }}",
    ],
)
def test_an_expression_that_does_not_fit_its_value_fails_without_quoting_it(text: str) -> None:
    with pytest.raises(RenderFailed) as failed:
        compiled(text=text).render({"name": "Secretly" * 10})

    assert failed.value.part == "text"
    assert "Secretly" not in str(failed.value)


@pytest.mark.parametrize(
    ("subject", "reason"),
    [("{{ name }}", "empty"), (" {% if name %}x{% endif %} ", "empty"), ("x{{ long }}", "longer")],
)
def test_a_subject_that_renders_empty_or_endless_fails(subject: str, reason: str) -> None:
    with pytest.raises(RenderFailed, match=reason):
        compiled(subject=subject).render({"name": "", "long": "y" * MAX_SUBJECT_CHARACTERS})


def test_an_empty_body_fails() -> None:
    with pytest.raises(RenderFailed, match="text cannot be rendered: it is empty"):
        compiled(text="{{ name }}\n").render({"name": ""})


def test_a_huge_output_is_stopped_while_it_streams() -> None:
    content = compiled(text="{{ name }}" * 10_000)
    started = time.perf_counter()

    with pytest.raises(RenderFailed, match="longer than"):
        content.render({"name": "x" * MAX_VALUE_CHARACTERS})

    assert time.perf_counter() - started < 1


def test_the_most_expensive_chain_of_filters_stays_cheap() -> None:
    content = compiled(text=("{{ name" + " | urlencode" * 24 + " | first }}") * (MAX_FILTERS // 25))
    started = time.perf_counter()

    content.render({"name": "ż%" * (MAX_VALUE_CHARACTERS // 2)})

    assert time.perf_counter() - started < 10
