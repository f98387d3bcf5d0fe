"""Is a campaign all right since it changed hands? Eight questions, each answered from the events alone, with the
number of cases and the places in the ledger that are the evidence. No case is no answer: NO DATA is never a pass.

Due is what the owner's own policy says: a mail that was due and did not leave is missed, a quiet night is not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from domain import events as e
from domain import mailbox as mailboxes
from domain.analysis import MOVED_SINCE, UNKNOWN_SENDS, moved_since, stray_rows
from domain.campaign import Campaign, Status, evolve
from domain.checks import Mailed, Standing
from domain.leads import LeadState
from domain.mailbox import Mailbox
from domain.policies import Send, earliest_send, next_send

GRACE = timedelta(minutes=10)
"""Open time that a mail may be due before it counts as missed: two ticks, a slow server, a neighbour's turn."""
STUCK_AFTER = timedelta(hours=1)
"""A mail that is locked for so long has no runner that could end it, or one that was stopped."""
NAMED = 5
"""So many places are named; all are counted."""

OWNER_CHANGES = (e.CampaignCreated, e.TakenOver, e.MigratedToV2, e.RolledBack)


@dataclass(slots=True)
class Answer:
    """What is true of one question. `evidence`: positions in the ledger, of what is broken, or of the cases."""

    question: str
    cases: int = 0
    broken: int = 0
    evidence: list[int] = field(default_factory=list)
    says: str = ""

    @property
    def verdict(self) -> str:
        """`PASS`, `FAIL`, or `NO DATA`."""
        if self.broken:
            return "FAIL"
        return "PASS" if self.cases else "NO DATA"

    def judge(self, kept: bool, position: int, says: str = "") -> None:
        """One case more, and where it stands."""
        self.cases += 1
        if not kept:
            if not self.broken:
                self.evidence, self.says = [], says
            self.broken += 1
        if (not kept or not self.broken) and len(self.evidence) < NAMED and position not in self.evidence:
            self.evidence.append(position)


def verify(
    stream: str,
    log: Iterable[tuple[int, e.Event]],
    *,
    suppressed: Mapping[int, datetime],
    since: datetime | None,
    now: datetime,
) -> list[Answer]:
    """The answers about a campaign since its last change of owner, or `since`.

    `log`: the campaign's events and those of its mailboxes, in the order of the ledger, with positions. `suppressed`:
    since when whose lead number is on the list of those who must not be mailed.
    """
    examination = _Examination(stream, suppressed, since)
    for position, event in log:
        examination.take(position, event)
    return examination.finish(now)


class _Answers:
    """One set of them, begun anew when the owner changes."""

    def __init__(self) -> None:
        self.sending = Answer("are mails sent when they are due?")
        self.duplicates = Answer("is nobody mailed twice?")
        self.schedule = Answer("is the schedule kept?")
        self.limits = Answer("are limits and delay kept?")
        self.accounted = Answer("is every lead accounted for?")
        self.suppressed = Answer("was nobody mailed who must not be?")
        self.owner = Answer("does only the owner send?")
        self.starving = Answer("does nobody wait in vain?")

    def all(self) -> list[Answer]:
        return [
            *(self.sending, self.duplicates, self.schedule, self.limits),
            *(self.accounted, self.suppressed, self.owner, self.starving),
        ]


class _Examination:
    """Follows the log and judges each event before it is applied."""

    def __init__(self, stream: str, suppressed: Mapping[int, datetime], since: datetime | None) -> None:
        self._campaign = Campaign(stream)
        self._mailboxes: dict[str, Mailbox] = {}
        self._suppressed = suppressed
        self._since = since
        self._answers = _Answers()
        self._standing = Standing()
        self._mailed = Mailed()
        self._accepted: Counter[int] = Counter()
        self._due: datetime | None = None
        self._position = 0

    def take(self, position: int, event: e.Event) -> None:
        if event.originator_id != self._campaign.stream:
            self._take_of_mailbox(position, event)
        else:
            self._take_of_campaign(position, event)
        self._position = position
        if self._judges(event.recorded_at):
            self._due = self._due_from(event.recorded_at)

    def finish(self, now: datetime) -> list[Answer]:
        """The answers, as things stand now."""
        if self._due is not None and (late := self._open_time(self._due, now)) > GRACE:
            self._answers.sending.judge(False, self._position, f"due since {self._due.isoformat()}, open for {late}")
        self._account()
        self._look_for_starving(now)
        return self._answers.all()

    def _take_of_mailbox(self, position: int, event: e.Event) -> None:
        mailbox = self._mailboxes.setdefault(event.originator_id, Mailbox(event.originator_id))
        ours = isinstance(event, e.MailboxSlotTaken) and event.campaign == self._campaign.stream
        if ours and event.occurred_at is None and self._judges(event.recorded_at):
            nth = mailbox.mails.on_date_of(event.recorded_at, mailbox.zone) + 1
            says = f"{nth} mails of {mailbox.stream} on one day, {mailbox.daily_limit} allowed"
            self._answers.limits.judge(nth <= mailbox.daily_limit, position, says)
        mailboxes.evolve(mailbox, event)

    def _take_of_campaign(self, position: int, event: e.Event) -> None:
        self._mailed.take(event)
        self._standing.take(event)
        judges = self._judges(event.recorded_at)
        match event:
            case e.EmailLocked():
                self._lock(position, event, judges)
            case e.EmailFailed(token=None) if judges:
                self._attempted(position, event.recorded_at)
            case e.EmailSent():
                self._sent(position, event, judges)
            case e.LegacyImported() if judges and not self._campaign.observed:
                self._old_system_did_more(position, event)
            case _ if isinstance(event, OWNER_CHANGES) and self._since is None:
                self._answers, self._due = _Answers(), None
            case _:
                pass
        evolve(self._campaign, event)

    def _judges(self, at: datetime) -> bool:
        return self._since is None or at >= self._since

    def _lock(self, position: int, event: e.EmailLocked, judges: bool) -> None:
        at, answers = event.recorded_at, self._answers
        judged = self._standing.judge(at)
        self._standing.count(at)
        if not judges:
            return
        self._attempted(position, at)
        answers.schedule.judge(judged.is_open, position, f"lead {event.lead_id} at {at.isoformat()}")
        answers.limits.judge(judged.in_limit, position, f"mail {judged.nth} of {self._standing.day(at)}")
        if judged.gap is not None:
            answers.limits.judge(judged.in_pace, position, f"lead {event.lead_id} after {judged.gap}")
        listed = self._suppressed.get(event.lead_id)
        answers.suppressed.judge(listed is None or at < listed, position, f"lead {event.lead_id} is on the list")
        owned = (event.sender, event.epoch) == (self._campaign.owner, self._campaign.epoch)
        answers.owner.judge(owned, position, f"{event.sender} in epoch {event.epoch}")

    def _sent(self, position: int, event: e.EmailSent, judges: bool) -> None:
        self._accepted[event.position] += 1
        if event.imported is not None:
            self._standing.count_past(event.occurred_at or event.recorded_at)
            if judges and not self._campaign.observed:
                self._answers.owner.judge(False, position, f"the old system mailed lead {event.lead_id}")
        if judges:
            nth = self._accepted[event.position]
            self._answers.duplicates.judge(nth == 1, position, f"lead {event.lead_id}, mail {nth}")

    def _old_system_did_more(self, position: int, event: e.LegacyImported) -> None:
        """Than write rows about our leads: it mailed others, or moved one of ours and wrote no row."""
        seen, moved = stray_rows(self._campaign), moved_since(self._campaign)
        for each in event.observations:
            rows = set(each.rows) - seen if each.rule == UNKNOWN_SENDS else set()
            leads = set(each.leads) - moved if each.rule == MOVED_SINCE else set()
            says = [f"the old system mailed somebody: row {row} of its SendLog" for row in sorted(rows)]
            says += [f"the old system has moved lead {lead}" for lead in sorted(leads)]
            for words in says:
                self._answers.owner.judge(False, position, words)

    def _attempted(self, position: int, at: datetime) -> None:
        """A mail was tried: it is no longer due. Too late is missed, and says so."""
        late = self._open_time(self._due, at) if self._due is not None else timedelta(0)
        self._answers.sending.judge(late <= GRACE, position, f"due for {late} of open time")
        self._due = None

    def _due_from(self, at: datetime) -> datetime | None:
        """Since when, or from when on, the owner's policy would send; an older due time stays while it still would."""
        mailbox = self._mailboxes.get(f"mailbox-{self._campaign.mailbox}") if self._campaign.exists else None
        if mailbox is None or not mailbox.exists or self._campaign.observed:
            return None
        decision = next_send(self._campaign, mailbox, self._campaign.owner, at)
        if isinstance(decision, Send):
            return at if self._due is None else min(self._due, at)
        return earliest_send(self._campaign, mailbox, decision, at)

    def _open_time(self, start: datetime, end: datetime) -> timedelta:
        openings = self._campaign.calendar.openings(start, end) if start < end else ()
        return sum((closes - opens for opens, closes in openings), timedelta(0))

    def _account(self) -> None:
        campaign = self._campaign
        for position in range(len(campaign.roll)):
            kept = self._mailed.accounts_for(campaign, position)
            says = f"lead {campaign.numbers.lead_id(position)} is {campaign.roll.state(position).label}"
            self._answers.accounted.judge(kept, self._position, "" if kept else says)

    def _look_for_starving(self, now: datetime) -> None:
        campaign, answer = self._campaign, self._answers.starving
        over = campaign.status in (Status.COMPLETED, Status.CANCELLED)
        passed_over = campaign.owner == "v1" and not campaign.observed
        for position in range(len(campaign.roll)):
            waits = campaign.roll.state(position) is LeadState.QUEUED
            in_vain = waits and (over or (passed_over and not self._v1_comes_to(position)))
            says = f"lead {campaign.numbers.lead_id(position)} waits, and nobody picks it" if in_vain else ""
            answer.judge(not in_vain, self._position, says)
        for attempt in campaign.locked():
            if not campaign.observed and now - attempt.locked_at > STUCK_AFTER:
                answer.judge(False, self._position, f"lead {attempt.lead_id} is locked since {attempt.locked_at}")

    def _v1_comes_to(self, position: int) -> bool:
        return self._campaign.roll.v1_picks(position) or position in self._campaign.retry_of
