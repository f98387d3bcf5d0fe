"""Is a campaign all right since it changed hands? Eight questions, each answered from the events alone, with the
number of cases and the places in the ledger that are the evidence. No case is no answer: NO DATA is never a pass.

Due is what the owner's own policy says: a mail that was due and did not leave is missed, a quiet night is not. A rule
that it names is taken for a reason only while the facts bear it out: from when on they do not, a mail is due whatever
the policy says. Where a shadow decided beside the owner, what that would have sent was due as well.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from domain import events as e
from domain import mailbox as mailboxes
from domain.analysis import MOVED_SINCE, UNKNOWN_SENDS, moved_since, stray_rows
from domain.campaign import Campaign, Status, evolve
from domain.checks import Mailed, Standing
from domain.counting import EPOCH, Tally
from domain.facts import allowed_from
from domain.leads import LeadState
from domain.mailbox import Mailbox
from domain.owed import NO_REASON, ByShadow, Owed, by_place
from domain.policies import Send, earliest_send, next_send
from domain.rules import Rule, Wait

GRACE = timedelta(minutes=10)
"""Open time that a mail may be due before it counts as missed: two ticks, a slow server, a neighbour's turn."""
STUCK_AFTER = timedelta(hours=1)
"""A mail that is locked for so long has no runner that could end it, or one that was stopped."""
RULES_IN_A_ROW = 10
"""A policy that names so many, each from where the one before is over, is taken to send nothing."""
NAMED = 5
"""So many places are named; all are counted."""

OWNER_CHANGES = (e.CampaignCreated, e.TakenOver, e.MigratedToV2, e.RolledBack)


@dataclass(slots=True)
class Answer:
    """What is true of one question. `evidence`: positions in the ledger, of what is broken, or of the cases. `by`: what
    it was judged by, where there is more than one way; `shadow`: what was due by it, if it had something to say."""

    question: str
    cases: int = 0
    broken: int = 0
    evidence: list[int] = field(default_factory=list)
    says: str = ""
    by: str = ""
    shadow: ByShadow | None = None

    @property
    def verdict(self) -> str:
        """`PASS`, `FAIL`, or `NO DATA`."""
        if self.broken:
            return "FAIL"
        return "PASS" if self.cases else "NO DATA"

    @property
    def words(self) -> str:
        """What it says, and what it was judged by."""
        by = self.shadow.words if self.shadow is not None else self.by
        return "; ".join(part for part in (self.says, by) if part)

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
    shadow: Iterable[tuple[int, e.Event]] = (),
    suppressed: Mapping[int, datetime],
    since: datetime | None,
    now: datetime,
) -> list[Answer]:
    """The answers about a campaign since its last change of owner, or `since`.

    `log`: the campaign's events and those of its mailboxes, in the order of the ledger, with positions. `shadow`: those
    of its shadow. `suppressed`: since when whose lead number is on the list of those who must not be mailed.
    """
    examination = _Examination(stream, shadow, suppressed, since)
    for position, event in log:
        examination.take(position, event)
    return examination.finish(now)


class _Due(NamedTuple):
    """Since when a mail is due, and the rule that the owner named nevertheless, and that did not hold."""

    since: datetime
    untrue: Rule | None = None


class _Answers:
    """One set of them, begun anew when the owner changes."""

    def __init__(self) -> None:
        self.sending = Answer("are mails sent when they are due?", by="by open time")
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

    def __init__(
        self,
        stream: str,
        shadow: Iterable[tuple[int, e.Event]],
        suppressed: Mapping[int, datetime],
        since: datetime | None,
    ) -> None:
        self._campaign = Campaign(stream)
        self._campaign.mails = Tally(self._campaign.mails)
        self._mailboxes: dict[str, Mailbox] = {}
        self._beside = deque(by_place(shadow))
        self._owed: Owed | None = None
        self._suppressed = suppressed
        self._since = since
        self._answers = _Answers()
        self._standing = Standing()
        self._mailed = Mailed()
        self._accepted: Counter[int] = Counter()
        self._due: _Due | None = None
        self._wait: Wait | None = None
        self._without_reason: datetime | None = None
        self._passed = EPOCH
        self._position = 0

    def take(self, position: int, event: e.Event) -> None:
        while self._beside and self._beside[0][0] < position:
            _, place, said = self._beside.popleft()
            self._take_of_shadow(place, said)
        self._pass_until(event.recorded_at)
        if event.originator_id != self._campaign.stream:
            self._take_of_mailbox(position, event)
        else:
            self._take_of_campaign(position, event)
        self._position = position
        if self._judges(event.recorded_at):
            self._look(event.recorded_at)

    def finish(self, now: datetime) -> list[Answer]:
        """The answers, as things stand now."""
        for _, place, said in self._beside:
            self._take_of_shadow(place, said)
        self._pass_until(now)
        due, late = self._due, self._open_time(self._due.since if self._due else now, now)
        self._look(now)
        if not self._miss_what_is_owed() and due is not None and late > GRACE:
            says = f"due since {due.since.isoformat()}, open for {late}{_untrue(due.untrue)}"
            self._answers.sending.judge(False, self._position, says)
        if self._owed is not None:
            self._answers.sending.shadow = self._owed.told(self._wait.rule if self._wait else None)
        self._account()
        self._look_for_starving(now)
        return self._answers.all()

    def _take_of_shadow(self, place: int, event: e.Event) -> None:
        self._pass_until(event.decided_at if isinstance(event, e.ShadowDecided) else event.recorded_at)
        match event:
            case e.ShadowStarted():
                self._owed = self._owes_from(event.recorded_at)
            case e.ShadowStopped() if self._owed is not None:
                self._miss_what_is_owed()
                self._owed.ends(event.recorded_at)
            case e.ShadowDecided() if self._owed is not None and self._judges(event.decided_at):
                if self._owed.goes_on:
                    self._owed.decides(place, event, waits=self._waits(event.position, event.attempt))
            case _:
                pass

    def _owes_from(self, at: datetime) -> Owed:
        return Owed(self._campaign.owner, max(at, self._since or at))

    def _waits(self, position: int, attempt: int) -> bool:
        is_queued = self._campaign.roll.state(position) is LeadState.QUEUED
        return is_queued and self._campaign.next_attempt(position) == attempt

    def _take_of_mailbox(self, position: int, event: e.Event) -> None:
        mailbox = self._mailboxes.get(event.originator_id)
        if mailbox is None:
            mailbox = self._mailboxes[event.originator_id] = Mailbox(event.originator_id)
            mailbox.mails = Tally(mailbox.mails)
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
                self._attempted(position, event)
            case e.EmailSkipped() if self._owed is not None:
                self._owed.skips((event.position, self._campaign.next_attempt(event.position)))
            case e.EmailSent():
                self._sent(position, event, judges)
            case e.LegacyImported() if judges and not self._campaign.observed:
                self._old_system_did_more(position, event)
            case _:
                pass
        evolve(self._campaign, event)
        if isinstance(event, OWNER_CHANGES):
            self._change_hands(event.recorded_at)

    def _change_hands(self, at: datetime) -> None:
        """The answers begin anew, unless an instant was named; and the shadow is that of the other sender."""
        self._miss_what_is_owed()
        if self._since is None:
            self._answers, self._due = _Answers(), None
        if self._owed is not None:
            self._owed = self._owes_from(at) if self._owed.goes_on else None

    def _judges(self, at: datetime) -> bool:
        return self._since is None or at >= self._since

    def _lock(self, position: int, event: e.EmailLocked, judges: bool) -> None:
        at, answers = event.recorded_at, self._answers
        judged = self._standing.judge(at)
        self._standing.count(at)
        if not judges:
            return
        self._attempted(position, event)
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

    def _attempted(self, position: int, event: e.EmailLocked | e.EmailFailed) -> None:
        """A mail was tried: it is no longer due. Too late is missed, and says so."""
        at = event.recorded_at
        due = self._due or _Due(at)
        late = self._open_time(due.since, at)
        says = f"due for {late} of open time{_untrue(due.untrue)}"
        if self._owed is not None and self._owed.goes_on:
            untrue = self._owed.untrue
            owed = self._owed.tries((event.position, event.attempt))
            if owed > late:
                late, says = owed, f"due by the shadow for {owed} of open time{_untrue(untrue)}"
        self._answers.sending.judge(late <= GRACE, position, says)
        self._due = None

    def _miss_what_is_owed(self) -> bool:
        """What the shadow would have sent long ago, and the owner gave no reason for: is there any?"""
        if self._owed is None:
            return False
        late = self._owed.late(GRACE)
        reason = f": {self._wait.rule}" if self._wait is not None and self._wait.rule in NO_REASON else ""
        reason = _untrue(self._owed.untrue) or reason
        for due in late:
            says = f"lead {due.lead_id} is due by the shadow since {due.decided_at.isoformat()}{reason}"
            self._answers.sending.judge(False, due.place, says)
        return bool(late)

    def _look(self, now: datetime) -> None:
        """What does the owner's policy say now, and from when on has it no reason to wait?"""
        course = list(self._course(now))
        waits = [(at, answer) for at, answer in course if isinstance(answer, Wait)]
        self._wait = waits[0][1] if waits else None
        self._due = self._due_by(course, now)
        in_vain = [at for at, wait in waits if wait.rule in NO_REASON]
        starts = [*in_vain[:1], *([self._due.since] if self._due is not None else [])]
        self._without_reason = min(starts, default=None)

    def _pass_until(self, at: datetime) -> None:
        if self._owed is not None and self._owed.any and self._without_reason is not None:
            untrue = self._due.untrue if self._due is not None and self._due.since < at else None
            self._owed.passes(self._open_time(max(self._without_reason, self._passed), at), untrue)
        self._passed = max(self._passed, at)

    def _course(self, now: datetime) -> Iterator[tuple[datetime, Send | Wait]]:
        """What the owner's policy says now, and again each time that the rule it named is over, until it sends: another
        may begin then, as when a retry takes its turn before a fresh lead, with a longer pace."""
        mailbox = self._mailbox
        at = now if mailbox is not None and not self._campaign.observed else None
        for _ in range(RULES_IN_A_ROW):
            if at is None or mailbox is None:
                return
            answer = next_send(self._campaign, mailbox, self._campaign.owner, at)
            yield at, answer
            if isinstance(answer, Send):
                return
            at = earliest_send(self._campaign, mailbox, answer, at)

    def _due_by(self, course: Sequence[tuple[datetime, Send | Wait]], now: datetime) -> _Due | None:
        """Since when, or from when on, a mail is due: when the policy sends, unless the rules that it names before end
        sooner by the facts. An older due time stays while a mail still is."""
        mailbox = self._mailbox
        if not course or mailbox is None:
            return None
        at, answer = course[-1]
        due = _Due(at) if isinstance(answer, Send) else None
        if due is None or due.since > now:
            allowed = allowed_from(self._campaign, mailbox, self._standing, now)
            named = [wait.rule for _, wait in course if isinstance(wait, Wait)]
            if allowed is not None and (due is None or allowed < due.since):
                due = _Due(allowed, named[-1])
        if due is None or self._due is None or due.since > now:
            return due
        return _Due(min(self._due.since, now), due.untrue or self._due.untrue)

    @property
    def _mailbox(self) -> Mailbox | None:
        mailbox = self._mailboxes.get(f"mailbox-{self._campaign.mailbox}") if self._campaign.exists else None
        return mailbox if mailbox is not None and mailbox.exists else None

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


def _untrue(rule: Rule | None) -> str:
    return f": the owner named {rule}, which did not hold" if rule is not None else ""
