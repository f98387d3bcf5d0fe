"""A slice of one campaign's history: the states where it begins, frozen, and the events and ticks from there on.
What a comparison proves itself on, and what another process is handed to do the same again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from domain import events as e
from domain import mailbox as mailboxes
from domain.campaign import Campaign
from domain.mailbox import Mailbox
from domain.replay.findings import Findings
from domain.replay.free import Free
from domain.replay.imported import TicksAssumed, fold, unlimited
from domain.replay.locked import Locked
from domain.replay.past import MAILBOX, Setup
from domain.replay.replies import replies_of
from domain.replay.sides import said
from domain.replay.ticks import Row, Step, Tick, happened, in_order
from domain.snapshot import freeze, freeze_mailbox, thaw, thaw_mailbox

SIZE = 20_000
"""Events of a slice, unless the whole range is asked for."""


@dataclass(frozen=True, slots=True)
class Slice:
    """`campaign` is None where it begins with the history. `is_whole`: does it hold all that is compared?"""

    stream: str
    campaign: bytes | None
    mailboxes: tuple[tuple[str, bytes], ...]
    rows: Sequence[Row]
    ticks: Sequence[Row]
    replies: Sequence[Row]
    is_whole: bool

    def states(self) -> tuple[list[Campaign], list[Mailbox]]:
        """The states at its beginning, new ones each time."""
        campaigns = [thaw(self.stream, self.campaign)] if self.campaign is not None else []
        return campaigns, [thaw_mailbox(stream, frozen) for stream, frozen in self.mailboxes]

    def steps(self) -> Iterator[Step]:
        """Its events and ticks in one line."""
        return in_order(self.rows, self.ticks)


def compared(part: Slice, setup: Setup) -> Findings:
    """A comparison of a slice alone."""
    replies = {part.stream: replies_of(part.replies)}
    engine = Free(replies, setup, part.states()) if setup.is_free else Locked(replies, setup, given=part.states())
    return engine.run(part.steps())[part.stream]


def take(
    stream: str,
    rows: Iterable[Row],
    ticks: Sequence[Row],
    replies: Sequence[Row],
    size: int | None,
    start: datetime | None,
) -> Slice:
    """The first `size` events from where the campaign begins to send, or from `start`; all of them if there is no size.
    What came before is folded and frozen."""
    campaign, boxes = Campaign(stream), dict[str, Mailbox]()
    found: list[Row] = []
    is_whole = True
    for position, event in rows:
        if found or _begins(event, start):
            if size is not None and len(found) >= size:
                is_whole = False
                break
            found.append((position, event))
        else:
            _fold(campaign, boxes, event)
    first, last = (found[0][0], found[-1][0]) if found else (0, 0)
    return Slice(
        stream,
        freeze(campaign) if campaign.exists else None,
        tuple((box.stream, freeze_mailbox(box)) for box in boxes.values()),
        found,
        [row for row in ticks if row[0] > first and (is_whole or row[0] <= last)],
        replies,
        is_whole,
    )


def decided_at(part: Slice, setup: Setup, steps: Iterable[Step]) -> Iterator[tuple[int, str]]:
    """What both policies say at each tick on the state that was, and the number of the step: nothing else is kept. Of
    ticks that are assumed between two events, at the first and at the last."""
    campaigns, boxes = part.states()
    campaign = campaigns[0] if campaigns else Campaign(part.stream)
    known = {box.stream: box for box in boxes}
    for nth, step in enumerate(steps):
        if not isinstance(step, Tick):
            _fold(campaign, known, step[1])
        for tick in _ticks(step):
            if campaign.exists and tick.sender == campaign.owner and (mailbox := _mailbox(campaign, known)).exists:
                answers = [said(side.decide(campaign, mailbox, tick.at)) for side in setup.sides]
                yield nth, f"{tick.at.isoformat()} {answers}"


def _ticks(step: Step) -> Iterable[Tick]:
    if isinstance(step, Tick):
        return (step,)
    return step[1].ends() if isinstance(step[1], TicksAssumed) else ()


def _mailbox(campaign: Campaign, known: Mapping[str, Mailbox]) -> Mailbox:
    """The one that it sends through."""
    if campaign.observed:
        return unlimited(campaign.schedule.zone)
    return known.get(f"{MAILBOX}{campaign.mailbox}") or Mailbox("")


def state_after(part: Slice, steps: Iterable[Step]) -> tuple[bytes | None, tuple[tuple[str, bytes], ...]]:
    """The states after these steps, frozen."""
    campaigns, boxes = part.states()
    campaign, known = campaigns[0] if campaigns else Campaign(part.stream), {box.stream: box for box in boxes}
    for step in steps:
        if not isinstance(step, Tick):
            _fold(campaign, known, step[1])
    frozen = tuple((box.stream, freeze_mailbox(box)) for box in known.values() if box.exists)
    return (freeze(campaign) if campaign.exists else None), frozen


def _begins(event: e.Event, start: datetime | None) -> bool:
    if start is not None:
        return happened(event) >= start
    return isinstance(event, e.CampaignStarted | e.EmailLocked | e.EmailSent)


def _fold(campaign: Campaign, boxes: dict[str, Mailbox], event: e.Event) -> None:
    stream = event.originator_id
    if stream == campaign.stream:
        fold(campaign, event)
    elif stream.startswith(MAILBOX):
        if stream not in boxes:
            boxes[stream] = Mailbox(stream)
        mailboxes.evolve(boxes[stream], event)
