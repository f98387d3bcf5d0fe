"""E-mail addresses from outside: checked by `email-validator`, and written in one way.

The one way is ASCII where that exists (`xn--` for other domains), so that as few mails as possible need SMTPUTF8; the
domain is in lower case, what stands before the @ is in Unicode's composed form and keeps its case.
"""

from __future__ import annotations

import re
from functools import lru_cache

from email_validator import EmailNotValidError, validate_email

from domain.errors import InvalidInput
from runner.mail.message import is_plain_address

EMAIL = "email"
MAX_OCTETS = 254
"""RFC 5321, section 4.5.3.1.3, without the angle brackets; the library's limit too."""
DOMAINS_KEPT = 16_384

_PLAIN = re.compile(r"([A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*)@([A-Za-z0-9.-]+)")
_QUOTING = re.compile(r" \([^)]*['\"].*\)")


def canonical(text: str) -> str:
    """The address as it is kept and mailed. Raises `InvalidInput`, which does not repeat it."""
    return _plain(text) or _by_library(text)


def _by_library(text: str) -> str:
    try:
        valid = validate_email(text, check_deliverability=False, allow_smtputf8=True)
    except EmailNotValidError as error:
        problem = _QUOTING.sub("", str(error))  # the details of an IDNA error repeat the domain
        raise InvalidInput(problem, mend="Correct the address.", field=EMAIL) from None
    address = valid.ascii_email or valid.normalized
    if not is_plain_address(address):
        problem = "It cannot stand in a mail's header as it is: =? begins an encoded word there."
        raise InvalidInput(problem, mend="Correct the address.", field=EMAIL)
    return address


def _plain(text: str) -> str | None:
    """The same answer for what nearly all addresses look like, in 1 µs where the library takes 25; None: ask it.

    The library judges each domain once. Before the @ only characters pass that it always takes. It writes some names
    of departments (Info, Sales) in lower case, so letters alone that are not all lower-case are left to it.
    """
    found = _PLAIN.fullmatch(text)
    if found is None:
        return None
    local, domain = found.groups()
    if local.isalpha() and not local.islower():
        return None
    judged = _domain(domain)
    if judged is None or len(local) > judged[1]:
        return None
    return f"{local}@{judged[0]}"


@lru_cache(maxsize=DOMAINS_KEPT)
def _domain(domain: str) -> tuple[str, int] | None:
    """The domain in ASCII and the octets that are left before the @; None for one that the library refuses."""
    try:
        valid = validate_email(f"a@{domain}", check_deliverability=False)
    except EmailNotValidError:
        return None
    longest = max(len(form.encode()) for form in (domain, valid.domain, valid.ascii_domain))
    return valid.ascii_domain, MAX_OCTETS - len("@") - longest
