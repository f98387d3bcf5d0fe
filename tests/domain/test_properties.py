"""Random lives of one campaign and one mailbox, told by commands; after every step all that must hold is checked.

An adversary decides which command comes next, what became of each mail, and how the clock moves. A model beside it
keeps what the rules are judged by, in the plainest form: every lock, every acceptance, every word of a person.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain import events as e
from domain import gate
from domain import mailbox as mailboxes
from domain.attempts import AttemptState
from domain.calendar import Schedule
from domain.campaign import Status
from domain.commands import Failure
from domain.errors import CommandRefused
from domain.events import Sender
from domain.gate import earliest
from domain.leads import LeadState
from domain.policies import Send
from domain.rules import Limits, LockRefused
from domain.snapshot import freeze, thaw
from tests.domain.given import GREYLISTED, NOON, PERMANENT, REFUSED, TEMPORARY, World, digest, kinds, refolded
from tests.domain.test_facts import followed

WARSAW = ZoneInfo("Europe/Warsaw")
MAILBOX_LIMIT = 4
SCHEDULE = Schedule(zone="Europe/Warsaw", weekdays=("MON", "TUE", "WED", "SUN"), start="01:30", end="15:00")
LIMITS = st.sampled_from(
    [
        Limits(daily_limit=3, delay_s=0, max_attempts=2),
        Limits(daily_limit=9, delay_s=0, max_attempts=3),
        Limits(daily_limit=9, delay_s=600, max_attempts=2),
    ]
)
STARTS = st.sampled_from(
    [NOON, datetime.fromisoformat("2025-03-29T23:00Z"), datetime.fromisoformat("2025-10-25T23:30Z")]
)
MOVES = st.sampled_from([timedelta(seconds=s) for s in (-1200, 1, 60, 480, 900, 3600, 6 * 3600, 24 * 3600)])
FAILURES = st.sampled_from([TEMPORARY, PERMANENT])
OUTCOMES = st.sampled_from(["nothing yet", "nothing yet", "sent", "failed", "failed", "in doubt", "in doubt"])
NTH = st.integers(0, 5)
MOST_LEADS = 5
LONG_LIFE = 30
"""Events after which a campaign may be cancelled: not so early that little has happened."""


class LivesOfACampaign(RuleBasedStateMachine):
    """Every command may come at any time; one that is refused must leave everything as it was."""

    def __init__(self) -> None:
        super().__init__()
        self.locks: list[e.EmailLocked] = []
        self.accepted = Counter[int]()
        self.released: set[str] = set()
        self.paced: list[datetime] = []
        self.skipped: set[int] = set()

    @initialize(owner=st.sampled_from(["v1", "v2"]), limits=LIMITS, now=STARTS, leads=st.integers(1, 3))
    def begin(self, owner: Sender, limits: Limits, now: datetime, leads: int) -> None:
        self.world = World(owner=owner, schedule=SCHEDULE, limits=limits, now=now)
        self.world.save(
            mailboxes.change(
                self.world.mailbox,
                daily_limit=MAILBOX_LIMIT,
                zone="Europe/Warsaw",
                identity_digest=digest(1),
                actor="anna",
                now=now,
            )
        )
        self.world.queue(*range(leads))
        self.world.start()

    # --- what may happen ---

    @rule(move=MOVES)
    def time_goes_by(self, move: timedelta) -> None:
        self.world.now += move

    @rule()
    def time_goes_by_until_a_mail_may_leave(self) -> None:
        found = earliest(self.world.campaign, self.world.mailbox, self.world.now)
        if found is not None:
            assert found >= self.world.now
            self.world.now = found
            assert gate.holds_back(self.world.campaign, self.world.mailbox, found) is None

    @precondition(lambda self: len(self.world.campaign.roll) < MOST_LEADS)
    @rule(priority=st.integers(0, 3))
    def a_lead_comes(self, priority: int) -> None:
        self.unless_refused(lambda: self.world.queue(priority))

    @rule(what=st.sampled_from(["pause", "start", "resume"]))
    def an_operator_acts(self, what: str) -> None:
        self.unless_refused(getattr(self.world, what))

    @precondition(lambda self: self.world.campaign.status is Status.PAUSED)
    @rule()
    def an_operator_resumes(self) -> None:
        self.world.resume()

    @precondition(lambda self: len(self.world.history) > LONG_LIFE)
    @rule()
    def an_operator_cancels(self) -> None:
        self.unless_refused(self.world.cancel)

    @rule(limits=LIMITS)
    def the_limits_change(self, limits: Limits) -> None:
        self.unless_refused(lambda: self.world.edit(limits=limits))

    @rule(patient=st.sampled_from([True, True, False]), outcome=OUTCOMES, failure=FAILURES)
    def the_sender_mails_its_next_lead(self, patient: bool, outcome: str, failure: Failure) -> None:
        if patient:
            self.time_goes_by_until_a_mail_may_leave()
        send = self.world.next()
        if not isinstance(send, Send):
            return
        assert send.due_at <= self.world.now
        self.mail(send.position)
        if outcome != "nothing yet":
            self.a_fact(self.locks[-1].token, outcome, failure)

    @rule(position=NTH, patient=st.booleans())
    def somebody_tries_to_mail_any_lead(self, position: int, patient: bool) -> None:
        if patient:
            self.time_goes_by_until_a_mail_may_leave()
        self.unless_refused(lambda: self.mail(position % len(self.world.campaign.roll)))

    @rule(position=NTH, failure=st.sampled_from([REFUSED, GREYLISTED]))
    def a_recipient_is_refused(self, position: int, failure: Failure) -> None:
        position %= len(self.world.campaign.roll)
        if self.unless_refused(lambda: self.world.refused_before_lock(position, failure)):
            self.paced.append(self.world.now)

    @precondition(lambda self: self.locks)
    @rule(nth=NTH, outcome=st.sampled_from(["sent", "failed", "in doubt"]), failure=FAILURES)
    def a_fact_comes_in_however_late(self, nth: int, outcome: str, failure: Failure) -> None:
        self.a_fact(self.locks[-1 - nth % len(self.locks)].token, outcome, failure)

    @precondition(lambda self: self.doubtful())
    @rule(nth=NTH, outcome=st.sampled_from(["sent", "not sent", "not sent"]))
    def a_person_judges(self, nth: int, outcome: e.Resolution) -> None:
        doubtful = self.doubtful()
        position = doubtful[nth % len(doubtful)]
        if events := self.unless_refused(lambda: self.world.resolve(position, outcome)):
            judged = events[0]
            assert isinstance(judged, e.InDoubtResolved)
            if outcome == "not sent":
                self.released.add(judged.token)

    @rule(position=NTH)
    def a_lead_is_skipped(self, position: int) -> None:
        for event in self.world.skip(position % len(self.world.campaign.roll)):
            if isinstance(event, e.EmailSkipped):
                self.skipped.add(event.position)

    @rule(position=NTH)
    def a_failed_lead_gets_another_chance(self, position: int) -> None:
        self.unless_refused(lambda: self.world.requeue(position % len(self.world.campaign.roll)))

    @precondition(lambda self: self.world.mailbox.delayed_until is None)
    @rule()
    def the_mailbox_has_trouble(self) -> None:
        self.world.save(mailboxes.delay(self.world.mailbox, phase="mail", code=421, enhanced=None, now=self.world.now))

    # --- what must hold ---

    @invariant()
    def each_lead_is_in_one_state_and_the_counts_are_those_of_the_bytes(self) -> None:
        roll = self.world.campaign.roll
        states = Counter(roll.state(position) for position in range(len(roll)))
        assert roll.counts == [states[state] for state in LeadState]
        assert sum(roll.counts) == len(roll)

    @invariant()
    def a_lead_waits_in_exactly_one_line(self) -> None:
        campaign = self.world.campaign
        queued = set(campaign.roll.positions(LeadState.QUEUED))
        fresh = {position for position in range(len(campaign.roll)) if campaign.is_fresh(position)}
        assert fresh | set(campaign.retry_of) == queued
        assert not fresh & set(campaign.retry_of)
        assert (campaign.next_fresh() is not None) == bool(fresh)
        assert (campaign.next_arrival() is not None) == bool(fresh)
        assert (campaign.next_retry() is not None) == bool(campaign.retry_of)

    @invariant()
    def what_was_accepted_is_sent_or_still_locked_or_in_doubt(self) -> None:
        for position in self.accepted:
            assert self.world.state(position) in (LeadState.SENT, LeadState.LOCKED, LeadState.IN_DOUBT)

    @invariant()
    def a_lead_is_locked_as_long_as_one_attempt_of_it_is(self) -> None:
        campaign = self.world.campaign
        locked = [attempt.position for attempt in campaign.locked()]
        assert sorted(locked) == list(campaign.roll.positions(LeadState.LOCKED))

    @invariant()
    def a_completed_campaign_has_nobody_who_waits_and_a_running_one_somebody(self) -> None:
        campaign = self.world.campaign
        if campaign.status is Status.RUNNING:
            assert campaign.waiting
        if campaign.status is Status.COMPLETED:
            assert not campaign.waiting

    @invariant()
    def each_acceptance_after_the_first_raised_an_alarm(self) -> None:
        history = self.world.history
        alarms = Counter(event.position for event in history if isinstance(event, e.DuplicateDetected))
        for position, times in self.accepted.items():
            assert alarms[position] >= times - 1

    @invariant()
    def a_thawed_state_and_one_folded_anew_are_the_same_and_decide_the_same(self) -> None:
        world = self.world
        frozen = freeze(world.campaign)
        assert freeze(refolded(world.history, "campaign-1")) == frozen
        thawed = thaw("campaign-1", frozen)
        assert freeze(thawed) == frozen
        live, world.campaign = world.campaign, thawed
        from_thawed = world.next()
        world.campaign = live
        assert from_thawed == world.next()

    @invariant()
    def when_the_facts_allow_a_mail_the_policy_sends_one(self) -> None:
        followed(self.world.history).bear_out(self.world.now)

    # --- how it is done ---

    def doubtful(self) -> list[int]:
        """The leads with an attempt that a person can judge."""
        attempts = self.world.campaign.open.values()
        return [attempt.position for attempt in attempts if attempt.state is AttemptState.IN_DOUBT]

    def mail(self, position: int) -> None:
        """A lock that the gate allowed, judged by the plain history."""
        world = self.world
        world.lock(position)
        locked = world.history[-2]
        assert isinstance(locked, e.EmailLocked)
        self.judge(locked)
        self.locks.append(locked)
        self.paced.append(world.now)

    def judge(self, locked: e.EmailLocked) -> None:
        """Nothing here asks the code under test: the wall clock, the limits, the pace, and who was mailed already."""
        wall, limits = locked.recorded_at.astimezone(WARSAW), self.world.campaign.limits
        assert wall.strftime("%a") in ("Mon", "Tue", "Wed", "Sun")
        assert "01:30" <= wall.strftime("%H:%M") < "15:00"
        today = sum(other.recorded_at.astimezone(WARSAW).date() == wall.date() for other in self.locks)
        assert today < min(limits.daily_limit, MAILBOX_LIMIT)
        # Before the last one the clock may have been set back; how far back says nothing of the pace.
        assert all(abs(locked.recorded_at - last) >= 0.8 * limits.delay for last in self.paced[-1:])
        assert locked.position not in self.skipped
        assert not self.accepted[locked.position]
        failed = {event.token for event in self.world.history if isinstance(event, e.EmailFailed)}
        earlier = {other.token for other in self.locks if other.position == locked.position}
        assert earlier <= failed | self.released

    def a_fact(self, token: str, outcome: str, failure: Failure) -> None:
        world = self.world
        events = {
            "sent": lambda: world.sent(token),
            "failed": lambda: world.failed(token, failure),
            "in doubt": lambda: world.in_doubt(token),
        }[outcome]()
        self.accepted.update(event.position for event in events if isinstance(event, e.EmailSent))
        assert len(set(kinds(events))) == len(events)

    def unless_refused(self, command: Callable[[], list[e.Event] | None]) -> list[e.Event] | None:
        """Refused is well and good, if nothing has changed."""
        before = (len(self.world.history), freeze(self.world.campaign))
        try:
            return command()
        except (CommandRefused, LockRefused):
            assert before == (len(self.world.history), freeze(self.world.campaign))
            return None


TestLivesOfACampaign = LivesOfACampaign.TestCase
TestLivesOfACampaign.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
