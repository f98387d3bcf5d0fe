"""Every send judged again under the settings of its moment: counts, every exception, and what they stand on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from domain.checks import Check, Violation, check_campaign, check_mailbox
from domain.errors import CommandRefused
from domain.sealing.checkpoints import claimed_size
from runner.sealing.sealer import last_seal
from runner.store.ledger import MAILBOX, MAILBOX_END, Ledger, campaign_stream

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Judged:
    """One stream: what was checked in it, and every exception."""

    stream: str
    checks: Sequence[Check]
    violations: Sequence[Violation]


@dataclass(frozen=True, slots=True)
class Certificate:
    """What was judged, up to which event; `sealed`: so many of the first events stand under this signed checkpoint."""

    ledger: str
    position: int
    sealed: int
    checkpoint: str
    judged: Sequence[Judged]

    @property
    def violations(self) -> list[Violation]:
        """All exceptions."""
        return [violation for each in self.judged for violation in each.violations]


def certificate(ledger: Ledger, ledger_id: str, campaign: int | None, progress: Progress) -> Certificate:
    """Judge all sends, or those of one campaign. Raises `CommandRefused` for one that is not there."""
    position, seal = ledger.position(), last_seal(ledger)
    streams = list(_streams(ledger, campaign))
    judged = []
    for done, stream in enumerate(streams):
        progress(done, len(streams))
        judged.append(judge(ledger, stream))
    return Certificate(ledger_id, position, max(0, claimed_size(seal.note)), seal.note, judged)


def judge(ledger: Ledger, stream: str) -> Judged:
    """One campaign, or one mailbox over all campaigns."""
    found: list[Violation] = []
    if stream.startswith(MAILBOX):
        checks = [check_mailbox(ledger.stream(stream), found.append)]
    else:
        checks = check_campaign(stream, ledger.stream(stream), found.append)
    return Judged(stream, checks, found)


def _streams(ledger: Ledger, campaign: int | None) -> Iterator[str]:
    numbers = ledger.campaigns()
    if campaign is not None:
        if campaign not in numbers:
            raise CommandRefused(f"there is no campaign {campaign}; `sendledger campaign list` shows which there are.")
        yield campaign_stream(campaign)
        return
    yield from map(campaign_stream, numbers)
    yield from ledger.streams_between(MAILBOX, MAILBOX_END)
