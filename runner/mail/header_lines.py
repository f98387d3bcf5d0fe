"""Header lines: folded and encoded as RFC 5322 and RFC 2047 ask, in microseconds a mail.

The standard library's own encoders cost 0.1 ms a header and more; it reads every mail back before sending
instead (`runner.mail.verification`), so what is written here is judged by it and not by this module.
"""

from __future__ import annotations

import re
from binascii import b2a_base64

MAX_LINE_OCTETS = 76  # RFC 2047, section 2, for a line that holds an encoded word
MAX_UNFOLDED_OCTETS = 998  # RFC 5322, section 2.1.1

_WORD_START = "=?utf-8?b?"
_WORD_END = "?="
_MAX_WORD_OCTETS = 75
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_QUOTABLE = re.compile(r'[\\"]')


def unstructured(name: str, text: str) -> str:
    """Write a free-text header, such as Subject: as it is when it is short and plain, else encoded."""
    if _is_plain(text) and "  " not in text:
        lines = fold_at_spaces(name, text)
        if all(len(line) <= MAX_LINE_OCTETS for line in lines.split("\r\n")):
            return lines
    return f"{name}: {_encoded(text, used=len(name) + 2)}"


def fold_at_spaces(name: str, text: str) -> str:
    """Write an ASCII header folded at single spaces. A word that is longer than a line stays whole."""
    first, *words = text.split(" ")
    lines = [f"{name}: {first}"]
    for word in words:
        if len(lines[-1]) + 1 + len(word) <= MAX_LINE_OCTETS:
            lines[-1] += f" {word}"
        else:
            lines.append(f" {word}")
    return "\r\n".join(lines)


def mailbox(header: str, name: str, address: str) -> str:
    """Write a header with one mailbox: the name as atoms, quoted or encoded, then the address."""
    if not name:
        return f"{header}: {address}"
    phrase = _phrase(name, used=len(header) + 2)
    line = f"{header}: {phrase}"
    room = MAX_LINE_OCTETS - len(line.rsplit("\r\n", 1)[-1])
    return f"{line} <{address}>" if len(address) + 3 <= room else f"{line}\r\n <{address}>"


def _phrase(name: str, used: int) -> str:
    quoted = '"' + _QUOTABLE.sub(r"\\\g<0>", name) + '"'
    if not _is_plain(name) or used + len(quoted) > MAX_LINE_OCTETS:
        return _encoded(name, used)
    return name if _ATOMS.fullmatch(name) else quoted


def _is_plain(text: str) -> bool:
    """A text with `=?` is encoded although it is ASCII: then nobody can take it for an encoded word."""
    return text.isascii() and "=?" not in text


def _encoded(text: str, used: int) -> str:
    """Write encoded words, one a line, each of whole characters. The first line has `used` octets already."""
    octets = text.encode()
    words: list[str] = []
    start = 0
    while start < len(octets):
        room = min(_MAX_WORD_OCTETS, MAX_LINE_OCTETS - (1 if words else used))
        end = _character_end(octets, start + _octets_in_word(room))
        words.append(_WORD_START + b2a_base64(octets[start:end], newline=False).decode() + _WORD_END)
        start = end
    return "\r\n ".join(words)


def _octets_in_word(room: int) -> int:
    return (room - len(_WORD_START) - len(_WORD_END)) // 4 * 3


def _character_end(octets: bytes, end: int) -> int:
    """Step back to where a UTF-8 character ends: its further octets all begin with the bits 10."""
    while end < len(octets) and octets[end] & 0xC0 == 0x80:
        end -= 1
    return min(end, len(octets))
