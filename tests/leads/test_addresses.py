"""Addresses from outside: what the library takes, in the one form in which it is kept and mailed."""

from __future__ import annotations

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.errors import InvalidInput
from runner.leads.addresses import canonical
from runner.mail.message import is_plain_address

LOCALS = st.text(st.sampled_from("abzIKŻżßıé09.-_+'=?! \"(),@\u0301\u200b\x00"), max_size=8) | st.sampled_from(
    ["info", "Info", "SALES", "Anna.Nowak", "postmaster", "a" * 63, "a" * 64, "a" * 65, "=?utf-8?q?x?="]
)
DOMAINS = st.text(st.sampled_from("abzAZ09.-_üß例\u00ad[]:"), max_size=12) | st.sampled_from(
    [
        "example.com",
        "EXAMPLE.Com",
        "müller.example",
        "xn--mller-kva.example",
        "localhost",
        "com",
        "a" * 63 + ".com",
        "a" * 64 + ".com",
        ".".join(["a" * 60] * 4) + ".com",
        "ü" * 30 + ".example",
        "[127.0.0.1]",
    ]
)


def by_library(text: str) -> str | None:
    """What the library makes of it, without our short cut."""
    try:
        valid = validate_email(text, check_deliverability=False)
    except EmailNotValidError:
        return None
    return valid.ascii_email or valid.normalized


@settings(max_examples=500, deadline=None)
@given(LOCALS, DOMAINS)
@example("a" * 64, ".".join(["b" * 60] * 3) + ".example")
def test_the_short_way_takes_and_writes_exactly_what_the_library_does(local: str, domain: str) -> None:
    expected = by_library(f"{local}@{domain}")
    if expected is not None and "=?" not in expected:
        assert canonical(f"{local}@{domain}") == expected
    else:
        with pytest.raises(InvalidInput):
            canonical(f"{local}@{domain}")


@settings(max_examples=500, deadline=None)
@given(LOCALS, DOMAINS)
def test_whatever_is_taken_can_be_mailed_and_is_taken_again_unchanged(local: str, domain: str) -> None:
    try:
        address = canonical(f"{local}@{domain}")
    except InvalidInput:
        return
    assert is_plain_address(address)
    assert canonical(address) == address


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("anna@example.com", "anna@example.com"),
        ("Anna.Nowak@Example.COM", "Anna.Nowak@example.com"),
        ("jan+news@müller.example", "jan+news@xn--mller-kva.example"),
        ("jan@xn--mller-kva.example", "jan@xn--mller-kva.example"),
        ("żaneta@example.com", "żaneta@example.com"),
        ("z\u0307aneta@example.com", "żaneta@example.com"),  # decomposed
        ("żaneta@xn--mller-kva.example", "żaneta@müller.example"),
    ],
)
def test_an_address_is_kept_in_ascii_where_that_exists_and_composed_where_not(written: str, kept: str) -> None:
    assert canonical(written) == kept


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("", "must have an @-sign"),
        ("anna", "must have an @-sign"),
        ("@example.com", "something before the @-sign"),
        ("anna@", "something after the @-sign"),
        ("anna@example", "should have a period"),
        ("anna@@example.com", "invalid characters"),
        ("anna..nowak@example.com", "two periods in a row"),
        ("anna nowak@example.com", "invalid characters"),
        ("Anna <anna@example.com>", "display name"),
        ("anna@example.com, jan@example.com", "invalid characters"),
        ('"anna nowak"@example.com', "Quoting"),
        ("anna@[127.0.0.1]", "bracketed IP address"),
        ("anna@exa\u00admple.com", "SOFT HYPHEN"),
        ("anna\r\nBcc: x@example.com", "invalid characters"),
        ("a" * 250 + "@example.com", "too long"),
        ("anna@" + "a" * 64 + ".com", "periods cannot be separated by so many characters"),
        ("=?utf-8?q?anna=0ABcc?=@example.com", "begins an encoded word"),
    ],
)
def test_what_is_no_address_is_refused_with_the_reason(address: str, problem: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        canonical(address)
    assert problem in refused.value.problem
    assert refused.value.field == "email"


@pytest.mark.parametrize(
    "address",
    [
        "secret.person@exam ple.com",
        "secret person@example.com",
        "anna@secret☃.com",
        "anna@xn--secret.com",
        "anna@-secret.com",
        "secret",
    ],
)
def test_a_refusal_never_repeats_the_address(address: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        canonical(address)
    assert "secret" not in str(refused.value)
    assert refused.value.__suppress_context__  # the library's own error quotes more
