"""Recording outcomes: in the ledger, or in the journal while the database is away. A fact is never dropped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event as Flag

import structlog
from eventsourcing.persistence import PersistenceError

from domain import commands
from domain.campaign import Campaign
from domain.commands import Failure
from domain.events import EmailFailed, EmailSent, Event
from projections.kept import KEEP_REPLY
from runner.clock import Clock
from runner.sending.journal import Journal, Outcome, journals
from runner.sending.liveness import Liveness
from runner.store.ledger import KeepFor, Ledger, campaign_number
from runner.store.recorder import Kept

RETRY_EVERY_S = 2.0
"""Between two tries to store an outcome, while the database is away."""

GONE = "its runner is gone"

log = structlog.get_logger()


class Recording:
    """Records what became of locked mails."""

    def __init__(self, ledger: Ledger, journal: Journal, clock: Clock, stopping: Flag) -> None:
        self._ledger = ledger
        self._journal = journal
        self._clock = clock
        self._stopping = stopping

    def record(self, outcome: Outcome, reply: str = "") -> bool:
        """Into the ledger, with the server's reply beside the contact. While the database is away: into the journal,
        and again until it is taken or the runner stops. False when the ledger did not take it."""
        journaled = False
        while True:
            try:
                record_outcome(self._ledger, outcome, self._clock, reply)
                return True
            except PersistenceError:
                journaled = journaled or self._journaled(outcome)
            if self._stopping.wait(RETRY_EVERY_S):
                return False

    def _journaled(self, outcome: Outcome) -> bool:
        try:
            self._journal.write(outcome)
        except OSError as error:  # a full disk takes neither: the fact stays in memory, and no new work is begun
            log.error("outcome neither recorded nor journaled", campaign=outcome.campaign, problem=error.strerror)
            return False
        log.error("outcome journaled: the database does not take it", campaign=outcome.campaign)
        return True


def record_outcome(ledger: Ledger, outcome: Outcome, clock: Clock, reply: str = "") -> list[Event]:
    """One outcome as events; none when the ledger knows it already.

    If the state held here lacks the lock that is answered, as where the answer of its commit was lost, it is decided
    inside the append lock, on all that is stored: else there would seem to be nothing to record.
    """
    with ledger.campaign(outcome.campaign) as campaign:
        known = outcome.token in campaign.open
    return ledger.on_campaign(outcome.campaign, _decision(outcome, clock), keep_reply(reply), first_in_line=not known)


def keep_reply(text: str) -> KeepFor | None:
    """Keeps a server's words beside the contact, with the events that say its code."""
    return (lambda events: _reply_rows(events, text)) if text else None


def replay_journals(ledger: Ledger, folder: Path, alive: Liveness, clock: Clock) -> int:
    """Record what runners that are gone had journaled; how many facts were new to the ledger."""
    found = 0
    for runner, outcomes in journals(folder):
        if alive.is_gone_here(runner):
            found += sum(bool(record_outcome(ledger, outcome, clock)) for outcome in outcomes)
    return found


def sweep(ledger: Ledger, number: int, alive: Liveness, clock: Clock) -> list[Event]:
    """Put in doubt every lock of this campaign whose runner is gone without an outcome."""
    with ledger.campaign(number) as campaign:
        locked = [] if campaign.observed else campaign.locked()
    gone = {attempt.token for attempt in locked if alive.is_gone(attempt.runner, attempt.locked_at, clock.now())}
    if not gone:
        return []

    def decide(campaign: Campaign) -> list[Event]:
        # One at a time: each event's number follows the last, and completion is decided on what came before.
        attempt = next((a for a in campaign.locked() if a.token in gone), None)
        if attempt is None:
            return []
        return commands.record_in_doubt(campaign, attempt.token, GONE, now=clock.now())

    swept: list[Event] = []
    while events := ledger.on_campaign(number, decide):
        swept += events
    log.warning("mails put in doubt: their runner is gone", campaign=number, mails=len(swept))
    return swept


def _decision(outcome: Outcome, clock: Clock) -> Callable[[Campaign], list[Event]]:
    def decide(campaign: Campaign) -> list[Event]:
        now = clock.now()
        occurred_at = outcome.at if outcome.at != now else None
        match outcome.kind:
            case "sent":
                return commands.record_sent(
                    campaign,
                    outcome.token,
                    code=outcome.code or 0,
                    enhanced=outcome.enhanced,
                    queue_id=outcome.queue_id,
                    now=now,
                    occurred_at=occurred_at,
                )
            case "failed":
                failure = Failure(outcome.phase, outcome.permanent, outcome.code, outcome.enhanced)
                return commands.record_failed(campaign, outcome.token, failure, now=now, occurred_at=occurred_at)
            case _:
                return commands.record_in_doubt(campaign, outcome.token, outcome.cause, now=now)

    return decide


def _reply_rows(events: Sequence[Event], text: str) -> list[Kept]:
    rows = [
        {
            "campaign_id": campaign_number(event.originator_id),
            "lead_id": event.lead_id,
            "attempt": event.attempt,
            "text": text,
        }
        for event in events
        if isinstance(event, EmailSent | EmailFailed)
    ]
    return [(KEEP_REPLY, rows)] if rows else []
