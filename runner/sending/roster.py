"""The campaigns that may send, and which of them are due: an idle tick asks the database once and decides nothing.

What a policy said is remembered until its time comes or an event of the campaign or its mailbox changes the ground.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

import structlog

from domain.campaign import Campaign
from domain.events import Sender
from domain.mailbox import Mailbox
from domain.policies import next_send
from domain.rules import Rule, Wait
from runner.store.ledger import CAMPAIGN, Ledger, campaign_number

log = structlog.get_logger()


@dataclass(slots=True)
class _Entry:
    """A campaign, its mailbox, and what was last said of them, at which versions."""

    campaign: Campaign
    mailbox: Mailbox
    versions: tuple[int, int]
    wait: Wait | None

    def still_waits(self, now: datetime) -> bool:
        if self.wait is None or self.versions != (self.campaign.version, self.mailbox.version):
            return False
        return self.wait.until is None or now < self.wait.until


class Roster:
    """All campaigns of a ledger, kept up to date."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._tried: dict[int, int] = {}
        self._entries: dict[int, dict[Sender, _Entry]] = {number: {} for number in ledger.campaigns()}

    @property
    def campaigns(self) -> list[int]:
        """Their numbers."""
        return list(self._entries)

    def flagged(self) -> list[int]:
        """Of those that were asked about: whom V2 shall migrate, and has not tried to since something happened in them."""
        found = []
        for number, entries in self._entries.items():
            state = next((entry.campaign for entry in entries.values()), None)
            if state is not None and state.flagged and self._tried.get(number) != state.version:
                self._tried[number] = state.version
                found.append(number)
        return found

    def refresh(self) -> set[str]:
        """Take in what others appended: the streams that changed."""
        changed = self._ledger.refresh()
        for stream in changed:
            if stream.startswith(CAMPAIGN):
                self._entries.setdefault(campaign_number(stream), {})
        return changed

    def due(self, sender: Sender, now: datetime) -> tuple[dict[int, str], Counter[Rule]]:
        """The campaigns that this sender would mail from now, with their mailboxes; and why not the others."""
        due: dict[int, str] = {}
        waiting: Counter[Rule] = Counter()
        for number, entries in self._entries.items():
            entry = entries.get(sender)
            if entry is None or not entry.still_waits(now):
                try:
                    entry = entries[sender] = self._ask(number, sender, now)
                except Exception:  # one campaign that cannot be read must not silence all others
                    log.exception("tick of a campaign failed", campaign=number)
                    continue
            if entry.wait is None:
                due[number] = entry.campaign.mailbox
            else:
                waiting[entry.wait.rule] += 1
        return due, waiting

    def _ask(self, number: int, sender: Sender, now: datetime) -> _Entry:
        with self._ledger.campaign_and_mailbox(number) as (campaign, mailbox):
            decision = next_send(campaign, mailbox, sender, now)
            wait = decision if isinstance(decision, Wait) else None
            return _Entry(campaign, mailbox, (campaign.version, mailbox.version), wait)
