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


def suppression_key(secret: bytes, address: str) -> str:
    """What the suppression list keeps of an address, under a secret that is not in the database; hex."""
    return hmac.digest(secret, b"suppress\n" + address_key(address).encode(), hashlib.sha256).hex()


def address_key(address: str) -> str:
    """What two spellings of one address have in common: one person, one mail."""
    return address.casefold()
