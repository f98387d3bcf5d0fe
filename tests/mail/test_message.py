"""The message: read back by the standard library's modern parser, it says exactly what was meant."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes
from email.header import decode_header, make_header
from email.headerregistry import AddressHeader
from email.message import EmailMessage
from email.policy import compat32, default
from email.utils import parseaddr
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.errors import InvalidInput
from runner.mail.errors import MessageBroken
from runner.mail.message import BOUNDARY, Author, MessageLayout, needs_smtputf8
from runner.mail.templates import Rendered
from runner.mail.verification import verify_message
from tests.mail.strategies import bodies, lines

ANNA = Author("Anna Żółkiewska", "anna@example.com")
MESSAGE_ID = "<3f9a0c@example.com>"
NOON = datetime(2026, 7, 28, 12, 0, tzinfo=ZoneInfo("Europe/Warsaw"))
POLISH = Rendered(
    "Zażółć gęślą jaźń",
    "Pchnąć w tę łódź jeża\nlub ośm skrzyń fig.\n",
    "<p>Pchnąć w tę łódź jeża</p>\n",
)
PLAIN = Rendered("Hello", "Hello,\nworld.\n")
ONE_WORD_OCTETS = 42  # what one encoded word holds behind "From: "
HEADERS = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
]


def built(
    rendered: Rendered,
    *,
    author: Author = ANNA,
    to: str = "jan@example.com",
    message_id: str = MESSAGE_ID,
    date: datetime = NOON,
    headers: dict[str, str] | None = None,
) -> bytes:
    """Build a message and let it pass the check that every mail passes."""
    layout = MessageLayout(author, html=rendered.html is not None, headers=headers or {})
    raw = layout.build(to=to, rendered=rendered, message_id=message_id, date=date)
    verify_message(raw, layout.intended(to=to, rendered=rendered, message_id=message_id, date=date))
    return raw


def read(raw: bytes) -> EmailMessage:
    return message_from_bytes(raw, policy=default)


def text_of(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    return cast(str, cast(EmailMessage, part).get_content()).replace("\r\n", "\n")


def display_name(message: EmailMessage) -> str:
    return cast(AddressHeader, message["From"]).addresses[0].display_name


def raw_display_name(raw: bytes) -> str:
    """Read the name by the older parser: the modern one of 3.11 leaves a space between encoded words."""
    field = message_from_bytes(raw, policy=compat32)["From"]
    return str(make_header(decode_header(parseaddr(field)[0])))


def test_polish_text_arrives_in_every_place() -> None:
    message = read(built(POLISH))

    assert message["Subject"] == "Zażółć gęślą jaźń"
    assert display_name(message) == "Anna Żółkiewska"
    assert message["To"] == "jan@example.com"
    assert text_of(message, "plain") == POLISH.text
    assert text_of(message, "html") == POLISH.html
    assert message.get_content_type() == "multipart/alternative"
    assert not message.defects


@pytest.mark.parametrize("rendered", [PLAIN, POLISH])
def test_the_headers_are_exactly_these_and_the_extra_ones(rendered: Rendered) -> None:
    headers = {
        "List-Unsubscribe": "<https://example.com/u/1>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }

    message = read(built(rendered, headers=headers))

    assert sorted(message.keys()) == sorted([*HEADERS, *headers])
    assert message["List-Unsubscribe"] == "<https://example.com/u/1>"
    assert message["MIME-Version"] == "1.0"


def test_a_mail_can_have_headers_of_its_own_beside_those_of_all() -> None:
    layout = MessageLayout(ANNA, html=False, headers={"List-Id": "<autumn.example.com>"})
    for token in ("one", "two"):
        own = {"List-Unsubscribe": f"<https://example.com/u/{token}>", "X-Own": token}
        parts: dict[str, Any] = {"to": "jan@example.com", "rendered": PLAIN, "message_id": MESSAGE_ID, "date": NOON}

        raw = layout.build(**parts, headers=own)

        verify_message(raw, layout.intended(**parts, headers=own))
        assert sorted(read(raw).keys()) == sorted([*HEADERS, "List-Id", *own])
        assert read(raw)["List-Unsubscribe"] == f"<https://example.com/u/{token}>"
        with pytest.raises(MessageBroken):
            verify_message(raw, layout.intended(**parts))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Subject", "x: y"),
        ("list-id", "<other.example.com>"),
        ("X-Own", "a\r\nBcc: b@example.com"),
        ("X-Own", "ż"),
        ("X-Own", "=?utf-8?q?x?="),
        ("X Own", "a, b"),
        ("X-Own", "x" * 996),
    ],
)
def test_a_header_of_a_mail_s_own_that_cannot_stand_there_is_refused(name: str, value: str) -> None:
    layout = MessageLayout(ANNA, html=False, headers={"List-Id": "<autumn.example.com>"})

    with pytest.raises(MessageBroken) as broken:
        layout.build(to="a@example.com", rendered=PLAIN, message_id=MESSAGE_ID, date=NOON, headers={name: value})

    assert value not in str(broken.value)


def test_the_date_keeps_its_own_offset() -> None:
    half_past = timezone(timedelta(hours=-3, minutes=-30))

    assert b"\r\nDate: Tue, 28 Jul 2026 12:00:00 +0200\r\n" in built(PLAIN)
    assert b"\r\nDate: Tue, 28 Jul 2026 06:30:00 -0330\r\n" in built(PLAIN, date=NOON.astimezone(half_past))
    assert b"\r\nDate: Tue, 28 Jul 2026 10:00:00 +0000\r\n" in built(PLAIN, date=NOON.astimezone(UTC))


def test_the_same_inputs_give_the_same_bytes() -> None:
    assert built(POLISH) == built(POLISH)


@given(subject=lines, name=lines | st.just(""), text=bodies, html=bodies | st.none())
@example(subject="a=?b", name='quo"te\\d', text=".\n..\n", html=None)
@example(subject="x" * 200, name="=?x", text="x" * 2_000, html="<p>=\n")
@example(subject="word " * 40 + "end", name="Smith, John (x)", text="trailing \n\t\n", html=None)
@example(subject="two  blanks", name="a  b", text="From me\n--\n", html="--=_\n")
@example(subject="👩‍👩‍👧" * 30, name="ż" * 90, text="Ω" * 500 + "\n", html=None)
def test_any_subject_name_and_body_comes_back_as_it_was(subject: str, name: str, text: str, html: str | None) -> None:
    raw = built(Rendered(subject, text, html), author=Author(name, "anna@example.com"))

    message = read(raw)

    assert raw.isascii()
    assert max(len(line) for line in raw.split(b"\r\n")) <= 78
    assert message["Subject"] == subject
    assert raw_display_name(raw) == name
    assert len(name.encode()) > ONE_WORD_OCTETS or display_name(message) == name
    assert text_of(message, "plain") == text
    assert html is None or text_of(message, "html") == html


@given(lines)
def test_each_encoded_word_is_short_and_holds_whole_characters(subject: str) -> None:
    raw = built(Rendered(f"ż{subject}", "x\n"))

    words = re.findall(rb"=\?utf-8\?b\?([^?]*)\?=", raw.split(b"\r\nSubject:")[1].split(b"\r\nDate:")[0])

    assert all(len(word) + len("=?utf-8?b??=") <= 75 for word in words)
    assert "".join(base64.b64decode(word).decode() for word in words) == f"ż{subject}"


def test_a_short_plain_subject_stays_readable_and_a_long_one_is_folded() -> None:
    long = " ".join(["autumn"] * 30)

    assert b"\r\nSubject: Hello\r\n" in built(PLAIN)
    raw = built(Rendered(long, "x\n"))
    assert b"=?" not in raw.split(b"\r\nSubject:")[1]
    assert read(raw)["Subject"] == long


@pytest.mark.parametrize(
    ("text", "encoding"),
    [("Hello, żaba.\n" * 9, "quoted-printable"), ("Ω" * 99 + "\n", "base64"), ("no line end", "base64")],
)
def test_the_encoding_fits_the_text(text: str, encoding: str) -> None:
    assert read(built(Rendered("s", text)))["Content-Transfer-Encoding"] == encoding


def test_a_line_of_a_dot_is_left_to_the_dialogue() -> None:
    text = ".\n..\n.hidden\n"

    assert text_of(read(built(Rendered("s", text))), "plain") == text


@pytest.mark.parametrize("wrap", ["{}", "\n{}\n", "\n--{}\n", "\n--{}--\n"])
def test_a_text_that_knows_the_boundary_cannot_end_its_part(wrap: str) -> None:
    attack = "before" + wrap.format(BOUNDARY) + "\nContent-Type: text/html\n\n<b>evil</b>\n"

    message = read(built(Rendered("s", attack, attack)))

    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert text_of(message, "plain") == text_of(message, "html") == attack


def test_a_non_ascii_address_alone_asks_for_smtputf8() -> None:
    raw = built(POLISH, to="żaneta@łódź.example")

    assert needs_smtputf8(raw)
    assert not needs_smtputf8(built(POLISH))
    assert "\r\nTo: żaneta@łódź.example\r\n".encode() in raw
    assert raw.replace("To: żaneta@łódź.example".encode(), b"").isascii()


@pytest.mark.parametrize(
    "to",
    [
        "",
        "jan",
        "jan@",
        "@example.com",
        "jan@example.com\r\nBcc: x@example.com",
        "jan@example.com\n",
        "a@b@c",
        "a b@example.com",
        "a@example.com,b@example.com",
        "Jan <jan@example.com>",
        '"a"@example.com',
        "a(x)@example.com",
        "=?utf-8?q?x?=@example.com",
        "a\0@example.com",
        "a\u2028@example.com",
        "a\u202e@example.com",
        "a\ud800@example.com",
        "a" * 250 + "@example.com",
    ],
)
def test_an_address_that_is_more_than_an_address_is_refused_and_not_quoted(to: str) -> None:
    with pytest.raises(MessageBroken) as broken:
        built(PLAIN, to=to)

    assert broken.value.part == "To"
    assert "example.com" not in str(broken.value)


@pytest.mark.parametrize(
    "subject", ["a\r\nBcc: x", "a\nb", "a\rb", "nul\0", "=?utf-8?q?=0ABcc:_x?=", "", " a", "a\u2028b"]
)
def test_a_subject_that_could_add_a_header_is_refused(subject: str) -> None:
    with pytest.raises(MessageBroken, match="Subject"):
        built(Rendered(subject, "x\n"))


@pytest.mark.parametrize("text", ["a\rb", "a\r\nb", "a\0b", "a\ud800"])
def test_a_body_that_no_text_is_is_refused(text: str) -> None:
    with pytest.raises(MessageBroken, match="text"):
        built(Rendered("s", text))


@pytest.mark.parametrize("message_id", ["", "a@b", "<a>", "<a b@c>", "<a@b>\r\nX: y", "<a@b><c@d>", "<ż@b>"])
def test_a_message_id_that_is_none_is_refused(message_id: str) -> None:
    with pytest.raises(MessageBroken, match="Message-ID"):
        built(PLAIN, message_id=message_id)


def test_a_date_without_a_zone_is_refused() -> None:
    with pytest.raises(MessageBroken, match="Date"):
        built(PLAIN, date=NOON.replace(tzinfo=None))


def test_a_layout_for_another_shape_of_content_is_refused() -> None:
    with pytest.raises(MessageBroken, match="HTML"):
        MessageLayout(ANNA, html=True).build(to="a@example.com", rendered=PLAIN, message_id=MESSAGE_ID, date=NOON)


@pytest.mark.parametrize(
    ("author", "field"),
    [
        (Author("Anna\r\nBcc: x@example.com", "anna@example.com"), "from name"),
        (Author("=?utf-8?q?=0ABcc:_x?=", "anna@example.com"), "from name"),
        (Author(" Anna", "anna@example.com"), "from name"),
        (Author("A" * 201, "anna@example.com"), "from name"),
        (Author("Anna", "anna@example.com, b@example.com"), "from address"),
        (Author("Anna", "anna@łódź.example"), "from address"),
    ],
)
def test_an_unusable_author_is_refused_with_its_field(author: Author, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        MessageLayout(author, html=False)

    assert refused.value.field == field


@pytest.mark.parametrize(
    "headers",
    [
        {"Bcc": "x@example.com"},
        {"subject": "x"},
        {"Content-Language": "pl"},
        {"X-A": "a\r\nBcc: b"},
        {"X-A": "ż"},
        {"X-A": ""},
        {"X-A": "a  b"},
        {"X A": "b"},
        {"X:A": "b"},
        {"X-A\r\nB": "b"},
        {"X-A": "=?utf-8?q?x?="},
        {"X-A": "a", "x-a": "b"},
        {"X-A": "x" * 996},
    ],
)
def test_an_unusable_extra_header_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(InvalidInput):
        MessageLayout(ANNA, html=False, headers=headers)


def test_a_long_extra_header_is_folded_and_a_long_word_stays_whole() -> None:
    url = f"<https://example.com/{'u' * 300}>"

    message = read(built(PLAIN, headers={"List-Unsubscribe": f"<mailto:u@example.com>, {url}"}))

    assert message["List-Unsubscribe"] == f"<mailto:u@example.com>, {url}"
