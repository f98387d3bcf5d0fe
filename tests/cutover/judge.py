"""What must be true after every step, told from the events and from what only the test knows: whom the server accepted
and whom the old application truly mailed. Nothing here asks the code that decides.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from domain import events as e
from domain.calendar import Schedule
from domain.rules import Limits

ZONE = ZoneInfo("Europe/Warsaw")
MAILED = ("sent", "replied")


class Judge:
    """Follows the whole log, event by event, and raises `AssertionError` at the first that must not be."""

    def __init__(self) -> None:
        self.events: list[e.Event] = []
        self.position = 0
        self.observed = False
        self.owner: e.Sender = "v1"
        self.epoch = 1
        self.life = "draft"
        self.locks: dict[str, e.EmailLocked] = {}
        self.lead_of: dict[str, int] = {}
        self.sent: dict[int, list[e.EmailSent]] = defaultdict(list)
        self.alarms = Counter[int]()
        self.known: set[int] = set()
        self.suppressed: set[int] = set()
        self.mailed_there: set[int] = set()
        self._unanswered: dict[int, set[str]] = defaultdict(set)
        self._limits, self._schedule = Limits(), Schedule()
        self._last: datetime | None = None
        self._days = Counter[date]()
        self._mailbox_days = Counter[date]()
        self._mailbox_limit = 0

    def follow(self, log: Iterable[tuple[int, e.Event]]) -> None:
        """What was appended since."""
        for self.position, event in log:
            if event.originator_id.startswith("campaign-"):
                self._of_campaign(event)
                self.events.append(event)
            elif event.originator_id.startswith("mailbox-"):
                self._of_mailbox(event)

    def may_have_been_accepted(self, lead: int) -> bool:
        """Is there an attempt of which nobody said that it was not delivered?"""
        return bool(self._unanswered[lead]) or bool(self.sent[lead])

    def _of_mailbox(self, event: e.Event) -> None:
        match event:
            case e.MailboxAdded() | e.MailboxChanged():
                self._mailbox_limit = event.daily_limit
            case e.MailboxSlotTaken():
                day = _day(event.occurred_at or event.recorded_at)
                ours = event.occurred_at is None
                assert not ours or self._mailbox_days[day] < self._mailbox_limit, f"I7: mailbox's limit on {day}"
                self._mailbox_days[day] += 1
            case _:
                pass

    def _of_campaign(self, event: e.Event) -> None:
        match event:
            case e.EmailLocked():
                self._lock(event)
            case e.EmailSent():
                self._sent(event)
            case e.EmailFailed():
                self._failed(event)
            case e.InDoubtResolved():
                self._resolved(event)
            case e.DuplicateDetected():
                self.alarms[event.lead_id] += 1
            case e.StatusObserved() | e.StatusFixed() if event.after in MAILED:
                self.known.add(event.lead_id)
            case e.EmailQueued() if self.observed and event.v1_status in MAILED:
                self.known.add(event.lead_id)
            case _:
                self._settings(event)
                self._ownership(event)

    def _settings(self, event: e.Event) -> None:
        match event:
            case e.CampaignCreated():
                self._limits, self._schedule = event.limits, event.schedule
            case e.LimitsChanged():
                self._limits = event.limits
            case e.ScheduleChanged():
                self._schedule = event.schedule
            case e.CampaignStarted() | e.CampaignResumed():
                self.life = "runs"
            case e.CampaignPaused():
                self.life = "paused"
            case e.CampaignCancelled():
                self.life = "cancelled"
            case _:
                pass

    def _ownership(self, event: e.Event) -> None:
        match event:
            case e.LegacyImported() if not self._ever_imported():
                self.observed = True
            case e.TakenOver():
                self.observed, self.epoch = False, event.epoch
            case e.MigratedToV2():
                self.owner, self.epoch = "v2", event.epoch
            case e.RolledBack():
                self.owner, self.epoch = "v1", event.epoch
            case _:
                pass

    def _ever_imported(self) -> bool:
        return any(isinstance(event, e.LegacyImported) for event in self.events)

    def _lock(self, event: e.EmailLocked) -> None:
        lead, at = event.lead_id, event.recorded_at
        assert not self.observed, f"I6: {event.sender} locks what the old system mails"
        owner = (self.owner, self.epoch)
        assert (event.sender, event.epoch) == owner, f"I6: {event.sender} in epoch {event.epoch}, owner {owner}"
        assert self.life == "runs", f"a lock of a campaign that is {self.life}"
        assert lead not in self.known, f"lead {lead} is locked, and was mailed by what is known"
        assert not self._unanswered[lead], f"lead {lead} is locked, and an attempt of it has no outcome"
        assert lead not in self.mailed_there, f"I1: lead {lead} is locked, and the old application has mailed it"
        assert lead not in self.suppressed, f"lead {lead} is locked, and is suppressed"
        self._keeps_the_rules(at)
        self._days[_day(at)] += 1
        self._last = at
        self.locks[event.token] = event
        self.lead_of[event.message_id] = lead
        self._unanswered[lead].add(event.token)

    def _keeps_the_rules(self, at: datetime) -> None:
        """I7."""
        wall, limits, schedule = at.astimezone(ZONE), self._limits, self._schedule
        assert wall.strftime("%a").upper() in schedule.weekdays, f"I7: {wall}"
        assert schedule.start <= 60 * wall.hour + wall.minute < schedule.end, f"I7: {wall}"
        assert self._days[wall.date()] < limits.daily_limit, f"I7: campaign's limit on {wall.date()}"
        # Before the last mail the clock may have been set back; how far back says nothing of the pace.
        kept = self._last is None or abs(at - self._last) >= 0.8 * timedelta(seconds=limits.delay_s)
        assert kept, f"I7: at {at}, after {self._last}"

    def _sent(self, event: e.EmailSent) -> None:
        self.sent[event.lead_id].append(event)
        self.known.add(event.lead_id)
        self._unanswered[event.lead_id].discard(event.token)
        if event.imported is not None:
            at = event.occurred_at or event.recorded_at
            self._days[_day(at)] += 1
            self._last = max(self._last or at, at)

    def _failed(self, event: e.EmailFailed) -> None:
        if event.token is not None:
            self._unanswered[event.lead_id].discard(event.token)
        elif event.phase in ("rcpt", "data"):
            self._last = max(self._last or event.recorded_at, event.recorded_at)

    def _resolved(self, event: e.InDoubtResolved) -> None:
        self._unanswered[event.lead_id].discard(event.token)
        if event.outcome == "sent":
            self.known.add(event.lead_id)


def _day(at: datetime) -> date:
    return at.astimezone(ZONE).date()
