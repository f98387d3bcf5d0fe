"""How an SMTP dialogue can fail: no message names an address, a secret or what a server wrote.

SendledgerError
├── ServerUnavailable   no dialogue came about: nothing was sent, the mailbox is to blame
├── DefiniteFailure     this mail was not delivered, for certain
├── InDoubt             the dot was sent and nobody knows what became of the mail
└── ReplyBroken         what came back is no reply (inside this package only)
"""

from __future__ import annotations

from enum import StrEnum

from domain.errors import SendledgerError
from domain.replies import NO_REPLY, Phase, Verdict


class Cause(StrEnum):
    """Why there is no reply to judge."""

    REFUSED = "the server refused"
    UNREACHABLE = "the server cannot be reached"
    TIMED_OUT = "no complete reply in time"
    CLOSED = "the server closed the connection"
    CUT = "the server closed the connection in the middle of its reply"
    RESET = "the connection broke"
    GARBAGE = "what came back is not an SMTP reply"
    WRITE_FAILED = "the connection broke while we wrote"
    TLS_FAILED = "no verified TLS connection came about"
    NO_STARTTLS = "the server does not offer STARTTLS"
    INJECTED = "the server sent more than its answer to STARTTLS"
    NO_AUTH = "the server offers no way to log in that we know"
    NOT_PRINTABLE = "user or password cannot be sent in the way the server offers"
    PLAINTEXT = "an unencrypted connection is only made to this machine, unless the settings allow it"
    NOT_LOOPBACK = "only a server on this machine may be used here"
    NO_SMTPUTF8 = "a non-ASCII address or header needs SMTPUTF8, which the server does not offer"
    NO_8BITMIME = "a non-ASCII body needs 8BITMIME, which the server does not offer"
    BAD_ADDRESS = "an address holds a character that no address can hold"
    BAD_LINE_ENDS = "the message holds a line end that is not CRLF"
    TOO_LARGE = "the message is larger than the server takes"


class ServerUnavailable(SendledgerError):
    """No usable connection; no mail was begun. Judge by `phase`, `code` and `enhanced`; `text` may hold personal data.

    Attributes: `phase`, `code` (`NO_REPLY` without one), `enhanced`, `cause`, `text`.
    """

    def __init__(
        self, phase: Phase, code: int = NO_REPLY, enhanced: str | None = None, *, cause: Cause, text: str = ""
    ) -> None:
        self.phase = phase
        self.code = code
        self.enhanced = enhanced
        self.cause = cause
        self.text = text
        super().__init__(f"No mail server to send with: {_answer(phase, code, enhanced)}, {cause}. Nothing was sent.")


class DefiniteFailure(SendledgerError):
    """This mail was not delivered, for certain. `text` is what the server wrote: personal data.

    Attributes: `phase`, `code` (`NO_REPLY` without one), `enhanced`, `verdict`, `cause`, `text`.
    """

    def __init__(
        self,
        phase: Phase,
        code: int = NO_REPLY,
        enhanced: str | None = None,
        *,
        verdict: Verdict,
        cause: Cause,
        text: str = "",
    ) -> None:
        self.phase = phase
        self.code = code
        self.enhanced = enhanced
        self.verdict = verdict
        self.cause = cause
        self.text = text
        super().__init__(f"Not delivered ({verdict}): {_answer(phase, code, enhanced)}, {cause}.")


class InDoubt(SendledgerError):
    """The dot was sent, or may have been, and no answer to it was read: only evidence from outside can tell.

    Attributes: `cause`.
    """

    def __init__(self, cause: Cause) -> None:
        self.cause = cause
        super().__init__(f"Nobody knows whether this mail was delivered: after the final dot, {cause}.")


class ReplyBroken(SendledgerError):
    """No well-formed reply was read. Attributes: `cause`."""

    def __init__(self, cause: Cause) -> None:
        self.cause = cause
        super().__init__(f"No reply: {cause}.")


def _answer(phase: Phase, code: int, enhanced: str | None) -> str:
    return " ".join(part for part in (phase.value, str(code) if code else "no reply", enhanced) if part)
