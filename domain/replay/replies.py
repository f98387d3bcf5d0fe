"""What servers answered other than yes: the same in every world, attempt by attempt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from domain import events as e
from domain.replay.ticks import Row

Key = tuple[int, int]
"""A lead's place in its campaign, and the attempt."""

Reply = e.EmailFailed | e.EmailInDoubt
Replies = Mapping[Key, Reply]


def replies_of(rows: Iterable[Row]) -> Replies:
    """By lead and attempt."""
    return {(event.position, event.attempt): event for _, event in rows if isinstance(event, Reply)}


def is_unlocked(reply: Reply | None) -> bool:
    """Did it fail before it was locked? Then it counts for no limit, and is no mail."""
    return isinstance(reply, e.EmailFailed) and reply.token is None
