"""The history of some campaigns, read from a ledger: their events and their mailboxes' in log order, and all ticks. The
past of an imported campaign comes before all that, laid out as it happened."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from copy import copy
from functools import cached_property
from itertools import islice

from domain import events as e
from domain.replay.imported import laid_out
from domain.replay.ticks import Row
from runner.replaying.isolation import reading
from runner.store.ledger import campaign_stream, mailbox_stream
from runner.store.reading import LogReader, read
from runner.store.recorder import LogRow

AT_A_TIME = 1_000
"""Rows that are read between two looks at them."""


class History:
    """Reads anew each time it is walked. What is told of it is that of the newest walk, as far as it went."""

    def __init__(self, log: LogReader, numbers: Sequence[int], after: int = 0) -> None:
        self._log = log
        self._after = after
        self.up_to = log.position()
        self.ticks: list[Row] = [row for row in self._log.ticks(after) if row[0] <= self.up_to]
        self._mailboxes: dict[str, list[str]] = {}
        self._old_until: dict[str, int] = {}  # where an imported campaign was taken over
        for stream in map(campaign_stream, numbers):
            self._look_at(stream)
        self._hashes = {stream: hashlib.sha256() for stream in self._streams}
        self._first: dict[str, int] = {}
        self._last: dict[str, int] = {}
        self._events = Counter[str]()

    def alone(self, campaign: str) -> History:
        """That of one of its campaigns: all ticks are read once, however many campaigns there are."""
        one = copy(self)
        one._mailboxes = {campaign: self._mailboxes[campaign]}  # noqa: SLF001 - of its own kind
        one._old_until = {s: place for s, place in self._old_until.items() if s == campaign}  # noqa: SLF001 - the same
        return one

    @property
    def campaigns(self) -> list[str]:
        """Their streams."""
        return list(self._mailboxes)

    def digest(self, campaign: str) -> str:
        """SHA-256 over every stored event of this campaign and its mailboxes: position, version, topic and state; over
        its past as it is laid out; and over all ticks."""
        streams = [campaign, *self._mailboxes[campaign]]
        digests = [self._hashes[stream].hexdigest() for stream in streams]
        return hashlib.sha256("".join([*digests, self._ticks_digest]).encode()).hexdigest()

    @cached_property
    def _ticks_digest(self) -> str:
        found = hashlib.sha256()
        for place, event in self.ticks:
            found.update(f"{place} {event.originator_version} {event.model_dump_json()}".encode())
        return found.hexdigest()

    def events(self, campaign: str) -> int:
        """How many those were."""
        return sum(self._events[stream] for stream in (campaign, *self._mailboxes[campaign]))

    def first_position(self, campaign: str) -> int:
        """Where the first of them stands."""
        return min((self._first[s] for s in (campaign, *self._mailboxes[campaign]) if s in self._first), default=0)

    def last_position(self, campaign: str) -> int:
        """Where the last of them stands."""
        return max((self._last[s] for s in (campaign, *self._mailboxes[campaign]) if s in self._last), default=0)

    def rows(self) -> Iterator[Row]:
        """The pasts of imported campaigns, and then the events in log order."""
        self._hashes = {stream: hashlib.sha256() for stream in self._streams}
        self._first, self._last, self._events = {}, {}, Counter()
        for stream in self._old_until:
            for place, event in self._laid_out(stream):
                self._hashes[stream].update(f"{place} {type(event).__name__} {event.model_dump_json()}".encode())
                yield place, event
        for row in self._stored():
            position, stream, version, topic, state = row
            self._hashes[stream].update(f"{position} {version} {topic} ".encode() + state)
            self._first.setdefault(stream, position)
            self._events[stream] += 1
            self._last[stream] = position
            if position >= self._old_until.get(stream, 0):
                yield read(row)

    def as_recorded(self) -> Iterator[Row]:
        """All events in log order; those of an import where it recorded them."""
        return map(read, self._stored())

    def replies(self, stream: str) -> list[Row]:
        """What servers answered other than yes; given to a free replay beforehand, whose mails leave at other times."""
        return self._log.of_kinds(stream, e.EmailFailed, e.EmailInDoubt)

    def _stored(self) -> Iterator[LogRow]:
        rows = self._log.rows(self._streams, self._after, self.up_to)
        while some := self._next(rows):
            yield from some

    @staticmethod
    def _next(rows: Iterator[LogRow]) -> list[LogRow]:
        with reading():
            return list(islice(rows, AT_A_TIME))

    @property
    def _streams(self) -> list[str]:
        """In the order of the campaigns, each mailbox once."""
        boxes = dict.fromkeys(box for streams in self._mailboxes.values() for box in streams)
        return [*self._mailboxes, *boxes]

    def _look_at(self, stream: str) -> None:
        """Its mailboxes, and how far its imported past goes."""
        found = self._log.of_kinds(stream, e.CampaignCreated, e.MailboxAssigned, e.LegacyImported, e.TakenOver)
        named = {each.mailbox for _, each in found if isinstance(each, e.CampaignCreated | e.MailboxAssigned)}
        self._mailboxes[stream] = sorted(map(mailbox_stream, named))
        is_imported = any(isinstance(event, e.LegacyImported) for _, event in found)
        if is_imported and found[0][0] > self._after:
            taken_over = next((place for place, event in found if isinstance(event, e.TakenOver)), self.up_to + 1)
            self._old_until[stream] = taken_over

    def _laid_out(self, stream: str) -> list[Row]:
        with reading():
            rows = list(self._log.rows([stream], up_to=min(self._old_until[stream] - 1, self.up_to)))
        return laid_out([read(row)[1] for row in rows])
