"""What a world can be told of an old system that mails its campaign, and of the way from there to V2 and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from domain import analysis, cutover, observing
from domain import events as e
from domain.calendar import Schedule
from domain.campaign import Campaign, Status
from domain.commands import NewLead
from domain.cutover import Plan
from domain.mailbox import Mailbox
from domain.observing import OldMail, OldSettings, Origin
from domain.rules import Limits

SOURCE = "old.db"
MADE_THERE = datetime(2025, 1, 7, 9, tzinfo=UTC)


def origin(**said: Any) -> Origin:
    """The campaign of the old system, where it always was, unless told otherwise."""
    usual: dict[str, Any] = {"source": SOURCE, "created_at": MADE_THERE, "scheduled_at": None, "newest_row": 99}
    return Origin(**usual | said)


class Crossing:
    """The old system's doings and a cutover's steps: to be mixed into a world that has all of these."""

    now: datetime
    campaign: Campaign
    mailbox: Mailbox

    def save(self, events: Iterable[e.Event]) -> list[e.Event]:
        raise NotImplementedError

    # --- what the old system has ---

    def begin(
        self, *, schedule: Schedule, limits: Limits, settings: int = 3, content: int = 1, **there: Any
    ) -> list[e.Event]:
        """Its campaign is taken in, or what has changed of its settings; `settings` and `content` stand for digests."""
        old = OldSettings(
            name="Autumn",
            mailbox="sales",
            content_digest=f"{content:064x}",
            schedule=schedule,
            limits=limits,
            message_id_domain="example.com",
            digest=f"{settings:064x}",
        )
        return self.save(observing.begin(self.campaign, old, origin(**there), actor="anna", now=self.now))

    def add_leads(self, *statuses: e.V1Status, priority: int = 5) -> list[e.Event]:
        """One lead a status; lead numbers are position + 100."""
        first = len(self.campaign.roll) + 100
        leads = [NewLead(number, f"{number:064x}", priority, said) for number, said in enumerate(statuses, first)]
        return self.save(observing.add_leads(self.campaign, leads, now=self.now))

    def follow_statuses(self, statuses: Mapping[int, e.V1Status]) -> list[e.Event]:
        return self.save(observing.follow_statuses(self.campaign, statuses, now=self.now))

    def add_sends(self, *mails: tuple[int, int], ago: timedelta = timedelta()) -> list[e.Event]:
        """Rows of its SendLog, each a number and a position, all sent that long ago."""
        sent = [OldMail(row, position, f"<{row}@old.example>", self.now - ago) for row, position in mails]
        return self.save(observing.add_sends(self.campaign, self.mailbox, sent, now=self.now))

    def follow_life(self, status: Status, since: datetime | None = None) -> list[e.Event]:
        return self.save(observing.follow_life(self.campaign, status, since=since, now=self.now))

    def end(self, *observations: e.Observation, there: Origin | None = None, **rows: dict[str, int]) -> list[e.Event]:
        """The import is whole. `rows`: `send_log` and `queue`, by status."""
        said: dict[str, Any] = {"send_log": {}, "queue_rows": {}, **rows}
        by: dict[str, Any] = {"actor": "anna", "now": self.now}
        return self.save(observing.end(self.campaign, there or origin(), observations=observations, **by, **said))

    # --- the way to V2, and back ---

    def take_over(self) -> list[e.Event]:
        settled = timedelta(seconds=120)
        return self.save(
            observing.take_over(self.campaign, settled=settled, actor="anna", reason="cron removed", now=self.now)
        )

    def found(self) -> list[analysis.Finding]:
        """What an analysis finds now."""
        return analysis.analyse(self.campaign, self.mailbox, self.now)

    def plan(self) -> Plan:
        """The repairs of all that is found."""
        return cutover.plan_repairs(self.campaign, self.found())

    def fix(self, plan: str | None = None) -> list[e.Event]:
        """Apply the plan of this id; of what is found now unless told otherwise."""
        chosen = plan if plan is not None else self.plan().id
        return self.save(
            cutover.apply_plan(self.campaign, self.found(), chosen, actor="anna", reason="reviewed", now=self.now)
        )

    def flag(self) -> list[e.Event]:
        return self.save(cutover.flag(self.campaign, actor="anna", reason="next one", now=self.now))

    def migrate(self) -> list[e.Event]:
        return self.save(cutover.migrate(self.campaign, self.found(), actor="anna", reason="test week", now=self.now))

    def roll_back(self) -> list[e.Event]:
        return self.save(cutover.roll_back(self.campaign, actor="anna", reason="to be sure", now=self.now))
