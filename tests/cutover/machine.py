"""The machine: an adversary that decides what happens next, on both sides, to both runners, and between any two steps
of a mail. After every step all that must hold is checked, and in the end nobody may be left waiting.
"""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from typing import ClassVar, Literal, get_args

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.campaign import Status
from domain.events import Sender
from tests.cutover.desk import ACTS, MOST_LEADS, Act, Desk
from tests.cutover.dialogue import BodyAnswer, DotAnswer, Stage
from tests.cutover.faults import Fault, SetClock
from tests.cutover.old_side import DEEDS, KINDS, NUMBER, Deed, Kind, OldSide
from tests.cutover.world import RUNNERS, World
from tests.databases import Databases

Beginning = Literal["there", "observed", "ours", "on V2"]

OFTEN: tuple[Act, ...] = ("migrate", "roll back", "migrate", "roll back", "find out", "find out")
STARTS = st.sampled_from(
    [datetime.fromisoformat(at) for at in ("2025-03-04T11:00Z", "2025-03-29T23:00Z", "2025-10-25T23:30Z")]
)
"""A Tuesday noon in Warsaw, and the nights in which its clocks change."""
MOVES = st.sampled_from([timedelta(seconds=s) for s in (-86_400, -1200, -30, 1, 60, 480, 900, 3600, 21_600, 86_400)])
LIMITS = st.sampled_from([(0, 3), (0, 9), (600, 9), (90, 4)])
"""Seconds between mails, and mails a day."""
NTH = st.integers(0, 5)
WHICH = st.sampled_from(RUNNERS)
BODY: st.SearchStrategy[BodyAnswer] = st.sampled_from(
    ("taken", "taken", "taken", "taken", "taken", "taken", "refused", "greylisted", "going away", "lost")
)
DOT: st.SearchStrategy[DotAnswer] = st.sampled_from(("accepted", "accepted", "accepted", *get_args(DotAnswer)))
FAULT = st.sampled_from(
    [*[None] * 8, Fault("before"), Fault("after"), Fault("before", kills=True), Fault("after", kills=True)]
)
TOLD = st.sampled_from([*[None] * 4, Fault("before"), Fault("after")])
"""What may strike a person's command: whoever is told of an error, and does not know which it was."""
BROKEN_OFF = st.one_of(
    st.none(), st.builds(Fault, when=st.sampled_from(("before", "after")), others_first=st.integers(0, 4))
)
STAGE: st.SearchStrategy[Stage] = st.sampled_from(("body held", "body held", "locked", "answered"))
Trouble = Literal["the other runner mails", "crash", "import"]
MEANWHILE: st.SearchStrategy[Act | Trouble] = st.sampled_from((*[*get_args(Trouble), *OFTEN] * 3, *ACTS))
MOST_DIALOGUES = 2
LONG_LIFE = 60
"""Events after which a campaign may be cancelled, or be over there: not so early that little has happened."""
VIEWS_EVERY = 25
ITS_WORK: tuple[Deed, ...] = ("takes", "takes", "mails", "mails", "logs", "marks", "resets", "mails and finishes")
PATIENT = st.sampled_from((True, True, False))
PATIENCE = 40
"""Mails that it may take until nobody waits any more."""


class Crossing(RuleBasedStateMachine):
    """Every command may come at any time; what is refused changes nothing."""

    beginnings: ClassVar[tuple[Beginning, ...]] = ("there", "observed", "ours", "ours", "on V2", "on V2")
    stands: ClassVar[tuple[Kind, ...]] = ()
    """Leads that there are in any case, by how they stand in the old application."""
    to_the_end: ClassVar[bool] = True
    """Are the views and the program's own checks held against it too, which takes long?"""

    def __init__(self, databases: Databases) -> None:
        super().__init__()
        self._databases = databases
        self._world: World | None = None
        self.steps = 0

    @initialize(
        now=STARTS,
        odd=st.lists(st.sampled_from(KINDS), max_size=4, unique=True),
        limits=LIMITS,
        mailbox_limit=st.sampled_from((4, 50)),
        nth=NTH,
    )
    def begin(self, now: datetime, odd: list[Kind], limits: tuple[int, int], mailbox_limit: int, nth: int) -> None:
        beginning = self.beginnings[nth % len(self.beginnings)]
        self._world = World(self._databases.made(), SetClock(now), mailbox_limit)
        self.old = OldSide(self.world.old_url, now, [*self.stands, *odd], *limits)
        self.desk = Desk(self.world, self.old)
        if beginning == "there":
            return
        self.world.import_there(self.old)
        if beginning == "observed":
            return
        self.desk.mend()
        self.world.take_over(self.old)
        if beginning == "on V2":
            self.desk.act("migrate", 0, limits, None)

    # --- time ---

    @rule(move=MOVES)
    def time_goes_by(self, move: timedelta) -> None:
        self.world.clock.pass_by(move)

    # --- the old application ---

    @precondition(lambda self: self.is_there)
    @rule(deeds=st.lists(st.sampled_from((*ITS_WORK * 3, *DEEDS)), min_size=1, max_size=4), nth=NTH)
    def the_old_application_works(self, deeds: list[Deed], nth: int) -> None:
        for deed in deeds:
            if deed in ("adds", "adds a twin") and len(self.world.people()) >= MOST_LEADS:
                continue
            self.world.clock.pass_until(self.old.do(deed, nth, self.world.clock.now()))

    @precondition(lambda self: not self.is_there)
    @rule(nth=NTH, deed=st.sampled_from(("mails a lead", "mails an address", "blocks")))
    def the_old_application_was_not_stopped(self, nth: int, deed: str) -> None:
        now = self.world.clock.now()
        if deed == "blocks":
            self.world.clock.pass_until(self.old.blocks_after_all(nth, now))
        else:
            self.world.clock.pass_until(self.old.mails_after_all(nth, now, names_lead=deed == "mails a lead"))

    @rule(fault=BROKEN_OFF)
    def it_is_imported(self, fault: Fault | None) -> None:
        self.world.import_there(self.old, fault)

    @precondition(lambda self: self.is_there and self.world.judge.events)
    @rule(mended=st.sampled_from((True, True, False)), fault=BROKEN_OFF)
    def it_is_taken_over(self, mended: bool, fault: Fault | None) -> None:
        if mended:
            self.world.import_there(self.old)
            self.desk.mend()
        self.world.take_over(self.old, fault)

    # --- persons ---

    @rule(act=st.sampled_from((*OFTEN, *ACTS)), nth=NTH, limits=LIMITS, fault=TOLD)
    def a_person_acts(self, act: Act, nth: int, limits: tuple[int, int], fault: Fault | None) -> None:
        """What is refused changes nothing."""
        if act != "cancel" or len(self.world.judge.events) > LONG_LIFE:
            self.desk.act(act, nth, limits, fault)

    # --- runners, and the steps of a mail ---

    @precondition(lambda self: not self.is_there)
    @rule(which=WHICH, sender=st.sampled_from(("owner", "owner", "v1", "v2")), patient=PATIENT, looks=PATIENT)
    def a_sender_ticks(self, which: int, sender: Sender | Literal["owner"], patient: bool, looks: bool) -> None:
        """As far as the body of a mail. A tick that goes on does not look what others have done since it began."""
        if patient:
            self.world.wait_until_a_mail_may_leave()
        runner = self.world.runner(which)
        if len(runner.dialogues) < MOST_DIALOGUES:
            tick = runner.tick if looks else runner.mail
            tick(self.world.judge.owner if sender == "owner" else sender, NUMBER)

    @precondition(lambda self: self.world.dialogues())
    @rule(nth=NTH, steps=st.integers(1, 3), body=BODY, dot=DOT, fault=FAULT, stops=st.booleans())
    def a_mail_goes_on(
        self, nth: int, steps: int, body: BodyAnswer, dot: DotAnswer, fault: Fault | None, stops: bool
    ) -> None:
        """By one step: lock, dot, record; or by more, and the fault strikes in the last. Where an outcome cannot be
        stored it is tried again; a runner that is told to stop leaves it in its journal."""
        dialogues = self.world.dialogues()
        which, dialogue = dialogues[nth % len(dialogues)]
        dialogue.body_answer, dialogue.dot_answer = body, dot
        for step in range(steps):
            if dialogue.over:
                return
            last = step == steps - 1
            if last and fault is not None and stops and dialogue.stage == "answered":
                self.world.runners[which].stopping.set()
            self.world.go_on(which, dialogue, fault if last else None)

    @precondition(lambda self: not self.is_there)
    @rule(which=WHICH, dot=DOT, stage=STAGE, meanwhile=st.lists(MEANWHILE, max_size=2), nth=NTH, limits=LIMITS)
    def a_mail_leaves(
        self,
        which: int,
        dot: DotAnswer,
        stage: Stage,
        meanwhile: list[Act | Trouble],
        nth: int,
        limits: tuple[int, int],
    ) -> None:
        """From its tick to its end; when it has come to this stage, something else happens first."""
        dialogue = self.world.begin(which)
        if dialogue is None:
            return
        dialogue.dot_answer = dot
        while not dialogue.over:
            if dialogue.stage == stage:
                for each in meanwhile:
                    self._meanwhile(each, which, nth, limits)
                    self.world.check(self.old)
            if not dialogue.over:
                self.world.go_on(which, dialogue)
                self.world.check(self.old)

    def _meanwhile(self, what: Act | Trouble, which: int, nth: int, limits: tuple[int, int]) -> None:
        match what:
            case "the other runner mails":
                self.world.deliver(1 - which, "accepted")
            case "crash":
                self._crash(which, swept=bool(nth % 2))
            case "import":
                self.world.import_there(self.old)
            case "cancel":
                pass
            case _:
                self.desk.act(what, nth, limits, None)

    @precondition(lambda self: self.world.runners)
    @rule(which=WHICH, swept=st.booleans())
    def a_runner_crashes(self, which: int, swept: bool) -> None:
        self._crash(which, swept)

    def _crash(self, which: int, swept: bool) -> None:
        self.world.crash(which)
        if swept:
            self.world.runner(1 - which).sweep(NUMBER)

    @rule()
    def the_views_follow(self) -> None:
        self.world.projector.catch_up()

    # --- what must hold ---

    @invariant()
    def all_is_well(self) -> None:
        if self._world is None:
            return
        self.world.check(self.old)
        self.steps += 1
        if self.steps % VIEWS_EVERY == 0 and self.to_the_end:
            self.world.check_views()

    def teardown(self) -> None:
        if self._world is None:
            return
        try:
            if sys.exc_info()[0] is None:
                self._come_to_rest()
                if self.to_the_end:
                    self.world.check_views()
                    self.world.check_by_the_program()
        finally:
            self.old.close()
            self.world.close()

    def _come_to_rest(self) -> None:
        """Nothing strikes any more, and persons do what they are there for: then nobody is left waiting."""
        for which, dialogue in self.world.dialogues():
            self.world.end(which, dialogue, "accepted")
        for which in RUNNERS:
            self.world.crash(which)
        if self.is_there:
            return
        self.world.runner(0).sweep(NUMBER)
        for _ in range(PATIENCE):
            if not self._one_more():
                break
            self.world.check(self.old)
        campaign = self.world.campaign
        left = [str(campaign.roll.state(at)) for at in range(len(campaign.roll))]
        assert not campaign.waiting, f"somebody waits for ever: {campaign.status} {campaign.owner} {left}"

    def _one_more(self) -> bool:
        """All in doubt are found out, and one more mail leaves. False when all is done."""
        for attempt in self.world.doubtful():
            self.world.tried(lambda attempt=attempt: self.world.resolve(attempt, self.old))  # type: ignore[misc]
        self.desk.mend()
        campaign = self.world.campaign
        if not campaign.waiting or campaign.status is Status.CANCELLED:
            return False
        for act in ("resume", "mailbox"):
            self.desk.act(act, 0, (0, 9), None)
        self.world.clock.pass_by(timedelta(hours=4))  # the longest back-off
        self.world.wait_until_a_mail_may_leave()
        self.world.deliver(0, "accepted")
        return True

    # --- how it is done ---

    @property
    def world(self) -> World:
        assert self._world is not None
        return self._world

    @property
    def is_there(self) -> bool:
        """Does the old application mail the campaign?"""
        return self.world.judge.observed or not self.world.judge.events
