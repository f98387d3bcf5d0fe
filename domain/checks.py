"""Checks: every send judged again under the settings that were in force at that moment, from the events alone.

Each answers with the number of cases it judged and what it found; no case is no proof.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime

from domain import events as e
from domain.calendar import Schedule, calendar_of, local_date_of
from domain.campaign import PACED_PHASES, Campaign, evolve
from domain.leads import LeadState
from domain.rules import Limits

EXAMPLES = 5
"""So many exceptions are named; all are counted."""


@dataclass(slots=True)
class Check:
    """What one check found: how many cases it judged, how many broke the rule, and some of them."""

    name: str
    cases: int = 0
    broken: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """`PASS`, `FAIL`, or `NO DATA`: no data is never a pass."""
        if self.broken:
            return "FAIL"
        return "PASS" if self.cases else "NO DATA"

    def judge(self, kept: bool, example: str) -> None:
        """One case more."""
        self.cases += 1
        if not kept:
            self.broken += 1
            if len(self.examples) < EXAMPLES:
                self.examples.append(example)


def check_campaign(stream: str, events: Iterable[e.Event]) -> list[Check]:
    """All checks of one campaign over its whole stream."""
    judge = _Judge(stream)
    for event in events:
        judge.take(event)
    return judge.finish()


def check_mailbox(events: Iterable[e.Event]) -> Check:
    """The mailbox's daily limit, over all campaigns and both senders."""
    check = Check("mailbox's daily limit")
    limit, zone = 0, "UTC"
    days: Counter[date] = Counter()
    for event in events:
        if isinstance(event, e.MailboxAdded | e.MailboxChanged):
            if event.zone != zone:
                days.clear()  # another zone has other days: what was counted in the old one says nothing of them
            limit, zone = event.daily_limit, event.zone
        elif isinstance(event, e.MailboxSlotTaken):
            day = local_date_of(zone, event.recorded_at)
            days[day] += 1
            check.judge(days[day] <= limit, f"{event.originator_id} {event.originator_version}: {days[day]} on {day}")
    return check


class _Judge:
    """Follows a campaign's stream and judges each lock before it is applied."""

    def __init__(self, stream: str) -> None:
        self._campaign = Campaign(stream)
        self._duplicates = Check("no duplicates")
        self._schedule = Check("schedule")
        self._limit = Check("campaign's daily limit")
        self._delay = Check("delay")
        self._owner = Check("owner")
        self._accounted = Check("all accounted for")
        self._schedule_now = Schedule()
        self._limits_now = Limits()
        self._days: Counter[date] = Counter()
        self._last: datetime | None = None
        self._accepted: Counter[int] = Counter()
        self._mailed: set[int] = set()

    def take(self, event: e.Event) -> None:
        match event:
            case e.CampaignCreated():
                self._schedule_now, self._limits_now = event.schedule, event.limits
            case e.ScheduleChanged():
                if event.schedule.zone != self._schedule_now.zone:
                    self._days.clear()
                self._schedule_now = event.schedule
            case e.LimitsChanged():
                self._limits_now = event.limits
            case e.EmailLocked():
                self._lock(event)
            case e.EmailFailed() if event.token is None and event.phase in PACED_PHASES:
                self._last = event.recorded_at
            case e.EmailSent():
                self._mailed.add(event.position)
                self._accepted[event.position] += 1
                self._duplicates.judge(self._accepted[event.position] == 1, _name(event))
            case e.InDoubtResolved(outcome="sent"):
                self._mailed.add(event.position)
            case _:
                pass
        evolve(self._campaign, event)

    def finish(self) -> list[Check]:
        roll = self._campaign.roll
        for position in range(len(roll)):
            is_sent, is_mailed = roll.state(position) is LeadState.SENT, position in self._mailed
            counted = is_sent is is_mailed or position in self._campaign.accepted_late
            lead = self._campaign.numbers.lead_id(position)
            self._accounted.judge(counted, f"lead {lead} is {roll.state(position).label}")
        if sum(roll.counts) != len(roll):
            self._accounted.judge(False, "the counts do not add up")
        return [self._duplicates, self._schedule, self._limit, self._delay, self._owner, self._accounted]

    def _lock(self, event: e.EmailLocked) -> None:
        at = event.recorded_at
        self._schedule.judge(calendar_of(self._schedule_now).is_open(at), _name(event))
        day = local_date_of(self._schedule_now.zone, at)
        self._days[day] += 1
        self._limit.judge(
            self._days[day] <= self._limits_now.daily_limit, f"{_name(event)}: {self._days[day]} on {day}"
        )
        if self._last is not None:
            # Further back than that, the clock was set back in between, and the times say nothing of the pace.
            kept = abs(at - self._last) >= self._limits_now.least_gap
            self._delay.judge(kept, f"{_name(event)}: after {at - self._last}")
        self._last = at
        owned = (event.sender, event.epoch) == (self._campaign.owner, self._campaign.epoch)
        self._owner.judge(owned, _name(event))


def _name(event: e.EmailLocked | e.EmailSent) -> str:
    return f"{event.originator_id} {event.originator_version}, lead {event.lead_id}"
