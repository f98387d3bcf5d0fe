"""Checks: every send judged again under the settings that were in force at that moment, from the events alone.

Each answers with the number of cases it judged and what it found; no case is no proof.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
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


@dataclass(frozen=True, slots=True)
class Violation:
    """One send that broke a rule, with all that names it. `sender`: where the event at hand says whose it was."""

    rule: str
    stream: str
    version: int
    lead_id: int | None
    attempt: int | None
    sender: e.Sender | None
    at: datetime
    what: str


Report = Callable[[Violation], None]
"""Is told of every violation: a check itself keeps only some."""


def _unheard(_violation: Violation) -> None:
    """Nobody asked for more than the examples."""


def check_campaign(stream: str, events: Iterable[e.Event], report: Report = _unheard) -> list[Check]:
    """All checks of one campaign over its whole stream."""
    judge = _Judge(stream, report)
    for event in events:
        judge.take(event)
    return judge.finish()


def check_mailbox(events: Iterable[e.Event], report: Report = _unheard) -> Check:
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
            what = f"{days[day]} on {day}"
            if days[day] > limit:
                place = event.originator_id, event.originator_version
                report(Violation(check.name, *place, None, None, None, event.recorded_at, f"{event.campaign}: {what}"))
            check.judge(days[day] <= limit, f"{event.originator_id} {event.originator_version}: {what}")
    return check


class _Judge:
    """Follows a campaign's stream and judges each lock before it is applied."""

    def __init__(self, stream: str, report: Report) -> None:
        self._campaign = Campaign(stream)
        self._report = report
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
                self._judge(self._duplicates, self._accepted[event.position] == 1, event, "accepted again")
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
        self._judge(self._schedule, calendar_of(self._schedule_now).is_open(at), event, "")
        day = local_date_of(self._schedule_now.zone, at)
        self._days[day] += 1
        within = self._days[day] <= self._limits_now.daily_limit
        self._judge(self._limit, within, event, f"{self._days[day]} on {day}")
        if self._last is not None:
            # Further back than that, the clock was set back in between, and the times say nothing of the pace.
            kept = abs(at - self._last) >= self._limits_now.least_gap
            self._judge(self._delay, kept, event, f"after {at - self._last}")
        self._last = at
        owned = (event.sender, event.epoch) == (self._campaign.owner, self._campaign.epoch)
        self._judge(self._owner, owned, event, "")

    def _judge(self, check: Check, kept: bool, event: e.EmailLocked | e.EmailSent, what: str) -> None:
        name = f"{event.originator_id} {event.originator_version}, lead {event.lead_id}"
        check.judge(kept, f"{name}: {what}" if what else name)
        if not kept:
            place = event.originator_id, event.originator_version, event.lead_id, event.attempt
            self._report(Violation(check.name, *place, self._sender(event), event.recorded_at, what))

    def _sender(self, event: e.EmailLocked | e.EmailSent) -> e.Sender | None:
        if isinstance(event, e.EmailLocked):
            return event.sender
        attempt = self._campaign.open.get(event.token)
        return attempt.sender if attempt else None
