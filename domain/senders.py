"""The senders themselves: V1 is retired when no campaign is left on it, and comes back when one is.

Where it is retired its tick is off. Nothing else hangs on it: who may lock is decided by a campaign's owner and epoch.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from domain import events as e
from domain.campaign import Campaign, Status
from domain.emitting import Draft
from domain.errors import CommandRefused, UnknownEvent


class Senders:
    """The state of the one stream of this kind."""

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.version = 0
        self.v1_retired = False


def evolve(senders: Senders, event: e.Event) -> None:
    """Apply one saved event. Raises `UnknownEvent` for one that is none of these."""
    if not isinstance(event, e.V1Retired | e.V1Reinstated):
        raise UnknownEvent(f"{type(event).__name__} is no event of the senders")
    senders.v1_retired = isinstance(event, e.V1Retired)
    senders.version = event.originator_version


def needs_v1(campaign: Campaign) -> bool:
    """Would a mail be left unsent if V1's tick were off? Not of a campaign that is over."""
    over = campaign.status in (Status.COMPLETED, Status.CANCELLED) and not campaign.waiting
    return campaign.owner == "v1" and not over


def retire_v1(
    senders: Senders, campaigns: Iterable[Campaign], *, actor: str, reason: str | None, now: datetime
) -> list[e.Event]:
    """V1's tick goes off. Refused while a campaign is left on it that is not over."""
    if senders.v1_retired:
        raise CommandRefused("V1 is retired already.")
    left = [campaign.number for campaign in campaigns if needs_v1(campaign)]
    if left:
        raise CommandRefused(
            f"V1 still has campaigns: {', '.join(left)}. Migrate or cancel them first; `sendledger cutover owners`."
        )
    draft = Draft(senders.stream, senders.version, now)
    draft.add(e.V1Retired, actor=actor, reason=reason)
    return draft.events


def reinstate_v1(senders: Senders, *, actor: str, reason: str | None, now: datetime) -> list[e.Event]:
    """V1's tick goes on; nothing when it is."""
    draft = Draft(senders.stream, senders.version, now)
    if senders.v1_retired:
        draft.add(e.V1Reinstated, actor=actor, reason=reason)
    return draft.events
