"""Who wants no mail by the old database, in whatever campaign: on the list of those who must not be mailed."""

from __future__ import annotations

from collections.abc import Sequence

from domain.campaign import Campaign
from domain.commitments import suppression_key
from domain.events import Event
from projections.kept import SUPPRESS
from projections.times import time_text
from runner.leads.lookups import lookups
from runner.legacy.contacts import plain_address
from runner.legacy.importing import Source
from runner.legacy.lead_batches import BLOCKED_THERE
from runner.legacy.old_database import OldDatabase
from runner.store.ledger import Ledger
from runner.store.recorder import Kept


def list_blocked(ledger: Ledger, old: OldDatabase, source: Source) -> int:
    """Add those who are not on the list yet; how many. Where one waits, the gate before each mail looks there."""
    hmacs = {suppression_key(source.secret, plain_address(address)) for address in old.blocked()}
    new: set[str] = set()
    with lookups(ledger) as lookup:
        if not hmacs - lookup.suppressed(hmacs):
            return 0

        def decide(_states: Sequence[Campaign]) -> list[Event]:
            new.update(hmacs - lookup.suppressed(hmacs))
            return []

        def keep(_events: Sequence[Event]) -> list[Kept]:
            entry = {"reason": BLOCKED_THERE, "actor": source.actor, "added_at": time_text(source.now())}
            return [(SUPPRESS, [{"address_hmac": hmac, **entry} for hmac in sorted(new)])]

        ledger.on_campaigns((), decide, keep)
    return len(new)
