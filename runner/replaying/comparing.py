"""Comparisons of a ledger's campaigns: read, proved, compared, reported; many of them in several processes."""

from __future__ import annotations

import heapq
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass, replace

from sqlalchemy.engine import URL

from domain import events as e
from domain.replay import slices
from domain.replay.accepting import Acceptance
from domain.replay.free import Free
from domain.replay.imported import EVERY
from domain.replay.locked import Locked
from domain.replay.past import Case, Setup, Witness
from domain.replay.proving import Proof
from domain.replay.replies import replies_of
from domain.replay.report import Report
from domain.replay.reporting import About, report
from domain.replay.ticks import Row, in_order
from domain.replay.worlds import PLANNED
from runner.replaying import versions
from runner.replaying.again import Prove, Proved, elsewhere
from runner.replaying.history import AT_A_TIME, History
from runner.replaying.isolation import replaying, without_search_for_garbage
from runner.store.ledger import Ledger, campaign_number, campaign_stream

COMPARISON = "comparison-"

LEAST_PROVED = 500
"""Events of the slice on which each of many campaigns is proved; more where few share `slices.SIZE`."""


Progress = Callable[[str, int, int], None]
"""Told what is done, how much of it so far, and of how much."""


@dataclass(frozen=True, slots=True)
class Request:
    """What one process compares. `prove_events`: each campaign is proved on so many events at most; None: on all."""

    url: URL
    numbers: tuple[int, ...]
    setup: Setup
    prove_events: int | None


def comparison_stream(number: int) -> str:
    """Where the rules of a campaign's comparisons stand."""
    return f"{COMPARISON}{number}"


def rules(ledger: Ledger, number: int) -> tuple[Acceptance, ...]:
    """The rules that accept differences of this campaign."""
    found = ledger.stream(comparison_stream(number))
    return tuple(Acceptance.of(event) for event in found if isinstance(event, e.DifferenceAccepted))


def _untold(_what: str, _done: int, _of: int) -> None:
    """Nobody looks on."""


def compare(
    ledger: Ledger, number: int, setup: Setup, *, prove_all: bool = False, progress: Progress = _untold
) -> Report:
    """One campaign, by its own rules. It proves itself in another process meanwhile."""
    size = None if prove_all else slices.SIZE
    setup = replace(setup, rules=rules(ledger, number))
    history = History(ledger.histories, [number])
    stream = campaign_stream(number)
    with elsewhere() as prove, replaying(), without_search_for_garbage():
        proved = _begin_to_prove(history, stream, setup, size, prove)
        cases, unchanged = _run_beside(history, setup, {}, progress)
        progress("proving", 0, 0)
        return _report(cases[stream], unchanged[stream], history, setup, proved())


def compare_many(
    url: URL, numbers: Sequence[int], setup: Setup, *, workers: int, prove_all: bool, progress: Progress = _untold
) -> list[Report]:
    """Many campaigns, each worker its share of them in one pass. Each campaign is proved, over as many events whoever
    compares it: the same bytes from any number of workers."""
    workers = max(1, min(workers, len(numbers)))
    prove_events = None if prove_all else proved_of(len(numbers))
    if workers == 1:
        return compare_share(Request(url, tuple(numbers), setup, prove_events), progress) if numbers else []
    with closing(Ledger(url)) as ledger:
        lengths = {number: ledger.version(campaign_stream(number)) for number in numbers}
    requests = [Request(url, share, setup, prove_events) for share in shares(lengths, workers)]
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        reports = list[Report]()
        progress("comparing campaigns", 0, len(numbers))
        for share in as_completed([pool.submit(compare_share, request) for request in requests]):
            reports += share.result()
            progress("comparing campaigns", len(reports), len(numbers))
    return sorted(reports, key=lambda one: campaign_number(one.manifest.campaign))


def proved_of(campaigns: int) -> int:
    """Events on which each of so many campaigns is proved."""
    return max(LEAST_PROVED, slices.SIZE // max(1, campaigns))


def shares(lengths: Mapping[int, int], workers: int) -> list[tuple[int, ...]]:
    """Campaigns for each worker: the longest goes first, to whoever has the fewest events so far."""
    found: list[list[int]] = [[] for _ in range(workers)]
    loads = [(0, worker) for worker in range(workers)]
    for number in sorted(lengths, key=lambda number: (-lengths[number], number)):
        load, worker = heapq.heappop(loads)
        found[worker].append(number)
        heapq.heappush(loads, (load + lengths[number], worker))
    return [tuple(sorted(share)) for share in found]


def compare_share(request: Request, progress: Progress = _untold) -> list[Report]:
    """The campaigns of one process, in one pass over the log."""
    with closing(Ledger(request.url)) as ledger:
        setups = {number: replace(request.setup, rules=rules(ledger, number)) for number in request.numbers}
        history = History(ledger.histories, request.numbers)
        proofs = dict(_prove_each(history, request, setups, progress))
        with replaying(), without_search_for_garbage():
            rules_of = {campaign_stream(n): setups[n].rules for n in request.numbers}
            cases, unchanged = _run_beside(history, request.setup, rules_of, progress)
            return [
                _report(cases[stream], unchanged[stream], history, setups[n], proofs[n])
                for n, stream in ((n, campaign_stream(n)) for n in request.numbers)
            ]


def engine_of(history: History, setup: Setup, witness: Witness | None = None) -> Free | Locked:
    """What passes over this history in the mode that is asked for."""
    replies = {stream: replies_of(history.replies(stream)) for stream in history.campaigns}
    return Free(replies, setup, witness=witness) if setup.is_free else Locked(replies, setup, witness)


def run(
    history: History,
    setup: Setup,
    accepted: dict[str, tuple[Acceptance, ...]] | None = None,
    progress: Progress = _untold,
) -> dict[str, Case]:
    """One pass; the campaigns with what was found."""
    engine = engine_of(history, setup)
    cases = dict[str, Case](engine.cases)
    for stream, known in (accepted or {}).items():
        cases[stream].go_by(known)
    engine.run(in_order(_watched(history, progress), history.ticks))
    return cases


def _run_beside(
    history: History, setup: Setup, accepted: dict[str, tuple[Acceptance, ...]], progress: Progress
) -> tuple[dict[str, Case], dict[str, Case]]:
    """What was found; and the same without a what-if, which is a pass of its own only where there is one."""
    cases = run(history, setup, accepted, progress)
    return cases, run(history, setup.unchanged, progress=progress) if setup.is_what_if else cases


def _watched(history: History, progress: Progress) -> Iterator[Row]:
    for nth, row in enumerate(history.rows()):
        if nth % AT_A_TIME == 0:
            progress("comparing, log read to", max(0, row[0]), history.up_to)
        yield row


def _begin_to_prove(history: History, stream: str, setup: Setup, size: int | None, prove: Prove) -> Proved:
    part = slices.take(stream, history.rows(), history.ticks, history.replies(stream), size, setup.start)
    return prove(part, setup)


def _prove_each(
    history: History, request: Request, setups: Mapping[int, Setup], progress: Progress
) -> Iterator[tuple[int, Proof]]:
    with elsewhere() as prove:
        for nth, number in enumerate(request.numbers):
            progress("proving campaigns", nth, len(request.numbers))
            stream = campaign_stream(number)
            with replaying(), without_search_for_garbage():
                alone = history.alone(stream)
                proved = _begin_to_prove(alone, stream, setups[number], request.prove_events, prove)
            yield number, proved()


def _report(case: Case, unchanged: Case, history: History, setup: Setup, proof: Proof) -> Report:
    about = About(
        first_position=history.first_position(case.stream),
        last_position=history.last_position(case.stream),
        history=history.digest(case.stream),
        events=history.events(case.stream),
        ticks=case.our_ticks.numbers.total() + case.old_ticks.numbers["v1"],
        first_at=case.began,
        last_at=case.ends_at,
        zone_database=versions.zone_database(),
        holidays=versions.holidays(),
        assumed=tuple(_assumed(case, setup)),
        other_process=True,
    )
    return report(case, unchanged, setup, about, proof)


def _assumed(case: Case, setup: Setup) -> Iterable[str]:
    latest = case.old_ticks.latest.get("v1")
    if latest is not None and case.is_judged(latest.at):
        since, made = case.old_since, case.old_ticks.numbers["v1"]
        yield (
            f"{made} ticks of the old system, one in {EVERY.total_seconds():g} s, from {since:%Y-%m-%d %H:%M} to "
            f"{latest.at:%Y-%m-%d %H:%M} UTC; whom it mailed waited from its start on, under the settings that were "
            "imported, and no mailbox's limit"
        )
    for sender, grid in sorted(case.our_ticks.grids.items()):
        since = case.our_ticks.assumed_from
        every = f"one in {grid.every.total_seconds():g} s"
        yield f"{grid.made} ticks of {sender}, {every}, from {since:%Y-%m-%d %H:%M} UTC on: none are recorded there"
    if not setup.is_free:
        return
    yield "a mail takes no time"
    for column, name in ((1, "A"), (2, "B")):
        mails, without = case.findings.tallies[column].mails, case.findings.assumed_outcomes[column]
        if without:
            yield f"{without} of {mails} mails of {name} were accepted: no answer to them is recorded"
    yield f"the end beyond the history is worked out for {PLANNED:,} waiting leads at most"
