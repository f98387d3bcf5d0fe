"""Recorded decisions made again by today's code: each sender on its own ticks, on the states that really were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domain.events import Sender
from domain.legacy import OLD_SYSTEM
from domain.replay.findings import OF_OLD_SYSTEM, OLD, A, B
from domain.replay.noise import UNEXPLAINED
from domain.replay.past import Setup
from runner.replaying.comparing import run
from runner.replaying.history import History
from runner.replaying.isolation import replaying, without_search_for_garbage
from runner.store.ledger import Ledger, campaign_stream


@dataclass(frozen=True, slots=True)
class SenderChecked:
    """Mails that this sender, or an old system, decided; on how many of them today's code decides the same in the same
    tick; and why not on the others."""

    sender: Sender | str
    mails: int
    same: int
    causes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Checked:
    """Whoever mailed somebody, and all that explains differences."""

    senders: Sequence[SenderChecked]
    causes: Mapping[str, int]

    @property
    def unexplained(self) -> int:
        """Differences that nothing in the history explains."""
        return self.causes.get(UNEXPLAINED, 0)


def decided_again(ledger: Ledger, number: int, setup: Setup) -> Checked:
    """Everything that was decided in this campaign."""
    history = History(ledger.histories, [number])
    with replaying(), without_search_for_garbage():
        cases = run(history, setup)
    findings = cases[campaign_stream(number)].findings
    causes = dict(sorted(findings.causes.items()))
    own = {cause: mails for cause, mails in causes.items() if cause != OF_OLD_SYSTEM}
    of_old = {cause: mails for cause, mails in causes.items() if cause == OF_OLD_SYSTEM}
    whose = [(A, setup.a.sender, own), (B, setup.b.sender, own), (OLD, OLD_SYSTEM, of_old)]
    senders = [
        SenderChecked(sender, findings.held_against[column], findings.faithful[column], why)
        for column, sender, why in whose
        if findings.held_against[column]
    ]
    return Checked(senders, causes)
