"""What really was, as far as the log has been read: ticks, mailboxes, and each campaign's state, rules and mails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from domain import events as e
from domain import mailbox as mailboxes
from domain.campaign import Campaign, evolve
from domain.checks import Judged, Standing
from domain.counting import EPOCH, MailCount, Tally
from domain.leads import LeadState
from domain.mailbox import Mailbox
from domain.replay.accepting import Acceptance, Rulebook
from domain.replay.classes import DifferenceClass, Mail
from domain.replay.findings import A, B, Breach, Findings, R
from domain.replay.imported import AsRecorded, fold, unlimited
from domain.replay.in_force import InForce
from domain.replay.replies import Key, Replies, is_unlocked
from domain.replay.sides import AS_RECORDED, Answer, Side
from domain.replay.situations import Situation, Situations
from domain.replay.ticking import COVERED, Ticks
from domain.replay.ticks import Tick, TickKind, happened
from domain.rules import Rule

TOLERANCE = timedelta(minutes=5)
"""A mail later or earlier by no more than this is the same mail at the same time."""

MAILBOX = "mailbox-"

V1, V2 = Side("v1"), Side("v2")

Witness = Callable[[Campaign, datetime, int, Answer, int], None]
"""Told each answer that says something new: the campaign as it was, in the free mode in the world of that side, the
time, the column, the answer, and of a mail its attempt, else 0."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What is compared, and how. `start` and `end`: the part of the history that is judged. `on`: the day on which
    rules are in force."""

    a: Side = V1
    b: Side = V2
    is_free: bool = False
    tolerance: timedelta = TOLERANCE
    start: datetime | None = None
    end: datetime | None = None
    rules: tuple[Acceptance, ...] = ()
    on: date = date.min

    @property
    def sides(self) -> tuple[Side, Side]:
        """Both."""
        return self.a, self.b

    @property
    def measured(self) -> frozenset[int]:
        """The columns that can be held against the record: under its settings, and with its ticks."""
        return frozenset(column for column, side in ((A, self.a), (B, self.b)) if side.is_as_recorded)

    def is_over(self, at: datetime) -> bool:
        """Does this instant lie behind the part that is compared?"""
        return self.end is not None and at >= self.end

    @property
    def is_what_if(self) -> bool:
        """Has a side other settings than the recorded ones?"""
        return len(self.measured) < len(self.sides)

    @property
    def unchanged(self) -> Setup:
        """The same without a what-if, which cannot be held against what happened."""
        return replace(self, a=replace(self.a, what_if=AS_RECORDED), b=replace(self.b, what_if=AS_RECORDED))

    def column(self, sender: e.Sender) -> int:
        """In which column this sender is replayed; `R` where in none."""
        if self.a.sender == sender:
            return A
        return B if self.b.sender == sender else R


class Past:
    """What all campaigns of a pass share."""

    def __init__(self) -> None:
        self.place = 0
        self.ticked_at: datetime | None = None
        self._began: datetime | None = None
        self.ticks = Ticks()
        self._apart: list[Ticks] = []
        self.mailboxes: dict[str, Mailbox] = {}
        self.changes: Counter[str] = Counter()
        self.changed_at: dict[str, datetime] = {}
        """When the newest of a stream happened."""

    def mailbox(self, name: str) -> Mailbox:
        """This mailbox, as it is now."""
        found = self.mailboxes.get(name)
        if found is None:
            found = self.mailboxes[name] = Mailbox(f"{MAILBOX}{name}")
            found.mails = Tally(MailCount())
        return found

    def know(self, given: Collection[Mailbox]) -> None:
        """Mailboxes whose past is not in this history."""
        for mailbox in given:
            mailbox.mails = Tally(mailbox.mails)
            self.mailboxes[mailbox.stream.removeprefix(MAILBOX)] = mailbox

    def take(self, event: e.Event) -> None:
        """An event of a mailbox."""
        self.changed_at[event.originator_id] = happened(event)
        name = event.originator_id.removeprefix(MAILBOX)
        mailboxes.evolve(self.mailbox(name), event)
        if not isinstance(event, e.MailboxSlotTaken):
            self.changes[name] += 1

    def tick(self, tick: Tick) -> None:
        """A tick of any sender, whether or not a campaign of this pass has to do with it."""
        for ticks in (self.ticks, *self._apart):
            ticks.take(tick)
        self._began = self._began or tick.at
        self.ticked_at = max(self.ticked_at, tick.at) if self.ticked_at else tick.at

    def has_just_begun(self, at: datetime) -> bool:
        """Is the first tick of any sender so near that the other's first may not be told yet?"""
        return self._began is not None and at - self._began <= COVERED

    def finished(self, event: e.TickFinished) -> None:
        """A tick is through."""
        for ticks in (self.ticks, *self._apart):
            ticks.finished(event)

    def ticks_apart(self) -> Ticks:
        """For a campaign of which a tick has to be assumed: all that are recorded, with its own. What is assumed of one
        says nothing of others."""
        apart = deepcopy(self.ticks)
        self._apart.append(apart)
        return apart


class Case:
    """One campaign, as it really was: its state, and the recorded column."""

    def __init__(
        self, stream: str, setup: Setup, past: Past, replies: Replies, campaign: Campaign | None = None
    ) -> None:
        self.stream = stream
        self._replies = replies
        self.setup = setup
        self.past = past
        self.campaign = campaign or Campaign(stream)
        self.campaign.mails = Tally(self.campaign.mails)
        self.standing = Standing.of(self.campaign)
        self.recorded = Standing.of(self.campaign)  # counts imported mails too, whether or not the state does
        self.old_ticks = Ticks()
        self.old_since: datetime | None = None
        self._assumed: Ticks | None = None
        self._imported_at: datetime | None = None
        self.began: datetime | None = None
        self._last_at: datetime | None = None
        self.findings = Findings(setup.tolerance, Rulebook(setup.rules, setup.on), setup.measured, setup.is_free)
        if self.campaign.exists:
            self.findings.zone = self.campaign.schedule.zone
            self.findings.is_old = self.campaign.observed
        self.situations = Situations()
        self.settings: list[InForce] = []
        if self.campaign.exists:
            self.settings.append(InForce(EPOCH, self.campaign.schedule, self.campaign.limits))
        self.rules_seen = 0
        self._epoch = self.campaign.epoch

    def go_by(self, rules: tuple[Acceptance, ...]) -> None:
        """These rules accept differences of this campaign."""
        self.findings.go_by(Rulebook(rules, self.setup.on))

    @property
    def is_old(self) -> bool:
        """Does an old system mail it?"""
        return self.campaign.observed

    @property
    def ticks(self) -> Ticks:
        """All senders', or in an imported past the old system's."""
        legacy = self.campaign.legacy
        return self.old_ticks if legacy is not None and legacy.observed else self._assumed or self.past.ticks

    @property
    def our_ticks(self) -> Ticks:
        """All senders'."""
        return self._assumed or self.past.ticks

    def ticks_to_assume(self, sender: e.Sender, at: datetime, *, is_mail: bool) -> list[Tick]:
        """Those before something that happens to this campaign, where none are recorded."""
        if self._assumed is None:
            if not is_mail or self.past.ticks.covers(sender, at):
                return []
            self._assumed = self.past.ticks_apart()
        return self._assumed.missing(sender, at) if is_mail else self._assumed.assumed_until(sender, at)

    @property
    def mailbox(self) -> Mailbox:
        """The one that it sends through, as it is now."""
        if self.is_old:
            return unlimited(self.campaign.schedule.zone)
        return self.past.mailbox(self.campaign.mailbox)

    def is_judged(self, at: datetime) -> bool:
        """Does this instant lie in the part that is compared?"""
        return self.setup.start is None or at >= self.setup.start

    def leaves_out(self, position: int, event: e.Event) -> bool:
        """Is this of an imported campaign that was the old system's still, or unknown, where the compared part ends?
        Behind its past comes what others recorded before that end."""
        is_unknown = not self.campaign.exists and not isinstance(event, e.CampaignCreated)
        return position < 0 or self.is_old or is_unknown

    @property
    def ends_at(self) -> datetime | None:
        """Where the history ends: its last event, or the last tick."""
        return max((at for at in (self._last_at, self.past.ticked_at) if at is not None), default=None)

    def seen(self, at: datetime) -> None:
        """Something happened in this campaign."""
        self.began = self.began or at
        self._last_at = max(self._last_at, at) if self._last_at else at

    def record(self, position: int, event: e.Event, sender: e.Sender | None) -> None:
        """Judge what the event says was sent, if it is a decision of this sender; the state is as it was before it."""
        self.seen(happened(event))
        kind = type(event)
        if kind not in EVERYDAY:
            self.happens(position, event)
        if sender is not None:
            self._decided(event, sender)
        elif isinstance(event, e.DuplicateDetected):
            words = "a second acceptance came to light"
            self.findings.breach(R, DifferenceClass.DUPLICATE, Breach(event.lead_id, event.recorded_at, words))
        if kind is e.EmailFailed or kind in CHANGES_RULES:
            self.standing.take(event)
            self.recorded.take(event)
            self.rules_seen += kind in CHANGES_RULES

    def happens(self, position: int, event: e.Event) -> None:
        """Something that is no mail, to this campaign or its mailbox."""
        self.findings.noise.take(position, event)
        if self.is_judged(happened(event)):
            self.situations.event(event)

    def tick_ends(self, position: int, event: e.TickFinished) -> None:
        """A tick that did not send all it was to send: whose mail it held back it does not say."""
        self.findings.noise.take(position, event)
        column, number = self.setup.column(event.sender), self.ticks.number(event)
        if Rule.MAILBOX_LIMIT in event.deferred and number is not None:
            self.findings.held_back.add((column, number))

    def fold(self, event: e.Event) -> None:
        """Apply it."""
        if isinstance(event, AsRecorded):
            self.own_time_begins(event)
            return
        evolve(self.campaign, event)
        if isinstance(event, e.LegacyImported | e.TakenOver):
            self.findings.is_old = self.is_old
        if self._imported_at is not None:
            if self.campaign.last_mail_at == self._imported_at:
                self.standing.count(self._imported_at)
            self._imported_at = None
        if self.campaign.epoch != self._epoch:
            self._epoch = self.campaign.epoch
            if self.is_judged(happened(event)):
                self.situations.seen.add(Situation.OWNER)
            self.findings.owner_changed()
            for column, side in ((A, self.setup.a), (B, self.setup.b)):
                if side.sender == self.campaign.owner:
                    self.begin_again(column, happened(event))
        if type(event) in CHANGES_RULES:
            self.findings.zone = self.campaign.schedule.zone
        if isinstance(event, e.CampaignCreated | e.ScheduleChanged | e.LimitsChanged):
            self.settings.append(InForce(happened(event), self.campaign.schedule, self.campaign.limits))

    def assume(self, tick: Tick) -> None:
        """One of the old system's."""
        self.old_ticks.take(tick)
        self.old_since = self.old_since or tick.at

    def own_time_begins(self, event: AsRecorded) -> None:
        """What was assumed of the old system's time ends here; nothing of it reaches what our own senders did."""
        self.close_what_is_open(self.old_ticks.latest["v1"].at if self.old_ticks.latest else happened(event))
        fold(self.campaign, event)
        self.campaign.mails = Tally(self.campaign.mails)

    def close_what_is_open(self, end: datetime) -> None:
        """Each with the reason of the side that has not sent it."""

    def begin_again(self, column: int, now: datetime) -> None:
        """The sender of this column owns the campaign from here on: it goes on from what really was."""

    def _decided(self, event: e.Event, sender: e.Sender) -> None:
        assert isinstance(event, LEAD_DECISIONS)  # noqa: S101 - for the type checker
        at, own = happened(event), self.setup.column(sender)
        if self.is_judged(at):
            key = (event.position, event.attempt)
            self._judge_recorded(event, at)
            mail = self._recorded_mail(event, key, sender, own)
            self.findings.mailed(R, key, event.lead_id, mail, own, not isinstance(event, e.EmailFailed))
        if isinstance(event, e.EmailFailed):
            return
        self.recorded.count(at)
        if isinstance(event, e.EmailLocked):
            self.standing.count(at)
        else:
            self._imported_at = at

    def _recorded_mail(self, event: e.Event, key: Key, sender: e.Sender, own: int) -> Mail:
        ticks, mine = self.ticks, self.findings.decided(key, own)
        number, runner = ticks.numbers[sender], getattr(event, "runner", None)
        if mine is not None and ticks.is_open(sender, mine.tick, runner):
            number = mine.tick
        elif mine is not None and (other := ticks.runner(sender, mine.tick)) is not None:
            self.findings.noise.left_open(self.past.place, other)
        campaign = self.campaign
        if isinstance(event, e.EmailLocked):
            said = (event.content_version, event.revision, event.mailbox)
        else:
            said = (campaign.content_version, campaign.revision(key[0]), campaign.mailbox)
        latest = ticks.latest.get(sender)
        assumed = latest is None or latest.kind is TickKind.ASSUMED
        return Mail(happened(event), number, self.past.place, *said, assumed)

    def _judge_recorded(self, event: e.EmailLocked | e.EmailFailed | e.EmailSent, at: datetime) -> None:
        if isinstance(event, e.EmailFailed):
            return
        self.judge_state(R, event.position, event.lead_id, at)
        self.judge_rules(R, event.lead_id, at, self.recorded.judge(at), self.mailbox)

    def is_mail(self, key: Key) -> bool:
        """Does it count for limits, as far as is known? What really failed before its lock does not."""
        return not is_unlocked(self._replies.get(key))

    def judge_state(self, column: int, position: int, lead_id: int, at: datetime) -> bool:
        """Does this lead wait? If not, it is a duplicate or forbidden."""
        return self.judge_state_of(column, self.campaign.roll.state(position), lead_id, at)

    def judge_state_of(self, column: int, state: LeadState, lead_id: int, at: datetime) -> bool:
        """The same of a lead in this state."""
        if state is LeadState.QUEUED:
            return True
        forbidden = state in (LeadState.SKIPPED, LeadState.FAILED)
        kind = DifferenceClass.FORBIDDEN if forbidden else DifferenceClass.DUPLICATE
        self.findings.breach(column, kind, Breach(lead_id, at, f"it is {state.label}"))
        return False

    def judge_rules(self, column: int, lead_id: int, at: datetime, judged: Judged, mailbox: Mailbox) -> bool:
        """Does one mail that is not counted yet keep to the window, the campaign's limit, the delay and the mailbox's
        limit?"""
        is_over = mailbox.exists and mailbox.mails.on_date_of(at, mailbox.zone) >= mailbox.daily_limit
        if judged.is_open and judged.in_limit and judged.in_pace and not is_over:
            return True
        broken = []
        if not judged.is_open:
            broken.append((DifferenceClass.WINDOW, "outside the calendar"))
        if not judged.in_limit:
            broken.append((DifferenceClass.LIMIT, f"number {judged.nth} on {self.standing.day(at)}"))
        if not judged.in_pace:
            broken.append((DifferenceClass.LIMIT, f"{judged.gap} after the last"))
        if is_over:
            broken.append((DifferenceClass.LIMIT, f"over the mailbox's {mailbox.daily_limit} a day"))
        for kind, words in broken:
            self.findings.breach(column, kind, Breach(lead_id, at, words))
        return False


def decision(campaign: Campaign, event: e.Event) -> e.Sender | None:
    """The sender that this event says decided to mail a lead; None for any other event. While an old system mails the
    campaign, what is imported is held against V1; after that it is what others do."""
    kind = type(event)
    if kind not in LEAD_DECISIONS:
        return None
    if isinstance(event, e.EmailLocked):
        return event.sender
    if isinstance(event, e.EmailFailed):
        return event.sender if event.token is None else None
    if isinstance(event, e.EmailSent) and event.imported is not None and campaign.observed:
        return "v1"
    return None


LEAD_DECISIONS = (e.EmailLocked, e.EmailFailed, e.EmailSent)

OUTCOMES = (e.EmailSent, e.EmailFailed, e.EmailInDoubt)

EVERYDAY = frozenset({e.EmailLocked, e.EmailSent})
"""Nothing that makes two senders differ, or that explains why the record does."""

CHANGES_RULES = frozenset(
    {
        e.CampaignCreated,
        e.CampaignStarted,
        e.CampaignPaused,
        e.CampaignResumed,
        e.CampaignCancelled,
        e.ScheduleChanged,
        e.LimitsChanged,
        e.ContentChanged,
        e.MailboxAssigned,
        e.MigratedToV2,
        e.RolledBack,
        e.TakenOver,
    }
)
