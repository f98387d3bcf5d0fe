"""What persons do at their desk: any command at any time, and what is refused or struck is theirs to try again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

from domain import commands
from domain import mailbox as mailboxes
from domain.campaign import Campaign
from domain.cutover import flag
from domain.events import Event
from domain.leads import LeadState
from domain.rules import Limits
from runner import cutover
from runner.leads.importing import import_leads
from runner.suppression import suppress
from tests.cutover.faults import Fault
from tests.cutover.old_side import NUMBER, OldSide
from tests.cutover.world import MAILBOX, World
from tests.databases import SECRET

Act = Literal[
    "review", "apply", "flag", "migrate", "roll back", "retire V1", "pause", "resume", "start", "cancel",
    "limits", "suppress", "leads", "find out", "another chance", "mailbox",
]  # fmt: skip
ACTS: tuple[Act, ...] = get_args(Act)

WHO = {"actor": "anna", "reason": "as agreed"}
MOST_LEADS = 8


class Desk:
    """On one campaign, by one view of the ledger."""

    def __init__(self, world: World, old: OldSide) -> None:
        self._world, self._old = world, old
        self._ledger, self._clock = world.desk, world.clock
        self._plan = ""

    def act(self, act: Act, nth: int, limits: tuple[int, int], fault: Fault | None) -> None:
        """Do it. `nth` chooses among persons or leads, `limits` are delay and daily limit."""
        if (command := self._command(act, nth, limits)) is not None:
            self._world.tried(command, fault)

    def mend(self) -> None:
        """Whatever is fixable."""
        for act in ("review", "apply"):
            self.act(act, 0, (0, 9), None)

    def _command(self, act: Act, nth: int, limits: tuple[int, int]) -> Callable[[], object] | None:
        ledger, now = self._ledger, self._clock.now()
        match act:
            case "review":
                return self._review
            case "apply":
                return lambda: cutover.apply_plan(ledger, NUMBER, self._plan, **WHO, now=now)
            case "flag":
                return self._decided(lambda campaign: flag(campaign, **WHO, now=now))
            case "migrate":
                return lambda: cutover.migrate(ledger, NUMBER, **WHO, now=now)
            case "roll back":
                return lambda: cutover.roll_back(ledger, NUMBER, **WHO, now=now)
            case "retire V1":
                return lambda: cutover.retire_v1(ledger, **WHO, now=now)
            case "pause" | "resume" | "start" | "cancel":
                return self._decided(lambda campaign: getattr(commands, act)(campaign, **WHO, now=now))
            case "limits":
                new = Limits(delay_s=limits[0], daily_limit=limits[1], max_attempts=3)
                return self._decided(lambda campaign: commands.edit(campaign, limits=new, actor="anna", now=now))
            case "another chance":
                failed = list(self._world.campaign.roll.positions(LeadState.FAILED))
                said = {"reason": "mended", "actor": "anna"}
                return self._decided(lambda campaign: commands.requeue_failed(campaign, failed, **said, now=now))
            case "mailbox":
                return lambda: ledger.on_mailbox(MAILBOX, lambda mailbox: mailboxes.resume(mailbox, **WHO, now=now))
            case _:
                return self._about_somebody(act, nth)

    def _about_somebody(self, act: Act, nth: int) -> Callable[[], object] | None:
        ledger, now = self._ledger, self._clock.now
        people, doubtful = sorted(set(self._world.people().values())), self._world.doubtful()
        if act == "suppress" and people:
            return lambda: suppress(ledger, SECRET, [people[nth % len(people)]], **WHO, now=now)
        if act == "leads" and people:
            path = self._file(people, nth)
            return lambda: import_leads(ledger, NUMBER, path, secret=SECRET, now=now)
        if act == "find out" and doubtful:
            return lambda: self._world.resolve(doubtful[nth % len(doubtful)], self._old)
        return None

    def _review(self) -> None:
        self._plan = cutover.plan(self._ledger, NUMBER, self._clock.now()).id

    def _decided(self, decide: Callable[[Campaign], list[Event]]) -> Callable[[], object]:
        return lambda: self._ledger.on_campaign(NUMBER, decide, first_in_line=True)

    def _file(self, people: list[str], nth: int) -> Path:
        """One of them has other data, and somebody new may come."""
        new = [f"new{nth}@firma.example"] if nth % 2 and len(people) < MOST_LEADS else []
        rows = [f"{address},{'ABC'[nth % 3]},Kuźnia" for address in (people[nth % len(people)], *new)]
        path = self._world.folder / "leads.csv"
        path.write_text("\n".join(["email,firstName,company", *rows]) + "\n", encoding="utf-8")
        return path
