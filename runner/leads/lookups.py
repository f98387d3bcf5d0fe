"""Look-ups in the kept tables from inside a decision that holds the append lock.

They read by a connection of their own. The store's pool would not do: a thread that waits there for the append lock
keeps every other from taking a connection, the holder of the lock too. What they read is nevertheless the newest:
while the append lock is held, nobody else commits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, RowMapping, select

from projections.database import engine_for, reading
from projections.kept import contact, contacts, contacts_by_address, contacts_by_lead, in_lists, suppressed_among
from runner.store.ledger import Ledger


class Lookups:
    """Who is where, by address."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def contacts(self, campaign: int, keys: Collection[str]) -> dict[str, RowMapping]:
        """The contacts that a campaign has with these addresses, by casefolded address."""
        with reading(self._engine) as connection:
            return contacts_by_address(connection, campaign, keys)

    def contact(self, campaign: int, lead_id: int) -> RowMapping | None:
        """Who this lead is; None when there is none, or it was erased."""
        with reading(self._engine) as connection:
            return contact(connection, campaign, lead_id)

    def contacts_of_leads(self, campaign: int, lead_ids: Collection[int]) -> dict[int, RowMapping]:
        """Which of these leads the campaign has, by number."""
        with reading(self._engine) as connection:
            return contacts_by_lead(connection, campaign, lead_ids)

    def suppressed(self, hmacs: Collection[str]) -> set[str]:
        """Which of these must never be mailed."""
        with reading(self._engine) as connection:
            return suppressed_among(connection, hmacs)

    def places(self, keys: Collection[str]) -> dict[int, list[RowMapping]]:
        """Campaign, lead number and position of everybody with one of these addresses, by campaign."""
        found: dict[int, list[RowMapping]] = {}
        with reading(self._engine) as connection:
            for some in in_lists(keys):
                query = _PLACES.where(contacts.c.address_key.in_(some))
                for row in connection.execute(query).mappings():
                    found.setdefault(row["campaign_id"], []).append(row)
        return found


@contextmanager
def lookups(ledger: Ledger) -> Iterator[Lookups]:
    """Look-ups in this ledger's database."""
    engine = engine_for(ledger.url)
    try:
        yield Lookups(engine)
    finally:
        engine.dispose()


_PLACES = select(contacts.c.campaign_id, contacts.c.lead_id, contacts.c.position)
