"""The text part of a mail that is written in HTML only: what the HTML says, its links in sight, and no markup."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidInput
from runner.mail.errors import RenderFailed
from runner.mail.plain_text import MARK_ENDS, MARK_OPENS, plain_text
from runner.mail.sanitise import line_problem
from runner.mail.templates import MAX_RENDERED_CHARACTERS, CompiledContent, Content, compile_content
from tests.mail.strategies import lines

LETTER = """\
<!DOCTYPE html>
<html><head><title>Tytuł</title><style>p { color: red }</style></head><body>
<div style="display:none">Zapowiedź</div>
<table width="100%"><tr><td>
  <h1>Dzień dobry, {{ first_name }}!</h1>
  <p>Zażółć gęślą jaźń.<br>Oto <a href="https://sender.example/{{ page }}?a=1&amp;b=2">nasza oferta</a>
  i <b>nic</b> więcej{% if city %} w mieście {{ city | upper }}{% endif %}.</p>
  <ul><li>jeden</li><li>dwa</li></ul>
  <img src="https://sender.example/logo.png" alt="Sender">
</td><td>Kolumna</td></tr></table>
<script>alert(1)</script>
</body></html>
"""
TEXT = """\
Dzień dobry, Żaneta!

Zażółć gęślą jaźń.
Oto nasza oferta <https://sender.example/jesien?a=1&b=2> i nic więcej w mieście ŁÓDŹ.

  * jeden
  * dwa
[Sender]
Kolumna
"""


def html_only(html: str) -> CompiledContent:
    return compile_content(Content("Oferta", None, html))


def test_a_letter_reads_as_it_looks() -> None:
    rendered = html_only(LETTER).render({"first_name": "Żaneta", "page": "jesien", "city": "Łódź"})

    assert rendered.text == TEXT
    assert rendered.html is not None
    assert "<h1>Dzień dobry, Żaneta!</h1>" in rendered.html


def test_conditions_turn_out_for_each_lead_on_its_own() -> None:
    content = html_only("<p>{% if city %}Z {{ city }}{% else %}Skądinąd{% endif %}</p>")

    said = [content.render({"city": city}).text for city in ("Gdyni", "", "Sopotu", "")]

    assert said == ["Z Gdyni\n", "Skądinąd\n", "Z Sopotu\n", "Skądinąd\n"]


@given(lines | st.text("<>&\"';/ab", min_size=1).filter(lambda text: text.strip() != ""))
def test_a_value_arrives_as_it_is_and_never_as_markup(value: str) -> None:
    html = '<p>A <b>{{ name }}</b> B <a href="https://x.example/{{ name }}">link</a></p>'

    rendered = html_only(html).render({"name": value})

    assert rendered.text == f"A {value} B link <https://x.example/{value}>\n"
    assert line_problem(value) is None


@pytest.mark.parametrize(
    "value", ["<script>x</script>", "&lt;b&gt;", "<!--", "</p><a href='https://evil.example'>y</a>"]
)
def test_markup_in_a_value_is_shown_and_does_nothing(value: str) -> None:
    rendered = html_only("<p>Dla {{ name }}, z pozdrowieniem</p>").render({"name": value})

    assert rendered.text == f"Dla {value}, z pozdrowieniem\n"
    assert rendered.html is not None
    assert rendered.html.count("<") == 2


def test_filters_and_escapes_give_the_text_that_the_html_shows() -> None:
    html = "<p>{{ name | e }} {{ name | length }} {{ 'a&b' }} {{ name | truncate(4, true, '…') }}</p>"

    assert html_only(html).render({"name": "Łoś & Syn"}).text == "Łoś & Syn 9 a&b Łoś…\n"


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ('<a href="https://a.example/x">Oferta</a>', "Oferta <https://a.example/x>"),
        ('<a href="https://a.example/x">https://a.example/x</a>', "https://a.example/x"),
        ('<a href="{{ url }}">{{ url }}</a>', "https://b.example/?a=1&b=2"),
        ('<a href="mailto:a@b.example">Napisz</a>', "Napisz <mailto:a@b.example>"),
        ('<a href="#top">Do góry</a>', "Do góry"),
        ('<a href="javascript:alert(1)">Klik</a>', "Klik"),
        ('<a href="https://a.example/x"><img src="b.png"></a>', "<https://a.example/x>"),
        ('<a href=" https://a.example/\nx ">Oferta</a>', "Oferta <https://a.example/x>"),
        ("<p>a</p><!-- nic --><p>b</p>", "a\n\nb"),
        ("Zażółć&nbsp;gęślą &oacute;", "Zażółć gęślą ó"),
    ],
)
def test_links_stay_in_sight(html: str, text: str) -> None:
    rendered = html_only(html).render({"url": "https://b.example/?a=1&b=2"})

    assert rendered.text == f"{text}\n"


@pytest.mark.parametrize("html", ["<img src='x.png'>", "<style>p {}</style>", "<p>&nbsp;</p>", "<div>" * 3000 + "x"])
def test_html_that_says_nothing_asks_for_a_text(html: str) -> None:
    with pytest.raises(RenderFailed, match="Write text or text_file") as failed:
        html_only(html).render({})

    assert failed.value.part == "text"


def test_a_missing_field_is_named_as_everywhere() -> None:
    with pytest.raises(RenderFailed, match="field first_name"):
        html_only("<p>{{ first_name }}</p>").render({})


def test_a_control_character_written_as_an_entity_does_not_leave() -> None:
    with pytest.raises(RenderFailed, match="control character"):
        html_only("<p>a&#8;b</p>").render({})


def test_there_must_be_one_of_both() -> None:
    with pytest.raises(InvalidInput, match="Write text or html, or both"):
        compile_content(Content("s", None))


def test_the_marks_cannot_be_written_by_hand() -> None:
    with pytest.raises(InvalidInput, match="U\\+FDD0"):
        html_only(f"<p>{MARK_OPENS}0{MARK_ENDS}</p>")
    assert html_only("<p>&#xFDD0;7&#xFDD1; {{ name }}</p>").render({"name": "x"}).text == " x\n"


def test_the_work_is_done_once_for_all_leads_for_whom_conditions_turn_out_alike() -> None:
    content = html_only("<p>once {{ name }}</p>")
    before = plain_text.cache_info().misses

    said = [content.render({"name": f"N{number}"}).text for number in range(50)]

    assert said == [f"once N{number}\n" for number in range(50)]
    assert plain_text.cache_info().misses == before + 1


def test_the_text_is_bounded_as_the_html_is() -> None:
    value = "x" * 4_000
    html = "".join(f'<a href="https://x.example/{{{{ a }}}}">{number} {{{{ a }}}}</a>' for number in range(131))

    with pytest.raises(RenderFailed, match=f"longer than {MAX_RENDERED_CHARACTERS:,}"):
        html_only(html).render({"a": value})


@pytest.mark.parametrize("html", ["<p>" + "x" * 250_000, "<b>" * 80_000 + "x", "a <" * 80_000, '<a href="x">' * 20_000])
def test_strange_html_costs_no_more_than_a_second_or_so(html: str) -> None:
    started = time.perf_counter()

    with suppress(RenderFailed):
        html_only(html).render({})

    assert time.perf_counter() - started < 5
