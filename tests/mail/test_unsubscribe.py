"""Ways to unsubscribe: the headers by RFC 2369 and RFC 8058, what may be configured, and the link in a template."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote

import pytest

from domain.errors import InvalidInput
from runner.campaign_file import read_campaign_file
from runner.mail.templates import CompiledContent, Content, compile_content
from runner.mail.unsubscribe import NO_UNSUBSCRIBE, Unsubscribe

MAILTO, URL = "unsubscribe@sender.example", "https://sender.example/u/{token}"
TOKEN = "abc234"
ONE_CLICK = {"List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


def test_both_ways_are_offered_in_one_header_and_one_click_with_the_page() -> None:
    assert Unsubscribe(MAILTO, URL).checked().headers(TOKEN) == {
        "List-Unsubscribe": "<mailto:unsubscribe@sender.example?subject=unsubscribe%20abc234>, "
        "<https://sender.example/u/abc234>",
        **ONE_CLICK,
    }


def test_one_click_is_not_offered_without_a_page() -> None:
    assert Unsubscribe(MAILTO).checked().headers(TOKEN) == {
        "List-Unsubscribe": "<mailto:unsubscribe@sender.example?subject=unsubscribe%20abc234>"
    }


def test_a_page_alone_will_do() -> None:
    headers = Unsubscribe(url="https://sender.example/?u={token}&l=pl").checked().headers(TOKEN)

    assert headers == {"List-Unsubscribe": "<https://sender.example/?u=abc234&l=pl>", **ONE_CLICK}


def test_where_nothing_is_configured_there_is_no_header() -> None:
    assert NO_UNSUBSCRIBE.headers(TOKEN) == {}


def test_an_address_stands_in_its_link_as_rfc_6068_asks() -> None:
    header = Unsubscribe("o'neil+un%sub#1@sender.example").checked().headers(TOKEN)["List-Unsubscribe"]

    address = header.removeprefix("<mailto:").partition("?")[0]
    assert address == "o%27neil+un%25sub%231@sender.example"
    assert unquote(address) == "o'neil+un%sub#1@sender.example"


WRONG: dict[str, tuple[dict[str, object], str]] = {
    "nothing": ({}, "unsubscribe: is empty."),
    "an unknown key": ({"mail": MAILTO}, "unsubscribe.mail: is no field of a campaign file."),
    "no address": ({"mailto": "sender.example"}, "unsubscribe.mailto: is no plain address."),
    "a link for an address": ({"mailto": f"mailto:{MAILTO}"}, "unsubscribe.mailto: is no plain address."),
    "a header behind an address": ({"mailto": f"{MAILTO}\r\nBcc: x@y.example"}, "mailto: is no plain address."),
    "an address with a name": ({"mailto": f"Anna <{MAILTO}>"}, "unsubscribe.mailto: is no plain address."),
    "an address that is not ASCII": ({"mailto": "wypisz@łódź.example"}, "unsubscribe.mailto: is no plain address."),
    "a page without the token": ({"url": "https://sender.example/u"}, "unsubscribe.url: must hold {token} once"),
    "a page with the token twice": ({"url": f"{URL}/{{token}}"}, "unsubscribe.url: must hold {token} once"),
    "an open page": ({"url": URL.replace("https", "http")}, "unsubscribe.url: is not https"),
    "a script": ({"url": "javascript:{token}"}, "unsubscribe.url: is no address of a web page."),
    "no host": ({"url": "https:///{token}"}, "unsubscribe.url: is no address of a web page."),
    "the token as host": ({"url": "https://{token}.sender.example/"}, "unsubscribe.url: is no address of a web page."),
    "a password": ({"url": "https://a:b@sender.example/{token}"}, "unsubscribe.url: is no address of a web page."),
    "a fragment, which no server sees": ({"url": "https://sender.example/#{token}"}, "is no address of a web page."),
    "no port": ({"url": "https://sender.example:x/{token}"}, "unsubscribe.url: is no address of a web page."),
    "a header behind a page": ({"url": f"{URL}\r\nBcc: x"}, "unsubscribe.url: cannot stand in a header as it is."),
    "the end of the link": ({"url": f"{URL}>, <https://x.example/"}, "cannot stand in a header as it is."),
    "a blank": ({"url": f"{URL} x"}, "unsubscribe.url: cannot stand in a header as it is."),
    "a page that is not ASCII": ({"url": "https://łódź.example/{token}"}, "cannot stand in a header as it is."),
    "an encoded word": ({"url": f"{URL}=?utf-8?q?x?="}, "unsubscribe.url: cannot stand in a header as it is."),
    "an endless page": ({"url": URL + "x" * 500}, "unsubscribe.url: cannot stand in a header as it is."),
    "a number": ({"url": 5}, "unsubscribe.url: Input should be a valid string"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_could_not_stand_in_a_header_or_tell_who_it_was_is_refused(tmp_path: Path, case: str) -> None:
    settings, words = WRONG[case]

    with pytest.raises(InvalidInput) as refused:
        read_campaign_file(file_with(tmp_path, settings))

    assert words in str(refused.value)
    assert str(tmp_path) in str(refused.value)
    assert refused.value.mend or case == "a number"


def test_the_ways_to_unsubscribe_are_content_and_its_digest_covers_them(tmp_path: Path) -> None:
    settings: list[dict[str, object]] = [{"mailto": MAILTO}, {"url": URL}, {"mailto": MAILTO, "url": URL}]

    files = [read_campaign_file(file_with(tmp_path, each)) for each in settings]

    assert len({file.content_digest for file in files}) == 3
    assert [file.content.unsubscribe for file in files] == [Unsubscribe(**each) for each in settings]  # type: ignore[arg-type]
    for file in files:
        assert Content.of(file.content.row) == file.content


@pytest.mark.parametrize("part", ["subject", "text", "html"])
def test_a_link_that_leads_nowhere_is_refused_with_the_setting_to_mend(part: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        linking(Unsubscribe(MAILTO), part)

    assert refused.value.field == part
    assert "{{ unsubscribe_url }} is used" in refused.value.problem
    assert "[unsubscribe]" in refused.value.mend
    assert "url =" in refused.value.mend


def test_without_a_text_the_html_is_named() -> None:
    with pytest.raises(InvalidInput) as refused:
        compile_content(Content("s", None, "<p>{{ unsubscribe_url }}</p>"))

    assert refused.value.field == "html"


def test_the_link_is_escaped_in_html_and_not_in_text() -> None:
    page = Unsubscribe(url="https://sender.example/?u={token}&l=pl").checked()
    content = compile_content(Content("s", "{{ unsubscribe_url }}", '<a href="{{ unsubscribe_url }}">x</a>', page))

    rendered = content.render({"unsubscribe_url": page.link(TOKEN) or ""})

    assert rendered.text == "https://sender.example/?u=abc234&l=pl\n"
    assert rendered.html == '<a href="https://sender.example/?u=abc234&amp;l=pl">x</a>\n'


def linking(unsubscribe: Unsubscribe, part: str) -> CompiledContent:
    parts = {"subject": "s", "text": "t", "html": "<p>h</p>", part: "x {{ unsubscribe_url }}"}
    return compile_content(Content(parts["subject"], parts["text"], parts["html"], unsubscribe))


def file_with(folder: Path, settings: dict[str, object]) -> Path:
    path = folder / "autumn.toml"
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    path.write_text(
        "\n".join(['name = "A"', 'mailbox = "m"', '[content]\nsubject = "s"\ntext = "t"\n[unsubscribe]', *lines]),
        encoding="utf-8",
    )
    return path
