"""Checks: every send judged again under the settings that were in force at that moment, from the events alone.

Each answers with the number of cases it judged and what it found; no case is no proof.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import NamedTuple

from domain import events as e
from domain.calendar import Schedule, calendar_of, local_date_of
from domain.campaign import PACED_PHASES, Campaign, evolve
from domain.counting import MailCount, Tally
from domain.leads import V1_MAILED, LeadState
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
    ours: bool = True

    @property
    def verdict(self) -> str:
        """`PASS`, `FAIL`, or `NO DATA`: no data is never a pass. `HISTORY`: an old system broke it, not one of ours."""
        if self.broken:
            return "FAIL" if self.ours else "HISTORY"
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
        if counted_at is not None:
            start, end = self._mails.day_of(at, zone)
            nth -= start <= counted_at < end
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

    def count_past(self, at: datetime) -> None:
        """A mail of an old system, which becomes known after others."""
        self._mails.add(at)
        self.last = max(self.last or at, at)


class Mailed:
    """Who was mailed, by the events alone: accepted by a server, or so by a person's word or an old system's status."""

    def __init__(self) -> None:
        self._positions: set[int] = set()
        self._imported = False
        self._taken_over = False

    def take(self, event: e.Event) -> None:
        """One event of the campaign."""
        match event:
            case e.LegacyImported():
                self._imported = True
            case e.TakenOver():
                self._taken_over = True
            case e.EmailQueued() if self._imported and not self._taken_over and event.v1_status in V1_MAILED:
                self._positions.add(event.position)
            case e.StatusObserved() | e.StatusFixed() if event.after in V1_MAILED:
                self._positions.add(event.position)
            case e.EmailSent() | e.InDoubtResolved(outcome="sent"):
                self._positions.add(event.position)
            case _:
                pass

    def accounts_for(self, campaign: Campaign, position: int) -> bool:
        """Is the lead sent just where it was mailed? One that was accepted late may be in any state."""
        is_sent = campaign.roll.state(position) is LeadState.SENT
        return is_sent is (position in self._positions) or position in campaign.accepted_late


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
            day = local_date_of(zone, event.occurred_at or event.recorded_at)
            days[day] += 1
            what = f"{days[day]} on {day}"
            if event.occurred_at is not None:
                continue  # the old system's mail: it counts, and was not ours to hold back
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
        self._standing = Standing()
        self._old_duplicates = Check("no duplicates by the old system", ours=False)
        self._accepted: Counter[int] = Counter()
        self._locks: dict[str, int] = {}  # version of each lock whose outcome is not known yet
        self._old_mails: dict[int, int] = {}  # version of the newest mail of the old system, by position
        self._mailed = Mailed()

    def take(self, event: e.Event) -> None:
        self._standing.take(event)
        self._mailed.take(event)
        match event:
            case e.EmailLocked():
                self._lock(event)
            case e.EmailSent():
                self._sent(event)
            case e.EmailFailed() if event.token is not None:
                self._locks.pop(event.token, None)
            case _:
                pass
        evolve(self._campaign, event)

    def finish(self) -> list[Check]:
        roll = self._campaign.roll
        for position in range(len(roll)):
            lead = self._campaign.numbers.lead_id(position)
            kept = self._mailed.accounts_for(self._campaign, position)
            self._accounted.judge(kept, f"lead {lead} is {roll.state(position).label}")
        if sum(roll.counts) != len(roll):
            self._accounted.judge(False, "the counts do not add up")
        of_old = [self._old_duplicates] if self._campaign.legacy is not None else []
        return [self._duplicates, *of_old, self._schedule, self._limit, self._delay, self._owner, self._accounted]

    def _sent(self, event: e.EmailSent) -> None:
        """A second mail is a fault of whoever sent it: of the old system too where its mail became known after ours was
        locked, though our outcome was recorded later."""
        self._accepted[event.position] += 1
        check = self._duplicates
        if event.imported is not None:
            self._standing.count_past(event.occurred_at or event.recorded_at)
            self._old_mails[event.position] = event.originator_version
            check = self._old_duplicates
        elif self._locks.pop(event.token, 0) < self._old_mails.get(event.position, 0):
            check = self._old_duplicates
        self._judge(check, self._accepted[event.position] == 1, event, "accepted again")

    def _lock(self, event: e.EmailLocked) -> None:
        self._locks[event.token] = event.originator_version
        judged, day = self._standing.judge(event.recorded_at), self._standing.day(event.recorded_at)
        self._standing.count(event.recorded_at)
        self._judge(self._schedule, judged.is_open, event, "")
        self._judge(self._limit, judged.in_limit, event, f"{judged.nth} on {day}")
        if judged.gap is not None:
            self._judge(self._delay, judged.in_pace, event, f"after {judged.gap}")
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
        if event.imported is not None:
            return "v1"
        attempt = self._campaign.open.get(event.token)
        return attempt.sender if attempt else None
