"""Who wants no mail by the old database, in whatever campaign: on the list of those who must not be mailed."""

from __future__ import annotations

from collections.abc import Sequence

from domain.campaign import Campaign
from domain.commitments import suppression_key
from domain.events import Event
from runner.leads.lookups import lookups
from runner.legacy.contacts import plain_address
from runner.legacy.importing import Source
from runner.legacy.lead_batches import listed
from runner.legacy.old_database import OldDatabase
from runner.store.ledger import Ledger
from runner.store.recorder import Kept


def list_blocked(ledger: Ledger, old: OldDatabase, source: Source) -> None:
    """Add those who are not on the list yet. Where one waits, the gate before each mail looks there."""
    hmacs = {suppression_key(source.secret, plain_address(address)) for address in old.blocked()}
    new: set[str] = set()
    with lookups(ledger) as lookup:
        if not hmacs - lookup.suppressed(hmacs):
            return

        def decide(_states: Sequence[Campaign]) -> list[Event]:
            new.update(hmacs - lookup.suppressed(hmacs))
            return []

        def keep(_events: Sequence[Event]) -> list[Kept]:
            return [listed(new, source.actor, source.now())]

        ledger.on_campaigns((), decide, keep)
