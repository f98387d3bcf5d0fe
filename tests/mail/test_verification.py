"""The last look at the bytes: every way to tamper with a message is caught before it is sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from runner.mail.errors import MessageBroken
from runner.mail.message import Author, Intended, MessageLayout
from runner.mail.templates import Rendered
from runner.mail.unsubscribe import Unsubscribe
from runner.mail.verification import verify_message

ANNA = Author("Anna Żółkiewska", "anna@example.com")
NOON = datetime(2026, 7, 28, 12, 0, 0, 999, tzinfo=ZoneInfo("Europe/Warsaw"))
TEXT = Rendered("Zażółć", "Dzień dobry, Łucjo. Oto nasza jesienna oferta.\n")
BOTH = Rendered(
    "Zażółć", "Dzień dobry, Łucjo. Oto nasza jesienna oferta.\n", "<p>Dzień dobry, Łucjo. Oto oferta.</p>\n"
)

OWN = Unsubscribe("u@example.com", "https://example.com/u/{token}").headers("abc234" * 6)


def message(rendered: Rendered, to: str = "lucja@example.com") -> tuple[bytes, Intended]:
    layout = MessageLayout(ANNA, html=rendered.html is not None, headers={"List-Id": "<autumn.example.com>"})
    raw = layout.build(to=to, rendered=rendered, message_id="<1a@example.com>", date=NOON, headers=OWN)
    return raw, layout.intended(to=to, rendered=rendered, message_id="<1a@example.com>", date=NOON, headers=OWN)


def swap(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def tamper(raw: bytes) -> bytes:
        assert old in raw, "the tampering must change something"
        return raw.replace(old, new, 1)

    return tamper


TAMPERED_HEADERS = [
    swap(b"\r\nDate:", b"\r\nBcc: x@example.com\r\nDate:"),
    swap(b"\r\nDate:", b"\r\nX-Other: 1\r\nDate:"),
    swap(b"\r\nDate:", b"\r\nSubject: again\r\nDate:"),
    swap(b"\r\nList-Id: <autumn.example.com>", b""),
    swap(b"List-Id: <autumn", b"List-Id: <spring"),
    swap(b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click", b""),
    swap(b"\r\nList-Unsubscribe-Post:", b"\r\nList-Unsubscribe: <https://x.example/>\r\nList-Unsubscribe-Post:"),
    swap(b"example.com/u/abc", b"example.com/u/abd"),
    swap(b"One-Click", b"Two-Clicks"),
    swap(b"To: lucja@", b"To: other@"),
    swap(b"To: lucja@example.com", b"To: lucja@example.com, x@example.com"),
    swap(b"To: lucja@example.com", "To: łucja@example.com".encode()),
    swap(b"Message-ID: <1a", b"Message-ID: <1b"),
    swap(b"<anna@example.com>", b"<anne@example.com>"),
    swap(b"<anna@example.com>", b"<anna@example.com>, <x@example.com>"),
    swap(b"Subject: =?utf-8?b?", b"Subject: =?no-such?b?"),
    swap(b"Subject: =?utf-8?b?", b"Subject: Re: =?utf-8?b?"),
    swap(b"Subject: =?utf-8?b?W", b"Subject: =?utf-8?b?X"),
    swap(b"12:00:00 +0200", b"12:00:01 +0200"),
    swap(b"12:00:00 +0200", b"10:00:00 +0000"),
    swap(b"28 Jul 2026", b"soon"),
    swap(b"MIME-Version: 1.0", b"MIME-Version: 2.0"),
    swap(b"\r\nDate:", b"\nDate:"),
    swap(b"\r\nDate:", b"\rDate:"),
    swap(b"\r\nDate:", b"\r\n\r\nDate:"),
    swap(b"\r\nDate:", b"\r\nno header\r\nDate:"),
]
TAMPERED_BODIES = [
    swap(b"dobry", b"dobra"),
    swap(b"dobry", b"dobr\0"),
    swap(b"dobry", b"dob\xc5\xbc"),
    swap(b"dobry", b"dobry" + b"x" * 999),
    swap(b"dobry", b"dobry\n"),
    swap(b"quoted-printable", b"base64"),
    swap(b"quoted-printable", b"8bit"),
    swap(b'charset="utf-8"', b'charset="iso-8859-2"'),
    swap(b"text/plain", b"text/html"),
    lambda raw: raw + b"more\r\n",
    lambda raw: raw[:-2],
    lambda raw: raw[: len(raw) // 2] + b"\r\n",
]
TAMPERED_PARTS = [
    swap(b"multipart/alternative", b"multipart/mixed"),
    swap(b"--=_", b"preamble\r\n--=_"),
    swap(b"Content-Type: text/html", b"Content-Disposition: attachment\r\nContent-Type: text/html"),
    swap(b'boundary="=_', b'boundary="=='),
    swap(b"<p>", b"<b>"),
    lambda raw: raw[:-4] + b"\r\n",
]


@pytest.mark.parametrize("rendered", [TEXT, BOTH], ids=["text", "both"])
@pytest.mark.parametrize("to", ["lucja@example.com", "łucja@example.com"])
def test_an_untouched_message_passes(rendered: Rendered, to: str) -> None:
    verify_message(*message(rendered, to))


@pytest.mark.parametrize("rendered", [TEXT, BOTH], ids=["text", "both"])
@pytest.mark.parametrize("tamper", TAMPERED_HEADERS + TAMPERED_BODIES)
def test_a_message_that_says_something_else_is_broken(rendered: Rendered, tamper: Callable[[bytes], bytes]) -> None:
    raw, intended = message(rendered)

    with pytest.raises(MessageBroken) as broken:
        verify_message(tamper(raw), intended)

    assert "@" not in str(broken.value)


@pytest.mark.parametrize("tamper", TAMPERED_PARTS)
def test_a_message_whose_parts_changed_is_broken(tamper: Callable[[bytes], bytes]) -> None:
    raw, intended = message(BOTH)

    with pytest.raises(MessageBroken):
        verify_message(tamper(raw), intended)


def test_a_message_for_somebody_else_is_broken() -> None:
    raw, intended = message(TEXT)

    for other in (
        replace(intended, text="Something else.\n"),
        replace(intended, html="<p>More.</p>\n"),
        replace(intended, date=NOON + timedelta(seconds=1)),
        replace(intended, author=Author("Anna", "anna@example.com")),
    ):
        with pytest.raises(MessageBroken):
            verify_message(raw, other)
