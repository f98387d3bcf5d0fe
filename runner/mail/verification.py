"""The finished bytes, read back by the standard library: they must say what was meant and nothing more.

This judges the encoder by another program's reading, for every mail, before a server hears of it.
"""

from __future__ import annotations

from datetime import datetime
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.policy import Compat32
from email.utils import getaddresses, parsedate_to_datetime
from functools import lru_cache

from runner.mail.errors import MessageBroken
from runner.mail.header_lines import MAX_UNFOLDED_OCTETS
from runner.mail.message import Author, Intended

_READER = Compat32()  # leaves values as they were written: decoding them is this module's work
_DECODED_BY_OTHERS = ["from", "date", "content-type", "content-transfer-encoding"]
_PART_HEADERS = ["content-transfer-encoding", "content-type"]


def verify_message(raw: bytes, expected: Intended) -> None:
    """Raise `MessageBroken` unless the message has exactly the intended headers and bodies."""
    _verify_lines(raw)
    message: Message = message_from_bytes(raw, policy=_READER)
    headers = [(name, _unfolded(value)) for name, value in message.raw_items()]
    _verify_names(headers, expected)
    _verify_values(dict(headers), expected)
    _verify_ascii(raw, expected)
    _verify_bodies(message, expected)


def _verify_lines(raw: bytes) -> None:
    ends = raw.count(b"\r\n")
    if not raw.endswith(b"\r\n") or ends != raw.count(b"\n") or ends != raw.count(b"\r"):
        raise MessageBroken("lines", "one does not end with CRLF.")
    if b"\0" in raw:
        raise MessageBroken("lines", "one holds a NUL.")
    if max(map(len, raw.split(b"\r\n"))) > MAX_UNFOLDED_OCTETS:
        raise MessageBroken("lines", f"one is longer than {MAX_UNFOLDED_OCTETS} octets.")


def _verify_names(headers: list[tuple[str, str]], expected: Intended) -> None:
    """Count every name, so that a header too many is seen whatever it is called."""
    found = sorted(name.lower() for name, _ in headers)
    meant = sorted([*(name.lower() for name, _ in expected.headers), *_DECODED_BY_OTHERS])
    if found != meant:
        raise MessageBroken("headers", f"there are {len(found)}, and not exactly the {len(meant)} that were meant.")


def _verify_values(headers: dict[str, str], expected: Intended) -> None:
    for name, meant in expected.headers:
        if _decoded(headers.get(name, "")) != meant:
            raise MessageBroken(name, "it does not read as it was meant.")
    if _author_of(headers.get("From", "")) != expected.author:
        raise MessageBroken("From", "it does not read as it was meant.")
    if not _is_same_time(headers.get("Date", ""), expected.date):
        raise MessageBroken("Date", "it does not read as it was meant.")


def _verify_ascii(raw: bytes, expected: Intended) -> None:
    """Octets over 127 may stand in To alone, where the address itself has them."""
    if raw.isascii():
        return
    to = dict(expected.headers)["To"]
    if not raw.replace(f"\r\nTo: {to}\r\n".encode(), b"", 1).isascii():
        raise MessageBroken("octets", "some are not ASCII outside the recipient's address.")


def _verify_bodies(message: Message, expected: Intended) -> None:
    if expected.html is None:
        return _verify_text(message, "text/plain", expected.text)
    parts = message.get_payload()
    if message.get_content_type() != "multipart/alternative" or not isinstance(parts, list) or len(parts) != 2:
        raise MessageBroken("body", "it is not one text and one HTML part.")
    if message.defects or message.preamble or message.epilogue:
        raise MessageBroken("body", "there is something around its parts.")
    for part, kind, meant in zip(parts, ("text/plain", "text/html"), (expected.text, expected.html), strict=True):
        if sorted(name.lower() for name in part.keys()) != _PART_HEADERS:  # noqa: SIM118 (a Message iterates otherwise)
            raise MessageBroken(kind, "it has headers that were not meant.")
        _verify_text(part, kind, meant)
    return None


def _verify_text(part: Message, kind: str, meant: str) -> None:
    if part.get_content_type() != kind or part.get_content_charset() != "utf-8" or part.is_multipart():
        raise MessageBroken(kind, "it is not declared as UTF-8 text of its kind.")
    octets = part.get_payload(decode=True)
    if part.defects or octets != meant.replace("\n", "\r\n").encode():
        raise MessageBroken(kind, "it does not decode to the rendered text.")


def _unfolded(value: str) -> str:
    return value.replace("\r\n ", " ")


def _decoded(value: str) -> str:
    """Decode encoded words, and raw UTF-8, which the parser keeps as surrogate escapes."""
    if not value.isascii():
        return value.encode("ascii", "surrogateescape").decode(errors="replace")
    if "=?" not in value:
        return value
    try:
        return "".join(
            piece if isinstance(piece, str) else piece.decode(charset or "ascii")
            for piece, charset in decode_header(value)
        )
    except (HeaderParseError, LookupError, UnicodeError):
        return ""


@lru_cache(maxsize=256)
def _author_of(value: str) -> Author | None:
    """Read a From header. Remembered by its text: a campaign's mails all carry the same one."""
    mailboxes = getaddresses([value])
    if len(mailboxes) != 1:
        return None
    name, address = mailboxes[0]
    return Author(_decoded(name), address)


def _is_same_time(value: str, meant: datetime) -> bool:
    try:
        found = parsedate_to_datetime(value)
    except ValueError:
        return False
    return found == meant.replace(microsecond=0) and found.utcoffset() == meant.utcoffset()
