"""Which situations a history contained, and which it did not: those are unproven."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from domain import events as e
from domain.calendar import Schedule, calendar_of, zone_of
from domain.rules import Rule, Wait


class Situation(StrEnum):
    """What can make the two senders differ."""

    WINDOW = "window opening"
    CLOCK_CHANGE = "clock change"
    HOLIDAY = "holiday"
    LIMIT = "limit"
    MAILBOX_LIMIT = "mailbox limit"
    PAUSE = "pause"
    FAILURE = "failure"
    IN_DOUBT = "in doubt"
    SETTINGS = "settings changed"
    OUTAGE = "outage"
    SERVER = "server trouble"
    OWNER = "owner changed"


_OF_EVENTS: dict[type[e.Event], Situation] = {
    e.CampaignPaused: Situation.PAUSE,
    e.EmailFailed: Situation.FAILURE,
    e.EmailInDoubt: Situation.IN_DOUBT,
    e.ScheduleChanged: Situation.SETTINGS,
    e.LimitsChanged: Situation.SETTINGS,
    e.ContentChanged: Situation.SETTINGS,
    e.MailboxAssigned: Situation.SETTINGS,
    e.MailboxDelayed: Situation.SERVER,
    e.MailboxPaused: Situation.SERVER,
}
_OF_RULES = {
    Rule.WINDOW: Situation.WINDOW,
    Rule.WEEKDAY: Situation.WINDOW,
    Rule.CAMPAIGN_LIMIT: Situation.LIMIT,
    Rule.MAILBOX_LIMIT: Situation.MAILBOX_LIMIT,
    Rule.HOLIDAY: Situation.HOLIDAY,
}


class Situations:
    """Those of one campaign."""

    def __init__(self) -> None:
        self.seen: set[Situation] = set()
        self._next_day: datetime | None = None
        self._offset: object = None

    def event(self, event: e.Event) -> None:
        """What happened."""
        found = _OF_EVENTS.get(type(event))
        if found is not None:
            self.seen.add(found)

    def waits(self, wait: Wait) -> None:
        """What held a side back."""
        found = _OF_RULES.get(wait.rule)
        if found is not None:
            self.seen.add(found)

    def tick(self, schedule: Schedule, at: datetime) -> None:
        """Looks once a local date at what kind of day it is."""
        if self._next_day is not None and at < self._next_day:
            return
        calendar = calendar_of(schedule)
        _, self._next_day = calendar.day_bounds(calendar.local_date(at))
        closed = calendar.closed_because(at)
        if closed is not None and closed.rule == "holiday":
            self.seen.add(Situation.HOLIDAY)
        offset = self._next_day.astimezone(zone_of(schedule.zone)).utcoffset()
        if self._offset not in (None, offset):
            self.seen.add(Situation.CLOCK_CHANGE)
        self._offset = offset
