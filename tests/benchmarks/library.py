"""The `eventsourcing` library as it comes: its aggregate, its JSON transcoding and its SQLite recorders, by default.
The campaign in it is told the same history as ours, and keeps its leads in dictionaries.
"""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate

from domain import events as e
from tests.benchmarks.history import History

SETTINGS = {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "IS_SNAPSHOTTING_ENABLED": "y"}
EVENTS_A_SAVE = 1_000
"""More at once would take time that grows with the square of their number."""


class Autumn(Aggregate):
    """A campaign."""

    def __init__(self) -> None:
        self.states: dict[int, str] = {}
        self.tokens: dict[int, str] = {}

    class Queued(Aggregate.Event):
        """As `EmailQueued`."""

        position: int
        lead_id: int
        priority: int
        commitment: str
        v1_status: str

        def apply(self, aggregate: Any) -> None:
            aggregate.states[self.position] = "queued"

    class Locked(Aggregate.Event):
        """As `EmailLocked`."""

        position: int
        lead_id: int
        attempt: int
        sender: str
        epoch: int
        runner: str
        token: str
        due_at: datetime
        mailbox: str
        message_id: str
        date: datetime
        content_version: int
        revision: int
        commitment: str
        digest: str

        def apply(self, aggregate: Any) -> None:
            aggregate.states[self.position] = "locked"
            aggregate.tokens[self.position] = self.token

    class Sent(Aggregate.Event):
        """As `EmailSent`."""

        position: int
        lead_id: int
        attempt: int
        token: str
        code: int
        enhanced: str
        queue_id: str

        def apply(self, aggregate: Any) -> None:
            aggregate.states[self.position] = "sent"
            del aggregate.tokens[self.position]


KINDS: dict[type[e.Event], type[Aggregate.Event]] = {
    e.EmailQueued: Autumn.Queued,
    e.EmailLocked: Autumn.Locked,
    e.EmailSent: Autumn.Sent,
}


def write(path: Path, history: History) -> UUID:
    """The leads' events of this history's one campaign; where the aggregate is."""
    with closing(_application(path)) as application:
        campaign = Autumn()
        told = (event for event in history.events() if type(event) in KINDS)
        while some := list(islice(told, EVENTS_A_SAVE)):
            for event in some:
                campaign.trigger_event(KINDS[type(event)], **_said(event))
            application.save(campaign)
        return campaign.id


def load(path: Path, campaign: UUID) -> int:
    """Read the aggregate; its version."""
    with closing(_application(path)) as application:
        loaded: Autumn = application.repository.get(campaign)
        return loaded.version


def snapshot(path: Path, campaign: UUID) -> None:
    """Take the library's snapshot of it."""
    with closing(_application(path)) as application:
        application.take_snapshot(campaign)


def _application(path: Path) -> Application[UUID]:
    return Application({**SETTINGS, "SQLITE_DBNAME": str(path)})


def _said(event: e.Event) -> dict[str, Any]:
    ours = type(event).model_fields.keys() - e.Event.model_fields.keys() - {"imported"}  # of an old system's mails only
    return {name: getattr(event, name) for name in ours}
