"""What a mail server's answer means: for the lead it was about, and for the mailbox that spoke.

An answer is a phase, a reply code (RFC 5321) and, where given, an enhanced status code (RFC 3463). Three questions
decide everything: is it certain that nothing was delivered, will trying again help, and who is to blame.

Before the final dot every answer is definite: nothing was delivered. After the dot only 2xx, 4xx and 5xx are answers;
everything else leaves the mail in doubt.

**Who is blamed?** A single bad recipient must never stop a mailbox, so an answer to RCPT or DATA blames the mailbox
only when its code speaks of us and of nobody else:

| code | says | at RCPT | at DATA | at the dot |
|---|---|---|---|---|
| 530, 534, 535, 538 · x.7.8, x.7.9, x.7.11, x.7.12 | log in first, or in another way | mailbox | mailbox | lead |
| x.4.5 · x.7.28 | too much mail: congestion, quota, flood | mailbox | mailbox | lead, for now |
| x.7.0 | security or policy, not of this recipient | mailbox | lead | lead |
| 4.7.x | rate limits | mailbox | lead | lead |
| 450 or 451 with 4.7.1 | greylisting | lead, for now | lead | lead |
| 5.7.1 | this recipient does not want this mail | lead | lead | lead |
| other 5.7.x, SPF and DKIM verdicts included | the policy of one recipient's domain | lead | lead | lead |
| 421 | the server is going away | mailbox | lead | lead, for now |

"Lead, for now": temporary. A quota reply to the dot, 5xx too, is temporary for the lead: the quota ends, and failing
every lead behind it for good would be a loss. 421 to DATA counts as any 4xx to DATA. 552 to RCPT is temporary: it
stands for 452, too many recipients or a full mailbox (RFC 5321 section 4.5.3.1.10).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Literal

NO_REPLY: Final = 0  # the code where no server reply exists: connection lost, time-out, garbage, refused by ourselves

SERVICE_CLOSING: Final = 421
RECIPIENT_STORAGE_EXCEEDED: Final = 552
LOGIN_CODES: Final = frozenset({530, 534, 535, 538})
LOGIN_DETAILS: Final = frozenset({"7.8", "7.9", "7.11", "7.12"})
QUOTA_DETAILS: Final = frozenset({"4.5", "7.28"})
POLICY_DETAIL: Final = "7.0"
GREYLISTING_CODES: Final = frozenset({450, 451})
GREYLISTING_DETAIL: Final = "7.1"


class Phase(StrEnum):
    """How far a dialogue had come: the command that was answered, or what was being done."""

    LOCAL = "local"  # before any server was asked: unrenderable, or the server lacks SMTPUTF8
    CONNECT = "connect"  # TCP, greeting and EHLO
    TLS = "tls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"  # the command and the body, up to the dot
    DOT = "dot"


class Verdict(StrEnum):
    """What an answer means for the lead."""

    ACCEPTED = "accepted"
    TEMPORARY = "temporary"  # not delivered; another attempt may help
    PERMANENT = "permanent"  # not delivered; no attempt will help
    MAILBOX_FAULT = "mailbox_fault"  # not delivered; the lead stays queued, no attempt is spent
    IN_DOUBT = "in_doubt"  # nobody knows


def judge(phase: Phase, code: int, enhanced: str | None) -> Verdict:
    """Return what this answer means for the lead; `NO_REPLY` is the code where no reply was read.

    >>> judge(Phase.RCPT, 550, "5.1.1").value, judge(Phase.RCPT, 552, None).value
    ('permanent', 'temporary')
    >>> judge(Phase.MAIL, 550, None).value, judge(Phase.DATA, NO_REPLY, None).value
    ('mailbox_fault', 'mailbox_fault')
    >>> judge(Phase.DOT, 250, "2.0.0").value, judge(Phase.DOT, NO_REPLY, None).value
    ('accepted', 'in_doubt')
    """
    match phase:
        case Phase.LOCAL:
            return Verdict.PERMANENT
        case Phase.CONNECT | Phase.TLS | Phase.AUTH:
            return Verdict.MAILBOX_FAULT
        case Phase.DOT:
            return _after_the_dot(code, enhanced)
        case Phase.MAIL | Phase.RCPT | Phase.DATA:
            return _before_the_dot(phase, code, enhanced)


def mailbox_measure(phase: Phase, code: int, enhanced: str | None) -> Literal["delay", "pause"]:
    """Return what to do with a mailbox that is to blame: wait and try again, or wait for a person.

    Only what no waiting mends is a pause: a refused login, a refused sender, and our own refusal to connect.

    >>> mailbox_measure(Phase.AUTH, 535, "5.7.8"), mailbox_measure(Phase.MAIL, 550, "5.4.5")
    ('pause', 'delay')
    """
    if phase is Phase.LOCAL:
        return "pause"
    refused_for_good = phase in (Phase.AUTH, Phase.MAIL) and 500 <= code <= 599
    return "pause" if refused_for_good and not is_quota(enhanced) else "delay"


def is_quota(enhanced: str | None) -> bool:
    """Tell whether a reply speaks of too much mail from this mailbox: then the mailbox needs a rest, at the dot too."""
    return _detail(enhanced) in QUOTA_DETAILS


def _after_the_dot(code: int, enhanced: str | None) -> Verdict:
    if 200 <= code <= 299:
        return Verdict.ACCEPTED
    if 400 <= code <= 499:
        return Verdict.TEMPORARY
    if 500 <= code <= 599:
        return Verdict.TEMPORARY if is_quota(enhanced) else Verdict.PERMANENT
    return Verdict.IN_DOUBT


def _before_the_dot(phase: Phase, code: int, enhanced: str | None) -> Verdict:
    if 200 <= code <= 399:
        return Verdict.TEMPORARY  # out of step, yet nothing was delivered
    if not 400 <= code <= 599 or _blames_mailbox(phase, code, enhanced):
        return Verdict.MAILBOX_FAULT
    if code <= 499 or (phase is Phase.RCPT and code == RECIPIENT_STORAGE_EXCEEDED):
        return Verdict.TEMPORARY
    return Verdict.PERMANENT


def _blames_mailbox(phase: Phase, code: int, enhanced: str | None) -> bool:
    if phase is Phase.MAIL:
        return True
    detail = _detail(enhanced)
    if code in LOGIN_CODES or detail in LOGIN_DETAILS or detail in QUOTA_DETAILS:
        return True
    if phase is Phase.DATA:
        return False
    return code == SERVICE_CLOSING or detail == POLICY_DETAIL or _is_rate_limit(code, detail)


def _is_rate_limit(code: int, detail: str) -> bool:
    greylisting = code in GREYLISTING_CODES and detail == GREYLISTING_DETAIL
    return code <= 499 and detail.startswith("7.") and not greylisting


def _detail(enhanced: str | None) -> str:
    """Return subject and detail of an enhanced code, `5.7.1` → `7.1`: the class only repeats the reply code."""
    return enhanced.partition(".")[2] if enhanced else ""
