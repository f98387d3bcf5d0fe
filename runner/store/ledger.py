"""The ledger: decide on a state, append the events, then evolve the state. Nothing else changes one.

States are held, never copied: a refused or lost append leaves nothing behind. A lost race is no refusal: the decision
is made again on the newest state inside the append lock. Decisions of several threads that come together are committed
together. Appends by other processes are picked up by `refresh`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from threading import Lock, RLock
from typing import Any, cast

import structlog
from eventsourcing.application import Application
from eventsourcing.persistence import (
    InfrastructureFactory,
    IntegrityError,
    Mapper,
    PersistenceError,
    StoredEvent,
)
from eventsourcing.utils import Environment
from sqlalchemy import Executable
from sqlalchemy.engine import URL

from domain import campaign as campaigns
from domain import mailbox as mailboxes
from domain import senders as all_senders
from domain.campaign import Campaign
from domain.errors import UnknownEvent
from domain.events import Event
from domain.mailbox import Mailbox
from domain.senders import Senders
from domain.snapshot import freeze, freeze_mailbox, shape, thaw, thaw_mailbox
from projections.database import database_url, is_sqlite
from runner.store.mapper import EventMapper, read_event
from runner.store.postgres import PostgresLedgerFactory
from runner.store.reading import LogReader
from runner.store.recorder import Appending, Kept, LedgerRecorder, LogRow
from runner.store.side_streams import SideStreams
from runner.store.snapshots import SnapshotStore
from runner.store.sqlite import SqliteLedgerFactory

READ_BATCH = 10_000
SNAPSHOT_EVERY = 5_000
"""Events of a stream between two snapshots: a cold start reads at most about so many of each."""

NO_RIGHT = "permission denied"
"""As PostgreSQL says it."""

CAMPAIGN, MAILBOX = "campaign-", "mailbox-"
SENDERS = "senders"

CAMPAIGN_END, MAILBOX_END = "campaign.", "mailbox."  # the first texts after all that begin with "campaign-", …

log = structlog.get_logger()

State = Campaign | Mailbox | Senders
KeepFor = Callable[[Sequence[Event]], Sequence[Kept]]


def campaign_stream(number: int) -> str:
    """The stream of this campaign."""
    return f"{CAMPAIGN}{number}"


def campaign_number(stream: str) -> int:
    """The campaign of this stream."""
    return int(stream.removeprefix(CAMPAIGN))


def mailbox_stream(name: str) -> str:
    """The stream of this mailbox."""
    return f"{MAILBOX}{name}"


def _in_order(stream: str) -> tuple[bool, int, str]:
    """States are always taken in this order, so that no two threads wait for each other."""
    is_campaign = stream.startswith(CAMPAIGN)
    return not is_campaign, campaign_number(stream) if is_campaign else 0, stream


class Ledger(Application[str]):
    """The event store of one database, and the states of its campaigns and mailboxes."""

    name = "Sendledger"

    def __init__(self, url: str | URL) -> None:
        self.url = database_url(url)
        super().__init__()
        self._held: dict[str, _Held] = {}
        self._holding = Lock()
        self._turn = Lock()
        self._waiting: deque[_Request] = deque()
        self._position = self.position()  # a state is loaded later than this, so nothing falls in between
        self._snapshots = SnapshotStore(self._recorder, shape())

    def construct_env(self, name: str, env: Mapping[str, str] | None = None) -> Environment:
        """Only what is given here: the library would read the process's environment too."""
        return Environment(name, dict(env or {}))

    def construct_factory(self, env: Environment) -> InfrastructureFactory[Any]:  # noqa: ARG002 - the base class's
        """Our recorder on the library's."""
        made_by = SqliteLedgerFactory if is_sqlite(self.url) else PostgresLedgerFactory
        return made_by(self.url)

    def construct_mapper(self) -> Mapper[str]:
        """Our strict mapper."""
        return EventMapper()

    @property
    def _recorder(self) -> LedgerRecorder:
        return cast(LedgerRecorder, self.recorder)

    @contextmanager
    def campaign(self, number: int) -> Iterator[Campaign]:
        """The campaign's state, held while the block runs: others wait to decide on it."""
        with self._hold(campaign_stream(number)) as state:
            yield cast(Campaign, state)

    @contextmanager
    def campaign_and_mailbox(self, number: int) -> Iterator[tuple[Campaign, Mailbox]]:
        """Both states, held while the block runs."""
        with self.campaign(number) as campaign, self.mailbox(campaign.mailbox) as mailbox:
            yield campaign, mailbox

    @contextmanager
    def mailbox(self, name: str) -> Iterator[Mailbox]:
        """The mailbox's state, held while the block runs."""
        with self._hold(mailbox_stream(name)) as state:
            yield cast(Mailbox, state)

    @contextmanager
    def senders(self) -> Iterator[Senders]:
        """Whether V1 is retired, held while the block runs."""
        with self._hold(SENDERS) as state:
            yield cast(Senders, state)

    def on_campaign(
        self,
        number: int,
        decision: Callable[[Campaign], list[Event]],
        keep: KeepFor | None = None,
        *,
        first_in_line: bool = False,
    ) -> list[Event]:
        """Decide on a campaign and append. `first_in_line`: decide inside the append lock at once (operators)."""
        return self._decide(
            [campaign_stream(number)], lambda states: decision(cast(Campaign, states[0])), keep, first_in_line
        )

    def on_mailbox(
        self, name: str, decision: Callable[[Mailbox], list[Event]], keep: KeepFor | None = None
    ) -> list[Event]:
        """Decide on a mailbox and append, inside the append lock."""
        return self._decide([mailbox_stream(name)], lambda states: decision(cast(Mailbox, states[0])), keep, True)

    def on_both(
        self,
        number: int,
        mailbox: str,
        decision: Callable[[Campaign, Mailbox], list[Event]],
        keep: KeepFor | None = None,
        *,
        first_in_line: bool = False,
    ) -> list[Event]:
        """Decide on a campaign and a mailbox and append to both streams in one transaction. `first_in_line`: decide
        inside the append lock at once (operators)."""

        def both(states: Sequence[State]) -> list[Event]:
            return decision(cast(Campaign, states[0]), cast(Mailbox, states[1]))

        return self._decide([campaign_stream(number), mailbox_stream(mailbox)], both, keep, first_in_line)

    def on_campaigns_and_senders(
        self, numbers: Sequence[int], decision: Callable[[Sequence[Campaign], Senders], list[Event]]
    ) -> list[Event]:
        """Decide on campaigns and on whether V1 is retired, and append in one transaction, inside the append lock."""
        streams = [*(campaign_stream(number) for number in sorted(numbers)), SENDERS]

        def both(states: Sequence[State]) -> list[Event]:
            return decision(cast(Sequence[Campaign], states[:-1]), cast(Senders, states[-1]))

        return self._decide(streams, both, None, True)

    def on_campaigns(
        self, numbers: Sequence[int], decision: Callable[[Sequence[Campaign]], list[Event]], keep: KeepFor | None = None
    ) -> list[Event]:
        """Decide on several campaigns and append in one transaction, inside the append lock."""
        streams = [campaign_stream(number) for number in sorted(numbers)]
        return self._decide(streams, lambda states: decision(cast(Sequence[Campaign], states)), keep, True)

    def append(self, events: Sequence[Event]) -> None:
        """Append events of streams that hold no state of ours: runners and ticks."""
        self._recorder.append([self.mapper.to_stored_event(event) for event in events])

    def fetch(self, statement: Executable, **values: Any) -> list[Mapping[str, Any]]:
        """Rows of a statement on kept tables, by the store's own connection: the send path asks once a mail."""
        return self._recorder.rows(statement, values)

    def keep(self, *kept: Kept) -> None:
        """Run statements on kept tables alone, in one transaction."""
        self._recorder.append([], kept)

    def campaigns(self) -> list[int]:
        """The numbers of all campaigns, from the events themselves."""
        return sorted(map(campaign_number, self._recorder.streams_between(CAMPAIGN, CAMPAIGN_END)))

    def streams_between(self, first: str, last: str) -> list[str]:
        """The names of all streams between these two texts, in order."""
        return sorted(self._recorder.streams_between(first, last))

    def version(self, stream: str) -> int:
        """The version of the last event of a stream; 0 when there is none."""
        last = self._recorder.select_events(stream, desc=True, limit=1)
        return last[0].originator_version if last else 0

    def stream(self, stream: str, after: int = 0) -> Iterator[Event]:
        """The events of one stream after this version, in batches."""
        while batch := self._recorder.stream(stream, after, READ_BATCH):
            for _, _, after, topic, state in batch:
                yield read_event(stream, after, topic, state)

    def read(self, after: int, limit: int) -> list[tuple[int, Event]]:
        """The log after this position, in order, with positions."""
        rows = self._recorder.log(after, limit)
        return [(at, read_event(stream, version, topic, state)) for at, stream, version, topic, state in rows]

    def settings_of(self, number: int) -> list[tuple[int, Event]]:
        """The events that settled how this campaign sends, with positions: a handful, found without the others."""
        rows = self._recorder.settings(campaign_stream(number))
        return [(at, read_event(stream, version, topic, state)) for at, stream, version, topic, state in rows]

    def stored(self, after: int, limit: int) -> list[LogRow]:
        """The log after this position, in order, as it is stored: position, stream, version, topic, state."""
        return self._recorder.log(after, limit)

    @property
    def histories(self) -> LogReader:
        """Histories, event by event with their positions."""
        return LogReader(self._recorder)

    def side_streams(self, prefix: str) -> SideStreams:
        """Every history, to read, and the streams whose names begin so, to append to: no state, no right to lock."""
        return SideStreams(self._recorder, self.mapper, prefix)

    def stored_at(self, position: int) -> StoredEvent | None:
        """The event at this position as it is stored; None when there is none."""
        found = self._recorder.select_notifications(position, 1, position)
        return found[0] if found else None

    def place(self) -> str:
        """What tells this very database from a copy of it."""
        return self._recorder.place()

    def position(self) -> int:
        """The position of the last event in the log; 0 when it is empty."""
        return self.histories.position()

    @property
    def seen(self) -> int:
        """The position up to which `refresh` has followed the log; no question to the database."""
        return self._position

    def refresh(self) -> set[str]:
        """Bring every held state up to date. Returns the streams that others appended to. One statement when idle."""
        changed = set()
        while batch := self._recorder.select_notifications(self._position, READ_BATCH, inclusive_of_start=False):
            for stored in batch:
                stream = cast(str, stored.originator_id)
                held = self._held.get(stream)
                if held is None:
                    changed.add(stream)
                    continue
                with held.lock:
                    if stored.originator_version == held.state.version + 1:
                        self._follow(held, stored)
                        changed.add(stream)
            self._position = batch[-1].id
        return changed

    def _follow(self, held: _Held, stored: StoredEvent) -> None:
        try:
            held.evolve(cast(Event, self.mapper.to_domain_event(stored)))
        except UnknownEvent:
            held.loaded = False  # whoever decides on this stream meets the error; all others go on

    def snapshot(self, number: int) -> None:
        """Keep this campaign's state, so that the next start need not read its whole stream."""
        with self.campaign(number) as campaign:
            if campaign.exists:
                self._snapshots.save(campaign.stream, campaign.version, freeze(campaign))

    def _decide(
        self,
        streams: Sequence[str],
        decision: Callable[[Sequence[State]], list[Event]],
        keep: KeepFor | None,
        first_in_line: bool,
    ) -> list[Event]:
        """Whoever gets the turn serves all who wait for it: several decisions, one commit.

        A thread that holds a state (`campaign`, `mailbox`) must not come here: it would wait for whoever serves, who
        waits for that state.
        """
        request = _Request(streams, decision, keep, first_in_line)
        self._waiting.append(request)
        with self._turn:
            if not request.done:
                batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
                self._serve(batch)
        if request.error is not None:
            raise request.error
        return request.events

    def _serve(self, batch: Sequence[_Request]) -> None:
        try:
            if len(batch) > 1 or batch[0].first_in_line or not self._first_try(batch[0]):
                self._in_append_lock(batch)
        except BaseException as error:  # noqa: BLE001 - raised again by each thread that waits for its own
            if len(batch) > 1 and isinstance(error, IntegrityError):  # one's kept row is in the way: not the others'
                for request in batch:
                    self._serve([request])
            else:
                for request in batch:
                    request.fail(error)
        finally:
            for request in batch:
                request.done = True

    def _first_try(self, request: _Request) -> bool:
        """Decide on what is known here. False: somebody else was first, so it must be decided on what is true now."""
        with ExitStack() as stack:
            states = [stack.enter_context(self._hold(stream)) for stream in request.streams]
            request.decide(states)
            if request.events:
                try:
                    self._recorder.append(
                        [self.mapper.to_stored_event(event) for event in request.events], request.kept
                    )
                except IntegrityError:
                    request.events = []
                    return False
                self._evolve(request.events)
                self._keep_snapshots(request.streams)
        return True

    def _in_append_lock(self, batch: Sequence[_Request]) -> None:
        """Decide one after the other on the newest states, each on what those before it decided; commit all together.

        So the states evolve before the commit. If it fails, they are forgotten, and read again when next asked for.
        """
        streams = sorted({stream for request in batch for stream in request.streams}, key=_in_order)
        with ExitStack() as stack:
            states = {stream: stack.enter_context(self._hold(stream)) for stream in streams}
            try:
                with self._recorder.append_lock() as appending:
                    for stream in streams:
                        self._catch_up(stream, appending)
                    for request in batch:
                        request.decide([states[stream] for stream in request.streams])
                        self._evolve(request.events)
                    events = [event for request in batch for event in request.events]
                    appending.insert([self.mapper.to_stored_event(event) for event in events])
                    appending.keep([kept for request in batch for kept in request.kept])
            except BaseException:
                for stream in streams:
                    self._held[stream].forget()
                raise
            self._keep_snapshots(streams)

    def _evolve(self, events: Sequence[Event]) -> None:
        for event in events:
            self._held[event.originator_id].evolve(event)

    def _keep_snapshots(self, streams: Sequence[str]) -> None:
        for stream in streams:
            self._held[stream].snapshot_when_due(self._snapshots)

    def _catch_up(self, stream: str, appending: Appending) -> None:
        held = self._held[stream]
        for stored in appending.tail(stream, held.state.version):
            held.evolve(cast(Event, self.mapper.to_domain_event(stored)))

    @contextmanager
    def _hold(self, stream: str) -> Iterator[State]:
        with self._holding:
            held = self._held.get(stream)
            if held is None:
                held = self._held[stream] = _Held(stream)
        with held.lock:
            if not held.loaded:
                self._load(held)
            yield held.state

    def _load(self, held: _Held) -> None:
        if (frozen := self._snapshots.load(held.stream)) is not None:
            held.thaw(frozen)
        for event in self.stream(held.stream, held.state.version):
            held.evolve(event)
        held.loaded = True
        held.snapshot_when_due(self._snapshots)


def _new_state(stream: str) -> State:
    if stream == SENDERS:
        return Senders(stream)
    return Campaign(stream) if stream.startswith(CAMPAIGN) else Mailbox(stream)


class _Request:
    """A decision that waits for its turn, and what came of it."""

    def __init__(
        self,
        streams: Sequence[str],
        decision: Callable[[Sequence[State]], list[Event]],
        keep: KeepFor | None,
        first_in_line: bool,
    ) -> None:
        self.streams = streams
        self.first_in_line = first_in_line
        self.events: list[Event] = []
        self.kept: Sequence[Kept] = ()
        self.error: BaseException | None = None
        self.done = False
        self._decision = decision
        self._keep = keep

    def decide(self, states: Sequence[State]) -> None:
        """On these states. A refusal is this request's own."""
        self.events, self.kept, self.error = [], (), None
        try:
            events = self._decision(states)
            self.kept = self._keep(events) if self._keep else ()
            self.events = events
        except Exception as error:  # noqa: BLE001 - raised again by the thread that asked
            self.error = error

    def fail(self, error: BaseException) -> None:
        """What was decided is not known to be stored. A refusal stays what it is."""
        self.events = []
        self.error = self.error or error


class _Held:
    """A state, and the lock that keeps two threads from deciding on it at once."""

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.lock = RLock()
        self.loaded = False
        self.snapshot_version = 0
        self.state: State = _new_state(stream)

    def forget(self) -> None:
        """Begin again: what it went through was not stored. The object stays, for others know it."""
        self.loaded, self.snapshot_version = False, 0
        vars(self.state).update(vars(type(self.state)(self.stream)))

    def evolve(self, event: Event) -> None:
        match self.state:
            case Campaign():
                campaigns.evolve(self.state, event)
            case Mailbox():
                mailboxes.evolve(self.state, event)
            case Senders():
                all_senders.evolve(self.state, event)

    def thaw(self, frozen: bytes) -> None:
        self.state = (thaw if self.stream.startswith(CAMPAIGN) else thaw_mailbox)(self.stream, frozen)
        self.snapshot_version = self.state.version

    def snapshot_when_due(self, snapshots: SnapshotStore) -> None:
        state = self.state
        if state.version - self.snapshot_version >= SNAPSHOT_EVERY and not isinstance(state, Senders):
            self.snapshot_version = state.version
            frozen = freeze(state) if isinstance(state, Campaign) else freeze_mailbox(state)
            try:
                snapshots.save(self.stream, state.version, frozen)
            except PersistenceError as error:  # the events are stored: a cache that is not must not say otherwise
                if NO_RIGHT not in str(error):  # a role that only reads: whoever sends will take one
                    log.warning("snapshot not taken", stream=self.stream, exc_info=True)
