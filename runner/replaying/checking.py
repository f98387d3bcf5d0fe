"""Recorded decisions made again by today's code: each sender on its own ticks, on the states that really were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domain.events import Sender
from domain.replay.findings import A, B
from domain.replay.noise import UNEXPLAINED
from domain.replay.past import Setup
from runner.replaying.comparing import run
from runner.replaying.history import History
from runner.replaying.isolation import replaying, without_search_for_garbage
from runner.store.ledger import Ledger, campaign_stream


@dataclass(frozen=True, slots=True)
class SenderChecked:
    """Mails that this sender decided, and on how many of them today's code decides the same in the same tick."""

    sender: Sender
    mails: int
    same: int


@dataclass(frozen=True, slots=True)
class Checked:
    """Both senders, and why there are differences."""

    senders: Sequence[SenderChecked]
    causes: Mapping[str, int]

    @property
    def unexplained(self) -> int:
        """Differences that nothing in the history explains."""
        return self.causes.get(UNEXPLAINED, 0)


def decided_again(ledger: Ledger, number: int, setup: Setup) -> Checked:
    """Everything that was decided in this campaign."""
    history = History(ledger, [number])
    with replaying(), without_search_for_garbage():
        cases, _ = run(history, setup)
    findings = cases[campaign_stream(number)].findings
    senders = [
        SenderChecked(side.sender, findings.held_against[column], findings.faithful[column])
        for column, side in ((A, setup.a), (B, setup.b))
        if findings.held_against[column]
    ]
    return Checked(senders, dict(sorted(findings.causes.items())))
