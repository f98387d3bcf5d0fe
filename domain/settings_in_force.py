"""Which settings were in force for a mail: settings are events, so what held at any place of the ledger is known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from domain import events as e
from domain.calendar import Schedule
from domain.rules import Limits


@dataclass(frozen=True, slots=True)
class InForce:
    """A campaign's settings at one place."""

    schedule: Schedule
    limits: Limits
    mailbox: str
    content_version: int = 1


def settings_in_force(events: Iterable[tuple[int, e.Event]], before: int) -> InForce | None:
    """What these events of one campaign had settled before this place in the ledger; None before it was created."""
    held: InForce | None = None
    for position, event in events:
        if position >= before:
            break
        if isinstance(event, e.CampaignCreated):
            held = InForce(event.schedule, event.limits, event.mailbox)
        elif held is not None:
            held = _changed(held, event)
    return held


def _changed(held: InForce, event: e.Event) -> InForce:
    match event:
        case e.ContentChanged():
            return replace(held, content_version=event.content_version)
        case e.ScheduleChanged():
            return replace(held, schedule=event.schedule)
        case e.LimitsChanged():
            return replace(held, limits=event.limits)
        case e.MailboxAssigned():
            return replace(held, mailbox=event.mailbox)
        case _:
            return held
