"""Ways to unsubscribe: the headers of RFC 2369 and RFC 8058, and the link that a template may show.

Each lead has a token of its own (`domain.commitments`): it tells the company's web server, or whoever reads the
mailbox, who unsubscribed, and `sendledger suppress token` acts on it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from email_validator import EmailNotValidError, validate_email

from domain.errors import InvalidInput

MERGE_FIELD = "unsubscribe_url"
TOKEN = "{token}"  # noqa: S105 - the place of one
TEST_TOKEN = "test"  # noqa: S105 - stands for nobody
"""In the links of a test mail: whoever tries one must not unsubscribe the lead."""
MAX_URL_CHARACTERS = 500
SUBJECT = "unsubscribe%20"

_URL = re.compile(r"[A-Za-z0-9._~:/?#@!$&'()*+,;=%-]+")  # RFC 3986 without brackets


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Where a lead says no: an address, a web page, or both. Content of a campaign, versioned with it."""

    mailto: str | None = None
    url: str | None = None

    def checked(self) -> Unsubscribe:
        """Itself. Raises `InvalidInput` for what could not stand in a header or would not tell who it was."""
        if self.mailto is None and self.url is None:
            mend = 'Write mailto = "unsubscribe@…", url = "https://…/{token}", or both; or leave the table out.'
            raise InvalidInput("is empty.", mend=mend, field="unsubscribe")
        if self.mailto is not None:
            _check_mailto(self.mailto)
        if self.url is not None:
            _check_url(self.url)
        return self

    def link(self, token: str) -> str | None:
        """The page of the lead with this token; None where none is configured."""
        return None if self.url is None else self.url.replace(TOKEN, token)

    def headers(self, token: str) -> dict[str, str]:
        """The headers of the mail to the lead with this token. One click (a POST) is offered where there is a page."""
        ways = [f"<{way}>" for way in (self._mail(token), self.link(token)) if way is not None]
        if not ways:
            return {}
        one_click = {} if self.url is None else {"List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
        return {"List-Unsubscribe": ", ".join(ways), **one_click}

    def _mail(self, token: str) -> str | None:
        return None if self.mailto is None else f"mailto:{quote(self.mailto, safe='@+')}?subject={SUBJECT}{token}"


NO_UNSUBSCRIBE = Unsubscribe()


def _check_mailto(address: str) -> None:
    try:
        validate_email(address, check_deliverability=False, allow_smtputf8=False)
        ascii_only = address.isascii()
    except EmailNotValidError:
        ascii_only = False
    if not ascii_only:
        mend = "Write name@domain in ASCII, without mailto: and without a subject."
        raise InvalidInput("is no plain address.", mend=mend, field="unsubscribe.mailto")


def _check_url(url: str) -> None:
    problem, mend = _problem(url)
    if problem:
        raise InvalidInput(problem, mend=mend, field="unsubscribe.url")


def _problem(url: str) -> tuple[str, str]:
    around = url.replace(TOKEN, "", 1)
    if around == url or TOKEN in around:
        return f"must hold {TOKEN} once: it says who unsubscribes.", 'Write it so: "https://sender.example/u/{token}".'
    if len(url) > MAX_URL_CHARACTERS or not _URL.fullmatch(around) or "=?" in around:
        mend = "Use ASCII, at most 500 characters; an international domain in its xn-- form, other letters as %XX."
        return "cannot stand in a header as it is.", mend
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None or port == 0 or "@" in parts.netloc or TOKEN in parts.netloc or parts.fragment:
        return "is no address of a web page.", "Write host and path, no user and no fragment."
    if parts.scheme != "https":
        return "is not https, which one-click unsubscribing needs (RFC 8058).", "Write https://…."
    return "", ""
