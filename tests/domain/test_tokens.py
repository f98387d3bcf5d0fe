"""What a mail says of its lead: unsubscribe tokens and Message-IDs, told apart, and proved by the salt alone."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.commitments import (
    is_unsubscribe_token,
    message_id,
    message_id_of_test,
    unsubscribe_place,
    unsubscribe_token,
)

SALT, OTHER = b"s" * 32, b"t" * 32
numbers = st.integers(1, 2**31 - 1)


@given(numbers, numbers)
def test_a_token_says_which_lead_it_is_for_in_forty_plain_characters(campaign: int, lead: int) -> None:
    token = unsubscribe_token(SALT, campaign, lead)

    assert unsubscribe_place(token) == (campaign, lead)
    assert len(token) == 40
    assert set(token) <= set(string.ascii_lowercase + "234567")
    assert is_unsubscribe_token(token, SALT, campaign, lead)
    assert is_unsubscribe_token(token.upper(), SALT, campaign, lead)


def test_a_token_is_one_lead_s_of_one_campaign_under_one_salt() -> None:
    token = unsubscribe_token(SALT, 4, 17)

    assert token == unsubscribe_token(SALT, 4, 17)
    assert not is_unsubscribe_token(token, OTHER, 4, 17)
    assert not is_unsubscribe_token(token, SALT, 4, 18)
    assert not is_unsubscribe_token(token, SALT, 5, 17)


@given(st.integers(0, 39), st.sampled_from(string.ascii_lowercase + "234567"))
def test_a_token_with_another_character_is_nobody_s(at: int, character: str) -> None:
    token = unsubscribe_token(SALT, 4, 17)
    other = token[:at] + character + token[at + 1 :]

    assert is_unsubscribe_token(other, SALT, *(unsubscribe_place(other) or (0, 0))) == (other == token)


@pytest.mark.parametrize("text", ["", "test", "a" * 39, "a" * 48, "1" * 40, "ż" * 40, "=" * 40, "a" * 32 + "======"])
def test_what_is_no_token_names_no_lead(text: str) -> None:
    assert unsubscribe_place(text) is None


def test_a_token_does_not_give_the_message_id_away() -> None:
    known = message_id(SALT, "campaign-4", 17, "example.com").partition("@")[0][1:]

    assert known[:16] not in unsubscribe_token(SALT, 4, 17)


@given(st.binary(min_size=32, max_size=32), numbers)
def test_no_message_id_of_a_lead_is_that_of_a_test(salt: bytes, lead: int) -> None:
    local = message_id(salt, "campaign-4", lead, "example.com").partition("@")[0]

    assert "." not in local
    assert message_id_of_test(local[1:], "example.com") == f"<test.{local[1:]}@example.com>"
