"""Deciding on everybody with some addresses, in whatever campaigns they are, in one append."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from sqlalchemy import RowMapping

from domain.campaign import Campaign
from domain.events import Event
from runner.leads.lookups import Lookups
from runner.store.ledger import KeepFor, Ledger, campaign_number

Places = Mapping[int, Sequence[RowMapping]]
"""Campaign, lead number and position of each, by campaign."""
Decision = Callable[[Sequence[Campaign], Places], list[Event]]


class _Elsewhere(Exception):
    """These people were added to another campaign before the append lock was ours."""


def append_everywhere(
    ledger: Ledger, lookup: Lookups, keys: Collection[str], decision: Decision, keep: KeepFor
) -> list[Event]:
    """Done when nobody was added elsewhere between looking for campaigns and holding the append lock."""

    def decide(campaigns: Sequence[Campaign]) -> list[Event]:
        places = lookup.places(keys)
        if not places.keys() <= {campaign_number(campaign.stream) for campaign in campaigns}:
            raise _Elsewhere
        return decision(campaigns, places)

    while True:
        try:
            return ledger.on_campaigns(list(lookup.places(keys)), decide, keep)
        except _Elsewhere:
            continue
