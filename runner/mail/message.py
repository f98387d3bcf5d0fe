"""The message: a structure prepared once per author and shape of content, filled once per mail.

Filling costs microseconds where the standard library's builders cost 0.3 to 1 ms. The same inputs always
give the same bytes: nothing here reads a clock or draws a number.
"""

from __future__ import annotations

import re
from binascii import b2a_base64, b2a_qp
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from types import MappingProxyType

from domain.errors import InvalidInput
from runner.mail.errors import MessageBroken
from runner.mail.header_lines import (
    MAX_LINE_OCTETS,
    MAX_UNFOLDED_OCTETS,
    fold_at_spaces,
    mailbox,
    unstructured,
)
from runner.mail.sanitise import line_problem
from runner.mail.templates import Rendered

MAX_ADDRESS_OCTETS = 254  # RFC 5321, section 4.5.3.1.3, without the angle brackets
MAX_AUTHOR_NAME_CHARACTERS = 200

_SPACE_OR_SPECIAL = r"\s<>()\[\]\\,;:@\"\x00-\x20\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_ADDRESS = re.compile(rf"[^{_SPACE_OR_SPECIAL}]+@[^{_SPACE_OR_SPECIAL}]+")
_MESSAGE_ID = re.compile(r"<[!-;=?A-~]{1,120}@[!-;=?A-~]{1,120}>")
_HEADER_NAME = re.compile(r"[!-9;-~]{1,60}")
_RESERVED_HEADERS = frozenset(
    {
        "from",
        "to",
        "subject",
        "date",
        "message-id",
        "mime-version",
        "cc",
        "bcc",
        "sender",
        "return-path",
        "received",
    }
)
_NONE: Mapping[str, str] = MappingProxyType({})
_RESERVED_PREFIXES = ("content-", "resent-")
# No encoded part can hold it: quoted-printable never writes `=_`, base64 never `_`. It is the same in every mail, for
# the standard library compiles an expression for each boundary it meets: reading a new one back costs 0.15 ms more.
BOUNDARY = "=_sendledger"
_BASE64_OCTETS_A_LINE = MAX_LINE_OCTETS // 4 * 3


@dataclass(frozen=True, slots=True)
class Author:
    """Who a mail is from: a name, which may be empty, and an address in ASCII (`xn--` for other domains)."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Intended:
    """What a message must say when it is read back: decoded headers in order, and the bodies."""

    headers: tuple[tuple[str, str], ...]
    author: Author
    date: datetime
    text: str
    html: str | None


class MessageLayout:
    """What is the same in the messages to all leads. Raises `InvalidInput` for an unusable header.

    `headers` stand in every message; `build` takes those of one mail.
    """

    __slots__ = ("_author", "_extra", "_from", "_has_html", "_rest")

    def __init__(self, author: Author, *, html: bool, headers: Mapping[str, str] = _NONE) -> None:
        _check_author(author)
        _check_extra_headers(headers)
        self._author = author
        self._has_html = html
        self._extra = tuple(headers.items())
        self._from = mailbox("From", author.name, author.address)
        extra = [fold_at_spaces(name, value) for name, value in self._extra]
        self._rest = "\r\n".join(["MIME-Version: 1.0", *extra])

    def build(
        self, *, to: str, rendered: Rendered, message_id: str, date: datetime, headers: Mapping[str, str] = _NONE
    ) -> bytes:
        """Return the message with CRLF line ends: ASCII only, unless `to` is not (see `needs_smtputf8`).

        Raises `MessageBroken` for an input that could not stand in a message.
        """
        self._check(to, rendered, message_id, date, headers)
        own = "".join(f"{fold_at_spaces(name, value)}\r\n" for name, value in headers.items())
        head = (
            f"{self._from}\r\n"
            f"To: {to}\r\n"
            f"{unstructured('Subject', rendered.subject)}\r\n"
            f"Date: {format_datetime(date)}\r\n"
            f"Message-ID: {message_id}\r\n"
            f"{self._rest}\r\n"
            f"{own}"
        ).encode()
        if rendered.html is None:
            return head + _text_part("plain", rendered.text)
        return head + _alternatives(rendered.text, rendered.html)

    def intended(
        self, *, to: str, rendered: Rendered, message_id: str, date: datetime, headers: Mapping[str, str] = _NONE
    ) -> Intended:
        """Return what `build` with the same arguments must have written, for `verify_message`."""
        return Intended(
            headers=(
                ("MIME-Version", "1.0"),
                *self._extra,
                *headers.items(),
                ("To", to),
                ("Subject", rendered.subject),
                ("Message-ID", message_id),
            ),
            author=self._author,
            date=date,
            text=rendered.text,
            html=rendered.html,
        )

    def _check(self, to: str, rendered: Rendered, message_id: str, date: datetime, headers: Mapping[str, str]) -> None:
        if not is_plain_address(to):
            raise MessageBroken("To", "the address is not a plain name@domain. Mend this lead's data.")
        if not _MESSAGE_ID.fullmatch(message_id):
            raise MessageBroken("Message-ID", "it is not <left@right> in ASCII.")
        if date.utcoffset() is None:
            raise MessageBroken("Date", "it has no time zone.")
        if (rendered.html is not None) != self._has_html:
            raise MessageBroken("body", "the layout and the content disagree on whether there is an HTML part.")
        try:
            _check_extra_headers(headers, besides=[name for name, _ in self._extra])
        except InvalidInput as error:
            raise MessageBroken(error.field or "headers", error.problem) from None
        _check_rendered(rendered)


def is_plain_address(address: str) -> bool:
    """Tell whether `address` can stand in a header as it is: one `name@domain` without quotes or comments."""
    return (
        _ADDRESS.fullmatch(address) is not None and "=?" not in address and len(address.encode()) <= MAX_ADDRESS_OCTETS
    )


def needs_smtputf8(message: bytes) -> bool:
    """Tell whether a server must offer SMTPUTF8 to be given this message: only for a non-ASCII address."""
    return not message.isascii()


def _alternatives(text: str, html: str) -> bytes:
    line = f"--{BOUNDARY}".encode()
    opening = f'Content-Type: multipart/alternative;\r\n boundary="{BOUNDARY}"\r\nContent-Transfer-Encoding: 7bit\r\n'
    return b"\r\n".join(
        [opening.encode(), line, _text_part("plain", text), line, _text_part("html", html), line + b"--", b""]
    )


def _text_part(subtype: str, text: str) -> bytes:
    """Return one encoded part, its lines ending with CRLF as RFC 2046 section 4.1.1 asks."""
    lines = text.replace("\n", "\r\n")
    try:
        octets = lines.encode()
    except UnicodeEncodeError:
        raise MessageBroken(f"text/{subtype}", "it holds half of a surrogate pair.") from None
    if _suits_quoted_printable(text, surplus=len(octets) - len(lines), size=len(octets)):
        encoding, body = "quoted-printable", b2a_qp(octets)
    else:
        encoding, body = "base64", _base64_lines(octets)
    kind = f'Content-Type: text/{subtype}; charset="utf-8"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n'
    return kind.encode() + body


def _suits_quoted_printable(text: str, *, surplus: int, size: int) -> bool:
    """Tell whether quoted-printable is shorter: it adds 4 octets a Polish letter, base64 adds a third.

    `surplus` is the octets beyond one a character. A text that ends in mid-line is base64 in any case:
    quoted-printable would need a trailing `=`, which is illegal.
    """
    return text.endswith("\n") and 4 * surplus <= size // 3


def _base64_lines(octets: bytes) -> bytes:
    starts = range(0, len(octets), _BASE64_OCTETS_A_LINE)
    lines = [b2a_base64(octets[at : at + _BASE64_OCTETS_A_LINE], newline=False) for at in starts]
    return b"\r\n".join([*lines, b""])


def _check_rendered(rendered: Rendered) -> None:
    if line_problem(rendered.subject) or not rendered.subject or rendered.subject != rendered.subject.strip():
        raise MessageBroken("Subject", "it is not one clean line of text.")
    for part, body in (("text", rendered.text), ("html", rendered.html or "")):
        if "\r" in body or "\0" in body:
            raise MessageBroken(part, "it holds a CR or a NUL.")


def _check_author(author: Author) -> None:
    problem = line_problem(author.name)
    if problem:
        raise InvalidInput(problem, mend="A sender's name is one line of plain text.", field="from name")
    if len(author.name) > MAX_AUTHOR_NAME_CHARACTERS or author.name != author.name.strip():
        problem = f"the name is longer than {MAX_AUTHOR_NAME_CHARACTERS} characters or has spaces around it."
        raise InvalidInput(problem, mend="Shorten it.", field="from name")
    if not is_plain_address(author.address) or not author.address.isascii():
        mend = "Write name@domain in ASCII, an international domain in its xn-- form."
        raise InvalidInput("the sender's address cannot stand in a header.", mend=mend, field="from address")


def _check_extra_headers(headers: Mapping[str, str], besides: Iterable[str] = ()) -> None:
    if not headers:
        return
    seen = {*_RESERVED_HEADERS, *(name.lower() for name in besides)}
    for name, value in headers.items():
        lowered = name.lower()
        if not _HEADER_NAME.fullmatch(name):
            raise InvalidInput(
                "the name of an extra header is not ASCII without spaces.", mend="Rename it.", field="headers"
            )
        if lowered in seen or lowered.startswith(_RESERVED_PREFIXES):
            raise InvalidInput(
                "Sendledger writes this header itself, or it stands twice.", mend="Leave it out.", field=name
            )
        seen.add(lowered)
        _check_extra_value(name, value)


def _check_extra_value(name: str, value: str) -> None:
    longest = MAX_UNFOLDED_OCTETS - len(name) - 2
    clean = value.isascii() and value == " ".join(value.split()) and "=?" not in value and not line_problem(value)
    if not value or not clean or any(len(word) > longest for word in value.split(" ")):
        mend = "Write ASCII words with single spaces between them, without control characters."
        raise InvalidInput("the value cannot stand in a header.", mend=mend, field=name)
