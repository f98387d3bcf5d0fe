"""Claims: where several daemons share a server, each claims a campaign while it works on it, so that none does work
that another has begun. A courtesy: the append decides who mails whom. So a claim does not hold for ever: whoever was
stopped in the middle of its work keeps it, and must not keep all others from the rest of the campaign.
"""

from __future__ import annotations

from datetime import timedelta

from runner.clock import Clock
from runner.sending.liveness import Liveness
from runner.store.ledger import Ledger

LONGEST_CLAIM = timedelta(minutes=2)
"""So long another runner's claim is respected while its campaign does not move. A mail takes seconds."""


class Claims:
    """The claims of one runner, and what it thinks of those of others."""

    def __init__(self, ledger: Ledger, alive: Liveness, clock: Clock) -> None:
        self._ledger = ledger
        self._alive = alive
        self._clock = clock
        self._refused: dict[int, tuple[int, timedelta]] = {}

    def take(self, campaign: int) -> bool:
        """May this runner work on the campaign?"""
        if self._alive.claim(campaign):
            self._refused.pop(campaign, None)
            return True
        now = self._clock.steady()
        with self._ledger.campaign(campaign) as state:
            version = state.version
        seen, since = self._refused.get(campaign, (None, now))
        if now - since > LONGEST_CLAIM:
            return True
        if seen != version:
            self._refused[campaign] = (version, now)
        return False

    def give_back(self, campaign: int) -> None:
        """It does not work on it any more."""
        self._alive.release(campaign)
