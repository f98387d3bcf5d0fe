"""What the tests of the store share: campaigns that are in a ledger, and small decisions on them."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.engine import URL

from domain import commands
from domain.campaign import Campaign
from domain.errors import CommandRefused
from domain.events import Event
from domain.snapshot import freeze
from runner.store.ledger import Ledger
from runner.store.recorder import LedgerRecorder
from tests.domain.given import NOON, World, refolded, running

CAMPAIGN = "campaign-1"

Decision = Callable[[Campaign], list[Event]]


def given(ledger: Ledger, world: World | None = None) -> World:
    """This history, appended as other processes would: a started campaign of three leads, unless told otherwise."""
    world = world or running(5, 5, 5)
    ledger.append(world.history)
    return world


def one_more_a_day(campaign: Campaign) -> list[Event]:
    """A decision that depends on the state: two on the same state would lose one of them."""
    limits = campaign.limits.model_copy(update={"daily_limit": campaign.limits.daily_limit + 1})
    return commands.edit(campaign, actor="anna", now=NOON, limits=limits)


def pause(campaign: Campaign) -> list[Event]:
    return commands.pause(campaign, actor="anna", reason=None, now=NOON)


def refuse(campaign: Campaign) -> list[Event]:
    raise CommandRefused(f"not {campaign.stream}, not now")


def held(ledger: Ledger, number: int = 1) -> bytes:
    """The whole state of a campaign as this ledger holds it."""
    with ledger.campaign(number) as campaign:
        return freeze(campaign)


def folded(ledger: Ledger, number: int = 1) -> bytes:
    """The whole state of a campaign by its events alone."""
    stream = f"campaign-{number}"
    return freeze(refolded(ledger.stream(stream), stream))


def recorder_of(ledger: Ledger) -> LedgerRecorder:
    """Ours, whichever it is."""
    assert isinstance(ledger.recorder, LedgerRecorder)
    return ledger.recorder


def raise_often(database: URL, times: int) -> None:
    """The work of a process: so many decisions, each on the newest state."""
    ledger = Ledger(database)
    for _ in range(times):
        ledger.on_campaign(1, one_more_a_day)
    ledger.close()
