"""Where an import's events go: into the ledger, or, to see what would come of it, into copies that are thrown away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from domain import campaign as campaigns
from domain import mailbox as mailboxes
from domain.campaign import Campaign
from domain.events import Event
from domain.mailbox import Mailbox
from domain.snapshot import freeze, freeze_mailbox, thaw, thaw_mailbox
from runner.store.ledger import KeepFor, Ledger, campaign_stream

Decision = Callable[[Campaign, Mailbox], list[Event]]


class Appends(Protocol):
    """Decides on a campaign and its mailbox, one append after the other."""

    def append(self, decision: Decision, keep: KeepFor | None = None) -> list[Event]:
        """Decide on what is true now, and append."""
        ...

    @contextmanager
    def states(self) -> Iterator[tuple[Campaign, Mailbox]]:
        """Both as they are now, held while the block runs."""
        ...


class InLedger:
    """Into the ledger, inside the append lock."""

    def __init__(self, ledger: Ledger, number: int, mailbox: str) -> None:
        self._ledger, self._number, self._mailbox = ledger, number, mailbox

    def append(self, decision: Decision, keep: KeepFor | None = None) -> list[Event]:
        """Decide on what is true now, and append."""
        return self._ledger.on_both(self._number, self._mailbox, decision, keep, first_in_line=True)

    @contextmanager
    def states(self) -> Iterator[tuple[Campaign, Mailbox]]:
        """Both as they are now, held while the block runs."""
        with self._ledger.campaign(self._number) as campaign, self._ledger.mailbox(self._mailbox) as mailbox:
            yield campaign, mailbox


class OnCopies:
    """Nothing is appended: the copies go on as the ledger would."""

    def __init__(self, ledger: Ledger, number: int, mailbox: str) -> None:
        with ledger.campaign(number) as campaign, ledger.mailbox(mailbox) as box:
            self._campaign = (
                thaw(campaign.stream, freeze(campaign)) if campaign.exists else Campaign(campaign_stream(number))
            )
            self._mailbox = thaw_mailbox(box.stream, freeze_mailbox(box))

    def append(self, decision: Decision, keep: KeepFor | None = None) -> list[Event]:
        """Decide, and fold into the copies."""
        events = decision(self._campaign, self._mailbox)
        if keep is not None:
            keep(events)
        for event in events:
            if event.originator_id == self._mailbox.stream:
                mailboxes.evolve(self._mailbox, event)
            else:
                campaigns.evolve(self._campaign, event)
        return events

    @contextmanager
    def states(self) -> Iterator[tuple[Campaign, Mailbox]]:
        """The copies."""
        yield self._campaign, self._mailbox
