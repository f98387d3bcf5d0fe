"""Comparisons of a ledger's campaigns: read, proved, compared, reported; many of them in several processes."""

from __future__ import annotations

import heapq
import multiprocessing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace

from sqlalchemy.engine import URL

from domain import events as e
from domain.replay import slices
from domain.replay.accepting import Acceptance
from domain.replay.free import Free
from domain.replay.imported import EVERY
from domain.replay.locked import Locked
from domain.replay.past import Case, Past, Setup, Witness
from domain.replay.proving import Again, Proof, prove
from domain.replay.report import Report
from domain.replay.reporting import About, report
from domain.replay.ticks import in_order
from domain.replay.worlds import PLANNED, replies_of
from runner.replaying import versions
from runner.replaying.again import elsewhere
from runner.replaying.history import History
from runner.replaying.isolation import replaying, without_search_for_garbage
from runner.store.ledger import Ledger, campaign_number, campaign_stream

COMPARISON = "comparison-"

LEAST_PROVED = 500
"""Events of the slice on which each of many campaigns is proved; more where few share `slices.SIZE`."""


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


def compare(ledger: Ledger, number: int, setup: Setup, *, prove_all: bool = False) -> Report:
    """One campaign, by its own rules."""
    size = None if prove_all else slices.SIZE
    setup = replace(setup, rules=rules(ledger, number))
    history = History(ledger.histories, [number])
    stream = campaign_stream(number)
    with elsewhere() as again, replaying(), without_search_for_garbage():
        proof = _prove(history, stream, setup, size, again)
        cases, past = run(history, setup)
        return _report(cases[stream], past, history, setup, proof)


def compare_many(url: URL, numbers: Sequence[int], setup: Setup, *, workers: int, prove_all: bool) -> list[Report]:
    """Many campaigns, each worker its share of them in one pass. Each campaign is proved, over as many events whoever
    compares it: the same bytes from any number of workers."""
    workers = max(1, min(workers, len(numbers)))
    prove_events = None if prove_all else proved_of(len(numbers))
    if workers == 1:
        return compare_share(Request(url, tuple(numbers), setup, prove_events)) if numbers else []
    with closing(Ledger(url)) as ledger:
        lengths = {number: ledger.version(campaign_stream(number)) for number in numbers}
    requests = [Request(url, share, setup, prove_events) for share in shares(lengths, workers)]
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        reports = [one for share in pool.map(compare_share, requests) for one in share]
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


def compare_share(request: Request) -> list[Report]:
    """The campaigns of one process, in one pass over the log."""
    with closing(Ledger(request.url)) as ledger:
        setups = {number: replace(request.setup, rules=rules(ledger, number)) for number in request.numbers}
        history = History(ledger.histories, request.numbers)
        proofs = dict(_prove_each(history, request, setups))
        with replaying(), without_search_for_garbage():
            cases, past = run(history, request.setup, {campaign_stream(n): setups[n].rules for n in request.numbers})
            return [
                _report(cases[campaign_stream(number)], past, history, setups[number], proofs[number])
                for number in request.numbers
            ]


def run(
    history: History,
    setup: Setup,
    accepted: dict[str, tuple[Acceptance, ...]] | None = None,
    witness: Witness | None = None,
) -> tuple[dict[str, Case], Past]:
    """One pass; the campaigns with what was found."""
    engine: Free | Locked
    if setup.is_free:
        engine = Free({stream: replies_of(history.replies(stream)) for stream in history.campaigns}, setup)
    else:
        engine = Locked(history.campaigns, setup, witness)
    cases = dict[str, Case](engine.cases)
    for stream, known in (accepted or {}).items():
        cases[stream].go_by(known)
    engine.run(in_order(history.rows(), history.ticks))
    return cases, engine.past


def _prove(history: History, stream: str, setup: Setup, size: int | None, again: Again) -> Proof:
    part = slices.take(stream, history.rows(), history.ticks, history.replies(stream), size, setup.start)
    return prove(part, setup, again)


def _prove_each(history: History, request: Request, setups: Mapping[int, Setup]) -> Iterator[tuple[int, Proof]]:
    with elsewhere() as again:
        for number in request.numbers:
            stream = campaign_stream(number)
            with replaying(), without_search_for_garbage():
                proof = _prove(history.alone(stream), stream, setups[number], request.prove_events, again)
            yield number, proof


def _report(case: Case, past: Past, history: History, setup: Setup, proof: Proof) -> Report:
    about = About(
        first_position=history.first_position(case.stream),
        last_position=history.last_position(case.stream),
        history=history.digest(case.stream),
        events=history.events(case.stream),
        ticks=past.ticks.numbers.total() + case.old_ticks.numbers["v1"],
        first_at=case.began,
        last_at=case.ends_at,
        zone_database=versions.zone_database(),
        holidays=versions.holidays(),
        assumed=tuple(_assumed(case, past, setup)),
        other_process=True,
    )
    return report(case, setup, about, proof)


def _assumed(case: Case, past: Past, setup: Setup) -> Iterable[str]:
    latest = case.old_ticks.latest.get("v1")
    if latest is not None and case.is_judged(latest.at):
        since, made = case.old_since, case.old_ticks.numbers["v1"]
        yield (
            f"{made} ticks of the old system, one in {EVERY.total_seconds():g} s, from {since:%Y-%m-%d %H:%M} to "
            f"{latest.at:%Y-%m-%d %H:%M} UTC; whom it mailed waited from its start on, under the settings that were "
            "imported, and no mailbox's limit"
        )
    for sender, grid in sorted(past.ticks.grids.items()):
        since = past.ticks.assumed_from
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
