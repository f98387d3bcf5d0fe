"""Checks: every send judged again under the settings that were in force at that moment, from the events alone.

Each answers with the number of cases it judged and what it found; no case is no proof.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import NamedTuple

from domain import events as e
from domain.calendar import Schedule, calendar_of, local_date_of
from domain.campaign import PACED_PHASES, Campaign, evolve
from domain.counting import MailCount, Tally
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


class Judged(NamedTuple):
    """One send under the rules of its moment: the window, its number on its local date, the time since the last."""

    is_open: bool
    nth: int
    in_limit: bool
    gap: timedelta | None
    in_pace: bool


class Standing:
    """A campaign's rules in force, and the mails that count for them, kept apart from the state that decided."""

    def __init__(self) -> None:
        self.schedule = Schedule()
        self.limits = Limits()
        self.last: datetime | None = None
        self._mails = Tally(MailCount())

    @classmethod
    def of(cls, campaign: Campaign) -> Standing:
        """That of a state whose events are not at hand; of one that does not exist, a beginning."""
        standing = cls()
        if campaign.exists:
            standing.schedule, standing.limits = campaign.schedule, campaign.limits
            standing.last = campaign.last_mail_at
            standing._mails = Tally(campaign.mails)
        return standing

    def take(self, event: e.Event) -> None:
        """New rules, or a refused recipient, from which the pace runs too."""
        match event:
            case e.CampaignCreated():
                self.schedule, self.limits = event.schedule, event.limits
            case e.ScheduleChanged():
                self.schedule = event.schedule
            case e.LimitsChanged():
                self.limits = event.limits
            case e.EmailFailed() if event.token is None and event.phase in PACED_PHASES:
                self.last = event.recorded_at
            case _:
                pass

    def judge(
        self,
        at: datetime,
        *,
        alone: tuple[datetime | None, datetime | None] | None = None,
        schedule: Schedule | None = None,
        limits: Limits | None = None,
    ) -> Judged:
        """A send at this instant, not counted yet. `alone`: of a mail that is judged at another time than its own, when
        it was counted, if it was, and the mail before it. `schedule`, `limits`: others than those in force."""
        counted_at, before = alone or (None, self.last)
        limits, zone = limits or self.limits, self.schedule.zone
        nth = self._mails.on_date_of(at, zone) + 1
        if counted_at is not None and local_date_of(zone, counted_at) == local_date_of(zone, at):
            nth -= 1
        gap = None if before is None else at - before
        # Further back than that, the clock was set back in between, and the times say nothing of the pace.
        in_pace = gap is None or abs(gap) >= limits.least_gap
        is_open = calendar_of(schedule or self.schedule).is_open(at)
        return Judged(is_open, nth, nth <= limits.daily_limit, gap, in_pace)

    def day(self, at: datetime) -> date:
        """The local date that limits count."""
        return local_date_of(self.schedule.zone, at)

    def count(self, at: datetime) -> None:
        """One mail more."""
        self._mails.add(at)
        self.last = at


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
        self._standing = Standing()
        self._accepted: Counter[int] = Counter()
        self._mailed: set[int] = set()

    def take(self, event: e.Event) -> None:
        self._standing.take(event)
        match event:
            case e.EmailLocked():
                self._lock(event)
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
        judged, day = self._standing.judge(event.recorded_at), self._standing.day(event.recorded_at)
        self._standing.count(event.recorded_at)
        self._schedule.judge(judged.is_open, _name(event))
        self._limit.judge(judged.in_limit, f"{_name(event)}: {judged.nth} on {day}")
        if judged.gap is not None:
            self._delay.judge(judged.in_pace, f"{_name(event)}: after {judged.gap}")
        owned = (event.sender, event.epoch) == (self._campaign.owner, self._campaign.epoch)
        self._owner.judge(owned, _name(event))


def _name(event: e.EmailLocked | e.EmailSent) -> str:
    return f"{event.originator_id} {event.originator_version}, lead {event.lead_id}"
