"""What a tick would send now, and why the rest would have to wait: the tick, rehearsed on copies of the states.
Nothing is appended, no server is reached, and no runner starts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.campaign import Campaign
from domain.events import Sender
from domain.gate import earliest
from domain.policies import Send
from domain.rehearsal import Rehearsal, copy_of, queued
from domain.rules import Wait
from runner.store.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Leaving:
    """This mail would leave now."""

    campaign: Campaign
    send: Send


@dataclass(frozen=True, slots=True)
class Waiting:
    """The leads of a campaign that this tick would not mail: the rule that binds then (None: the tick itself sends no
    more of one campaign), and the earliest time of the next mail (None: only an event frees it)."""

    campaign: Campaign
    leads: int
    wait: Wait | None
    next_at: datetime | None


def foresee(ledger: Ledger, cadence: Mapping[Sender, timedelta], now: datetime) -> Iterator[Leaving | Waiting]:
    """One tick of each sender named in `cadence`, one after the other, over all campaigns in which somebody waits.
    Those who leave come as they leave; after them, those who wait."""
    companies = _companies(ledger)
    waiting: list[Waiting] = []
    for sender, every in cadence.items():
        for rehearsal, everybody in companies:
            campaigns = [campaign for campaign in everybody if campaign.owner == sender]
            for campaign, decision in rehearsal.tick(sender, campaigns, now):
                if isinstance(decision, Send):
                    yield Leaving(campaign, decision)
            waiting += [_rest(rehearsal, campaign, now, every) for campaign in campaigns if queued(campaign)]
    yield from waiting


def _companies(ledger: Ledger) -> list[tuple[Rehearsal, list[Campaign]]]:
    """Each mailbox with copies of its campaigns, by number, as a tick takes them."""
    found: dict[str, tuple[Rehearsal, list[Campaign]]] = {}
    for number in ledger.campaigns():
        with ledger.campaign_and_mailbox(number) as (campaign, mailbox):
            if queued(campaign):
                company = found.setdefault(campaign.mailbox, (Rehearsal(mailbox), []))
                company[1].append(copy_of(campaign))
    return list(found.values())


def _rest(rehearsal: Rehearsal, campaign: Campaign, now: datetime, every: timedelta) -> Waiting:
    decision = rehearsal.decide(campaign.owner, campaign, now)
    wait = decision if isinstance(decision, Wait) else None
    again = wait.until if wait is not None else now + every
    next_at = earliest(campaign, rehearsal.mailbox, max(again, now)) if again is not None else None
    return Waiting(campaign, queued(campaign), wait, next_at)
