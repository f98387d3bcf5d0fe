"""Salted commitments: what an event says of a person without saying who. All are HMAC-SHA256 under the contact's salt.
The salt lives and dies with the contact: once it is deleted, a commitment can be tied to nobody any more.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping

SALT_BYTES = 32
MESSAGE_ID_BYTES = 20
"""160 bits: opaque, and as unique as a random UUID and more."""
UNSUBSCRIBE_MAC_BYTES = 16
"""128 bits: nobody guesses one. With the two numbers before it a token is 40 characters, without padding."""
CAMPAIGN_BYTES, LEAD_BYTES = 4, 5
TEST_PREFIX = "test."
"""Begins the Message-ID of a test mail: a real one holds no dot before its @."""


def contact_commitment(salt: bytes, address: str, fields: Mapping[str, str]) -> str:
    """Commits to an address and its merge fields, whatever the order of the fields; hex."""
    canonical = json.dumps([address, sorted(fields.items())], ensure_ascii=False, separators=(",", ":"))
    return hmac.digest(salt, b"contact\n" + canonical.encode(), hashlib.sha256).hex()


def message_digest(salt: bytes, message: bytes) -> str:
    """Commits to the very bytes of a message; hex."""
    return hmac.digest(salt, b"message\n" + message, hashlib.sha256).hex()


def message_id(salt: bytes, campaign: str, lead_id: int, domain: str) -> str:
    """The Message-ID of this lead's mail in this campaign: the same on every attempt and for both senders."""
    opaque = hmac.digest(salt, f"message-id\n{campaign}\n{lead_id}".encode(), hashlib.sha256)[:MESSAGE_ID_BYTES]
    return f"<{base64.b32encode(opaque).decode().lower()}@{domain}>"


def message_id_of_test(opaque: str, domain: str) -> str:
    """The Message-ID of a test mail, from a text that is new each time: never that of any lead's mail."""
    return f"<{TEST_PREFIX}{opaque}@{domain}>"


def unsubscribe_token(salt: bytes, campaign: int, lead_id: int) -> str:
    """What stands for this lead in unsubscribe links: the same in every attempt of both senders.

    It says which lead it is for, so that it can be looked up, and proves it: nobody without the salt makes another.
    """
    place = campaign.to_bytes(CAMPAIGN_BYTES) + lead_id.to_bytes(LEAD_BYTES)
    mac = hmac.digest(salt, f"unsubscribe\n{campaign}\n{lead_id}".encode(), hashlib.sha256)[:UNSUBSCRIBE_MAC_BYTES]
    return base64.b32encode(place + mac).decode().lower()


def unsubscribe_place(token: str) -> tuple[int, int] | None:
    """The campaign and the lead that a token says it is for, unproved; None for what is no token."""
    try:
        octets = base64.b32decode(token, casefold=True)
    except ValueError:
        return None
    if len(octets) != CAMPAIGN_BYTES + LEAD_BYTES + UNSUBSCRIBE_MAC_BYTES:
        return None
    return int.from_bytes(octets[:CAMPAIGN_BYTES]), int.from_bytes(octets[CAMPAIGN_BYTES:][:LEAD_BYTES])


def is_unsubscribe_token(token: str, salt: bytes, campaign: int, lead_id: int) -> bool:
    """Is it this lead's? Compared in constant time."""
    return hmac.compare_digest(token.lower().encode(), unsubscribe_token(salt, campaign, lead_id).encode())


def suppression_key(secret: bytes, address: str) -> str:
    """What the suppression list keeps of an address, under a secret that is not in the database; hex."""
    return hmac.digest(secret, b"suppress\n" + address_key(address).encode(), hashlib.sha256).hex()


def key_check(secret: bytes) -> str:
    """What tells this secret from another and says nothing of it; hex."""
    return hmac.digest(secret, b"check\n", hashlib.sha256).hex()


def address_key(address: str) -> str:
    """What two spellings of one address have in common: one person, one mail."""
    return address.casefold()
