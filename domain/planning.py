"""The plan of a campaign: how many of its mails leave on each day and in each hour, when the last does, and what binds.
Rehearsed tick by tick with the running campaigns that share its mailbox; `rehearsal` says what is assumed.

What binds a day: the last rule that held the campaign back on it while its window was open (a limit, the delay, a
back-off); "the ticks" where no rule did and a tick sends one mail only; on a day without mails the rule of that day.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from domain.calendar import zone_of
from domain.campaign import Campaign
from domain.events import Sender
from domain.gate import LOOK_AHEAD
from domain.mailbox import Mailbox
from domain.policies import Send
from domain.rehearsal import Rehearsal, queued, set_going
from domain.rules import Rule, Wait

TICKS = "the ticks"
NO_TICK = "no tick while the window is open"
ALL_MAILED = "everybody is mailed"
ONE_DAY = timedelta(days=1)

_CALENDAR = frozenset({Rule.WEEKDAY, Rule.HOLIDAY, Rule.WINDOW})


@dataclass(slots=True)
class Day:
    """One local date of the campaign's zone. `hours`: mails by the instant at which their local hour begins."""

    date: date
    mails: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    hours: Counter[datetime] = field(default_factory=Counter)
    bound_by: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """The days from now on, to the one of the last mail. `left`: who is not mailed by their end; `held_by`: the rule
    that time alone never ends, if that is why. `leaves_at`: of the first and of the positions that were asked for."""

    days: Sequence[Day]
    mails: int
    left: int
    held_by: Wait | None
    first: Send | None
    leaves_at: Mapping[int, datetime]

    @property
    def ends_at(self) -> datetime | None:
        """When the last mail leaves."""
        return max((day.last_at for day in self.days if day.last_at), default=None)


def make_plan(
    campaign: Campaign,
    together: Sequence[Campaign],
    mailbox: Mailbox,
    cadence: Mapping[Sender, timedelta],
    now: datetime,
    asked_for: Collection[int] = (),
) -> Plan:
    """What becomes of this campaign, set going now if it is a draft or paused. The campaigns are copies: they change.

    `together`: it and the running campaigns of its mailbox, in the order in which a tick takes them. `asked_for`:
    leads, by position, of which the plan shall say when they are mailed. Raises `CommandRefused` for a draft that a
    person could not start.
    """
    set_going(campaign, now)
    return _Planner(campaign, together, mailbox, cadence, now, asked_for).run()


class _Planner:
    """Walks along the ticks of both senders, past those at which no campaign can be due."""

    def __init__(
        self,
        campaign: Campaign,
        together: Sequence[Campaign],
        mailbox: Mailbox,
        cadence: Mapping[Sender, timedelta],
        now: datetime,
        asked_for: Collection[int],
    ) -> None:
        self._campaign = campaign
        self._rehearsal = Rehearsal(mailbox)
        self._campaigns = together
        self._cadence = cadence
        self._now = now
        self._asked_for = asked_for
        self._looks = [(now, each.owner, nth) for nth, each in enumerate(self._campaigns)]
        heapq.heapify(self._looks)
        self._days = _Days(self._rehearsal, campaign, cadence[campaign.owner])
        self._first: Send | None = None
        self._leaves_at: dict[int, datetime] = {}
        self._held_by: Wait | None = None

    def run(self) -> Plan:
        while queued(self._campaign) and self._held_by is None and self._looks[0][0] - self._now <= LOOK_AHEAD:
            self._tick()
        left = queued(self._campaign)
        days = self._days.told(all_mailed=not left)
        mails = sum(day.mails for day in days)
        return Plan(days, mails, left, self._held_by, self._first, self._leaves_at)

    def _tick(self) -> None:
        at, sender, _ = self._looks[0]
        due: dict[str, int] = {}
        while self._looks and self._looks[0][:2] == (at, sender):
            nth = heapq.heappop(self._looks)[2]
            due[self._campaigns[nth].stream] = nth
        last: dict[str, Send | Wait] = {}
        for campaign, decision in self._rehearsal.tick(sender, [self._campaigns[nth] for nth in due.values()], at):
            last[campaign.stream] = decision
            if campaign is self._campaign and isinstance(decision, Send):
                self._note(decision, at)
        for stream, decision in last.items():
            self._look_again(due[stream], decision, at)

    def _note(self, send: Send, at: datetime) -> None:
        self._days.mail(at)
        if self._first is None or send.position in self._asked_for:
            self._leaves_at[send.position] = at
        self._first = self._first or send

    def _look_again(self, nth: int, decision: Send | Wait, at: datetime) -> None:
        campaign = self._campaigns[nth]
        following = at + self._cadence[campaign.owner]
        if isinstance(decision, Wait):
            if decision.until is not None:
                following = self._tick_from(max(decision.until, following), campaign.owner)
            elif campaign is not self._campaign:
                return
        if campaign is self._campaign and queued(campaign):
            self._note_wait(decision, at, following)
        heapq.heappush(self._looks, (following, campaign.owner, nth))

    def _note_wait(self, decision: Send | Wait, at: datetime, following: datetime) -> None:
        if isinstance(decision, Wait):
            self._days.held(at, decision)
            if decision.until is None:
                self._held_by = decision
                return
        self._days.skip(at, following)

    def _tick_from(self, at: datetime, sender: Sender) -> datetime:
        """The first tick at this instant or after it."""
        every = self._cadence[sender]
        return self._now + every * -((self._now - at) // every)


class _Days:
    """What a plan writes down by the way."""

    def __init__(self, rehearsal: Rehearsal, campaign: Campaign, every: timedelta) -> None:
        self._rehearsal = rehearsal
        self._campaign = campaign
        self._calendar = campaign.calendar
        self._zone = zone_of(campaign.schedule.zone)
        self._every = every
        self._days: dict[date, Day] = {}

    def mail(self, at: datetime) -> None:
        local = at.astimezone(self._zone)
        day = self._day(local.date())
        day.mails += 1
        day.first_at = day.first_at or at
        day.last_at = at
        past = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        day.hours[at - past] += 1
        if day.bound_by != Rule.DELAY:  # whatever held it back before has let it go
            day.bound_by, day.note = TICKS, f"one mail in {self._every.total_seconds():g} s"

    def held(self, at: datetime, wait: Wait) -> None:
        day = self._day(self._calendar.local_date(at))
        if wait.rule not in _CALENDAR or day.bound_by in _CALENDAR | {""}:
            day.bound_by, day.note = wait.rule, self._note_of(wait)

    def skip(self, at: datetime, to: datetime) -> None:
        """The whole days between two ticks, on which nothing leaves: asked for before anything changes."""
        day, end = self._calendar.local_date(at) + ONE_DAY, self._calendar.local_date(to)
        while day < end:
            self._ask(day)
            day += ONE_DAY

    def told(self, *, all_mailed: bool) -> list[Day]:
        days = [self._days[day] for day in sorted(self._days)]
        if all_mailed and days:
            days[-1].bound_by, days[-1].note = ALL_MAILED, ""
        return days

    def _ask(self, day: date) -> None:
        """What the policy says as the window opens, or on a day without one."""
        start, end = self._calendar.day_bounds(day)
        if start < end:
            opens = next((opening for opening, _ in self._calendar.openings(start, end)), start)
            decision = self._rehearsal.decide(self._campaign.owner, self._campaign, opens)
            if isinstance(decision, Wait):
                self.held(opens, decision)
            else:
                self._day(day).bound_by = NO_TICK

    def _day(self, day: date) -> Day:
        return self._days.setdefault(day, Day(day))

    def _note_of(self, wait: Wait) -> str:
        return f"{self._campaign.limits.delay_s} s" if wait.rule is Rule.DELAY else wait.note
