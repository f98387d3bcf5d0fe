"""Random lives of two campaigns on one mailbox: anything may happen to any lead; what is refused does not.
Where the first one is an old system's, that system mails it, until it is taken over, and may go on even then.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from hypothesis import strategies as st

from domain import commands, cutover
from domain import events as e
from domain import mailbox as mailboxes
from domain.analysis import BLOCKED, NO_LEAD_ID_KNOWN, ONE_ADDRESS, QUEUE_OTHER, QUEUE_SENDING, QUEUE_SENT
from domain.calendar import WEEK, Schedule
from domain.campaign import Status
from domain.commands import Failure
from domain.errors import CommandRefused
from domain.events import Observation
from domain.leads import V1_STATUSES
from domain.rules import Limits
from domain.snapshot import freeze, thaw
from tests.domain.given import GREYLISTED, PERMANENT, REFUSED, TEMPORARY, digest
from tests.projections.given import two_campaigns

LEADS = 3
"""Of each campaign at its start."""

BEFORE_LOCK = (REFUSED, GREYLISTED, Failure(phase="local", permanent=True))
SEEN = (BLOCKED, NO_LEAD_ID_KNOWN, ONE_ADDRESS, QUEUE_OTHER, QUEUE_SENDING, QUEUE_SENT)
"""What an import may write down."""
ZONES = ("Europe/Warsaw", "Asia/Kathmandu", "America/Los_Angeles")

Step = tuple[int, str, int, int]
"""Which campaign, what happens, to which lead, in which variant."""


class Life:
    """Two campaigns and their common history."""

    def __init__(self, *, observed: bool = False) -> None:
        self.worlds = two_campaigns(observed=observed, limits=Limits(daily_limit=1000, delay_s=0, max_attempts=3))
        self.world = self.worlds[0]
        self._tokens: list[str] = []
        self._rows = 0
        for world in self.worlds:
            if world.campaign.observed:
                world.add_leads("queued", "planned", "queued")
                world.follow_life(Status.RUNNING)
            else:
                world.queue(*range(LEADS))
                world.start()

    @property
    def history(self) -> list[e.Event]:
        return self.worlds[0].history

    def live(self, steps: list[Step]) -> Life:
        for campaign, name, position, variant in steps:
            self.world = self.worlds[campaign]
            self._set_clocks(self.world.now + timedelta(minutes=7))
            try:
                ALL_STEPS[name](self, position % len(self.world.campaign.roll), variant)
            except CommandRefused:
                continue
        return self

    def lock(self, position: int, _variant: int) -> None:
        self._set_clocks(self.world.now + timedelta(hours=4))  # any back-off is over
        self._tokens.append(self.world.lock(position))

    def token(self, position: int, variant: int) -> str:
        """A lock of this lead, the newest or an older one; of any lead of the campaign if it has none."""
        own = [token for token in self._tokens if token in self.world.campaign.open]
        held = [token for token in own if self.world.campaign.open[token].position == position]
        chosen = held or own
        if not chosen:
            raise CommandRefused("nothing was locked yet")
        return chosen[-1 - variant % len(chosen)]

    def sent(self, position: int, variant: int) -> None:
        self.world.sent(self.token(position, variant))

    def failed(self, position: int, variant: int) -> None:
        self.world.failed(self.token(position, variant), PERMANENT if variant % 3 == 0 else TEMPORARY)

    def in_doubt(self, position: int, variant: int) -> None:
        self.world.in_doubt(self.token(position, variant))

    def refused(self, position: int, variant: int) -> None:
        self.world.refused_before_lock(position, BEFORE_LOCK[variant % 3])

    def resolved(self, position: int, variant: int) -> None:
        self.world.resolve(position, "sent" if variant % 3 == 0 else "not sent")

    def queued(self, _position: int, variant: int) -> None:
        self.world.queue(variant)

    def changed(self, position: int, variant: int) -> None:
        events = commands.change_contacts(self.world.campaign, {position: digest(variant)}, now=self.world.now)
        self.world.save(events)

    def edited(self, _position: int, variant: int) -> None:
        always = Schedule(zone=ZONES[variant % 3], weekdays=WEEK, start="00:00", end="24:00")
        limits = Limits(daily_limit=1000 + variant, delay_s=0, max_attempts=3)
        self.world.edit(content_digest=digest(variant), schedule=always, limits=limits)

    def clock_jumps(self, _position: int, variant: int) -> None:
        self._set_clocks(self.world.now + timedelta(hours=variant - 3))

    def mailbox(self, _position: int, variant: int) -> None:
        box, now = self.world.mailbox, self.world.now
        if variant % 3 == 0:
            self.world.save(mailboxes.delay(box, phase="mail", code=421, enhanced=None, now=now))
        elif variant % 3 == 1:
            self.world.save(mailboxes.pause(box, actor="anna", reason="login refused", now=now))
        else:
            self.world.save(mailboxes.resume(box, actor="anna", reason=None, now=now))

    def restarted(self, _position: int, _variant: int) -> None:
        self.world.campaign = thaw(self.world.campaign.stream, freeze(self.world.campaign))

    # --- an old system, and the way from there ---

    def old_status(self, position: int, variant: int) -> None:
        self.world.follow_statuses({position: V1_STATUSES[variant]})

    def old_lead(self, _position: int, variant: int) -> None:
        self.world.add_leads(V1_STATUSES[variant])

    def old_mail(self, position: int, variant: int) -> None:
        """A row of its SendLog: a new one, or one that is known or was passed over."""
        row = self._rows + variant - 1
        self._rows = max(self._rows, row)
        self.world.add_sends((row, position), ago=timedelta(hours=20 * variant))

    def old_mails(self, position: int, variant: int) -> None:
        """Several at once, not in their order."""
        first, self._rows = self._rows + 1, self._rows + 3
        other = variant % len(self.world.campaign.roll)
        self.world.add_sends((first + 2, position), (first, other), (first + 1, position))

    def old_settings(self, _position: int, variant: int) -> None:
        always = Schedule(zone=ZONES[variant % 3], weekdays=WEEK, start="00:00", end="24:00")
        limits = Limits(daily_limit=1000 + variant, delay_s=0, max_attempts=3)
        self.world.begin(schedule=always, limits=limits, settings=variant, content=variant)

    def import_ends(self, position: int, variant: int) -> None:
        leads = tuple(sorted({100 + position, 100 + variant}))
        self.world.end(Observation(rule=SEEN[variant], leads=leads, rows=(variant,)), send_log={"sent": variant})

    def migration_refused(self, _position: int, variant: int) -> None:
        refused = CommandRefused(f"reason {variant % 2}")
        self.world.save(cutover.refuse_flagged(self.world.campaign, refused, now=self.world.now))

    def _set_clocks(self, now: datetime) -> None:
        for world in self.worlds:
            world.now = now


STEPS: dict[str, Callable[[Life, int, int], object]] = {
    "lock": Life.lock,
    "sent": Life.sent,
    "failed": Life.failed,
    "in doubt": Life.in_doubt,
    "resolved": Life.resolved,
    "refused": Life.refused,
    "queued": Life.queued,
    "contact changed": Life.changed,
    "edited": Life.edited,
    "mailbox": Life.mailbox,
    "clock jumps": Life.clock_jumps,
    "skipped": lambda life, position, _: life.world.skip(position),
    "requeued": lambda life, position, _: life.world.requeue(position),
    "paused": lambda life, *_: life.world.pause(),
    "resumed": lambda life, *_: life.world.resume(),
    "cancelled": lambda life, *_: life.world.cancel(),
    "restarted": Life.restarted,
    "fixed": lambda life, *_: life.world.fix(),
    "flagged": lambda life, *_: life.world.flag(),
    "migration refused": Life.migration_refused,
    "migrated": lambda life, *_: life.world.migrate(),
    "rolled back": lambda life, *_: life.world.roll_back(),
}
OLD_STEPS: dict[str, Callable[[Life, int, int], object]] = {
    "old status": Life.old_status,
    "old lead": Life.old_lead,
    "old mail": Life.old_mail,
    "old mails": Life.old_mails,
    "old settings": Life.old_settings,
    "old life": lambda life, _, variant: life.world.follow_life(list(Status)[variant % len(Status)]),
    "import ends": Life.import_ends,
    "taken over": lambda life, *_: life.world.take_over(),
}
ALL_STEPS = STEPS | OLD_STEPS
OFTEN = ["lock", "lock", "lock", "sent", "failed", "in doubt", "in doubt", "resolved", "resolved"]
FEW_LEADS = st.integers(0, LEADS - 1)
ONE_STEP = st.tuples(st.integers(0, 1), st.sampled_from([*OFTEN, *STEPS]), FEW_LEADS, st.integers(0, 5))
SOME_STEPS = st.lists(ONE_STEP, min_size=10, max_size=60)
WHILE_OBSERVED = [
    *["old status"] * 12,
    *["old mail"] * 3,
    "fixed",
    "fixed",
    "resolved",
    "resolved",
    "skipped",
    *OLD_STEPS,
]
SINCE = [*OFTEN, *OFTEN, "old mail", "old mails", "migrated", "rolled back", *STEPS]
TAKEOVER: list[Step] = [(0, "import ends", 0, 3), (0, "fixed", 0, 0), (0, "taken over", 0, 0), (0, "resumed", 0, 0)]
SOME_OLD_STEPS = st.tuples(
    st.lists(st.tuples(st.just(0), st.sampled_from(WHILE_OBSERVED), FEW_LEADS, st.integers(0, 5)), max_size=25),
    st.sampled_from([[], TAKEOVER, TAKEOVER, TAKEOVER]),
    st.lists(st.tuples(st.just(0), st.sampled_from(SINCE), FEW_LEADS, st.integers(0, 5)), min_size=5, max_size=35),
).map(lambda parts: [step for part in parts for step in part])
"""An old system's doings, most often a take-over, and ours."""

LATE_TRUTH: list[Step] = [
    *[(0, "lock", 0, 0), (0, "in doubt", 0, 0), (0, "resolved", 0, 1)],
    *[(0, "lock", 0, 0), (0, "in doubt", 0, 0), (0, "resolved", 0, 1)],
    *[(0, "sent", 0, 1), (0, "failed", 0, 0)],
]
ACCEPTED_WHILE_LOCKED: list[Step] = [
    *[(0, "lock", 0, 0), (0, "in doubt", 0, 0), (0, "resolved", 0, 1)],
    *[(0, "lock", 0, 0), (0, "sent", 0, 1), (0, "failed", 0, 0)],
]
SKIPPED_AFTER_DOUBT: list[Step] = [
    *[(0, "lock", 0, 0), (0, "in doubt", 0, 0), (0, "resolved", 0, 1), (0, "skipped", 0, 0), (0, "failed", 0, 0)],
]
CLOCK_BEHIND: list[Step] = [(0, "lock", 0, 0), (0, "clock jumps", 0, 0), (0, "refused", 1, 0)]
ONE_LEAD_AFTER_ANOTHER: list[Step] = [
    *[(0, "lock", 0, 0), (0, "in doubt", 0, 0), (0, "resolved", 0, 1), (0, "lock", 1, 0), (0, "queued", 0, 0)],
]
REFUSED_TWICE: list[Step] = [(0, "refused", 0, 1), (0, "refused", 0, 0)]
MAILED_TWICE: list[Step] = [
    *[(1, "lock", 0, 0), (1, "in doubt", 0, 0), (1, "resolved", 0, 1)],
    *[(1, "lock", 0, 0), (1, "sent", 0, 0), (1, "sent", 0, 0)],
]
CANCELLED_ON_THE_WAY: list[Step] = [
    *[(0, "lock", 0, 0), (0, "failed", 0, 1), (1, "lock", 0, 0), (1, "failed", 0, 1)],
    *[(0, "lock", 1, 0), (0, "cancelled", 0, 0), (0, "failed", 1, 1)],
]
SENDING, SENT, FAILED, WAITS = (V1_STATUSES.index(status) for status in ("sending", "sent", "failed", "queued"))
OLD_MAIL_AFTER_A_PERSONS_WORD: list[Step] = [
    *[(0, "old status", 0, SENDING), (0, "import ends", 0, 3), (0, "taken over", 0, 0), (0, "resolved", 0, 1)],
    *[(0, "lock", 0, 0), (0, "sent", 0, 0), (0, "old mails", 0, 1), (0, "old mails", 0, 2), (0, "old mail", 0, 2)],
]
OLD_MAIL_WHILE_LOCKED: list[Step] = [
    *[(0, "import ends", 0, 3), (0, "taken over", 0, 0), (0, "lock", 0, 0), (0, "old mail", 0, 2)],
    *[(0, "old mail", 0, 2), (0, "in doubt", 0, 0), (0, "resolved", 0, 1)],
]
OLD_ATTEMPTS: list[Step] = [
    *[(0, "old status", 0, SENDING), (0, "old status", 0, FAILED), (0, "old status", 0, WAITS)],
    *[(0, "old status", 0, SENDING), (0, "old status", 0, SENT), (0, "old mails", 0, 1), (0, "old status", 0, WAITS)],
]
CROSSED_AND_BACK: list[Step] = [
    *[(0, "old status", 1, SENDING), (0, "import ends", 0, 4), (0, "fixed", 0, 0), (0, "taken over", 0, 0)],
    *[(0, "flagged", 0, 0), (0, "migration refused", 0, 0), (0, "migrated", 0, 0), (0, "lock", 2, 0)],
    *[(0, "rolled back", 0, 0), (0, "sent", 2, 0), (0, "resolved", 1, 1), (0, "migrated", 0, 0), (0, "old life", 0, 1)],
]
OLD_ATTEMPT_AFTER_DOUBT: list[Step] = [
    *[(0, "old status", 0, SENDING), (0, "import ends", 0, 3), (0, "fixed", 0, 0), (0, "resolved", 0, 1)],
    *[(0, "old status", 0, SENDING), (0, "old status", 0, SENT)],
]
