"""A comparison for people: what it proved, how near the replay is to the record, and what differs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from domain.legacy import OLD_SYSTEM
from domain.replay.findings import OF_OLD_SYSTEM
from domain.replay.report import DifferencePart, ProofPart, Report, ShiftPart
from runner.cli.output import local

BARS = " ▁▂▃▄▅▆▇█"
BINS = 15
LABEL = "{:<12}"
SUMMARY = ("id", "name", "mails", "fidelity", "parity", "differences", "critical", "verdict", "why")
_WORST = {"NOT DETERMINISTIC": 0, "DIFFERENT": 1, "INCONCLUSIVE": 2, "EQUIVALENT": 3}


def lines(report: Report) -> Iterator[str]:
    """The report, line by line."""
    manifest = report.manifest
    number = manifest.campaign.rpartition("-")[2]
    yield _line(
        "Campaign",
        f'{number} "{report.name}"   positions {manifest.first_position:,}–{manifest.last_position:,} '
        f"({report.events:,} events)   {report.ticks:,} ticks   {report.leads:,} leads   {manifest.mode}",
    )
    yield _line("Compared", f"A {_side(report, 'a')}   B {_side(report, 'b')}   tolerance {manifest.tolerance_s:g} s")
    if report.proof is not None:
        yield _line("Self-check", _proof(report.proof))
    for text in report.assumed:
        yield _line("Assumed", text)
    yield from _fidelity(report)
    yield _line("Columns", "   ".join(_columns(report)) or "–")
    with_accepted = f"   {_percent(report.parity_accepted)} with accepted" if report.accepted else ""
    yield _line("Parity", f"A vs B  {_percent(report.parity_strict)} strict{with_accepted}")
    if report.unknown:
        covered = _percent(report.coverage)
        why = "too near the end or a change of owner, or a policy raised"
        yield _line("Coverage", f"{covered}   {report.unknown} mails could not be judged: {why}")
    yield from _classes(report)
    yield from _breaches(report)
    if report.shift is not None:
        yield _line("Shift", _shift(report.shift))
    yield _line("Seen", f"{_all(report.seen, ' ✔')}     not seen: {_all(report.not_seen, '')}")
    yield from _ends(report)
    why = f"   {report.why}" if report.why else f"   {report.roots} root, {report.critical} critical"
    yield _line("Verdict", f"{report.verdict}{why}   exit {report.exit_code}")


def summary(reports: Iterable[Report]) -> list[dict[str, Any]]:
    """A row for each campaign, the worst first."""
    rows = [_row(report) for report in reports]
    return sorted(rows, key=lambda row: (_WORST[row["verdict"]], -row["critical"], -row["differences"], row["id"]))


def _row(report: Report) -> dict[str, Any]:
    shares = [one.share for one in report.fidelity if one.share is not None]
    differences = sum(one.root + one.consequence for one in report.classes if one.name != "UNKNOWN")
    return {
        "id": int(report.manifest.campaign.rpartition("-")[2]),
        "name": report.name,
        "mails": report.columns[0].mails,
        "fidelity": _percent(min(shares, default=None)),
        "parity": _percent(report.parity_strict),
        "differences": differences,
        "critical": report.critical,
        "verdict": report.verdict,
        "why": report.why,
    }


def _line(label: str, text: str) -> str:
    return LABEL.format(label) + text


def _side(report: Report, name: str) -> str:
    side = report.manifest.a if name == "a" else report.manifest.b
    changed = {
        "every": side.every_s and f"{side.every_s:g} s",
        "delay": side.delay_s and f"{side.delay_s} s",
        "limit": side.daily_limit,
        "window": side.window,
    }
    told = ", ".join(f"{what} {value}" for what, value in changed.items() if value)
    return f"{side.sender} ({told})" if told else side.sender


def _proof(proof: ProofPart) -> str:
    part = "whole range" if proof.whole else f"slice of {proof.events:,}"
    missed = f" (missed: {', '.join(proof.mutants_missed)})" if proof.mutants_missed else ""
    return (
        f"twice {_tick(proof.same_twice)}  identity {_tick(not proof.identity_differences)}  "
        f"mutants {proof.mutants_found}/{proof.mutants_seeded}{missed}  "
        f"look-ahead {proof.looked_ahead}/{proof.looks}  snapshot {_tick(proof.same_from_snapshot)}   ({part})"
    )


def _fidelity(report: Report) -> Iterator[str]:
    for one in report.fidelity:
        if one.share is not None:
            differ = one.mails - one.same
            who = f"the {OLD_SYSTEM}" if (is_old := one.sender == OLD_SYSTEM) else one.sender
            yield _line("Fidelity", f"R vs {one.column}  {_percent(one.share)} of {one.mails:,} by {who}")
            if differ:
                told = [cause for cause in report.causes if (cause.cause == OF_OLD_SYSTEM) is is_old]
                causes = ", ".join(f"{cause.mails} {cause.cause}" for cause in told)
                yield _line("", f"{differ} differ: {causes}")


def _columns(report: Report) -> Iterator[str]:
    readings = {
        "match": "R=A=B",
        "difference": "a real difference",
        "noise": "the past was noisy",
        "model": "our model is wrong",
        "unjudged": "all differ",
    }
    for name, reading in readings.items():
        if report.patterns.get(name):
            yield f"{reading} {report.patterns[name]:,}"


def _classes(report: Report) -> Iterator[str]:
    if not report.classes:
        return
    row = "{:<12}{:>6}  {:>11}  {:>8}   {}"
    yield row.format("CLASS", "ROOT", "CONSEQUENCE", "ACCEPTED", "EXAMPLE")
    for one in report.classes:
        counts = [value or "–" for value in (one.root, one.consequence, one.accepted)]
        yield row.format(one.name, *counts, _example(one.examples, report.zone))


def _example(examples: Sequence[DifferencePart], zone: str) -> str:
    if not examples:
        return ""
    one = examples[0]
    attempt = f" attempt {one.attempt}" if one.attempt > 1 else ""
    why = f", {one.why}" if one.why else ""
    return f"lead {one.lead_id}{attempt}: {_time(one.a_at, zone)} → {_time(one.b_at, zone)}{why}"


def _time(at: datetime | None, zone: str) -> str:
    return local(at, zone) or "never"


def _breaches(report: Report) -> Iterator[str]:
    whose = {"R": "recorded", "A": f"A {report.manifest.a.sender}", "B": f"B {report.manifest.b.sender}"}
    for one in report.breaches:
        yield _line(one.name, f"{one.cases} in {whose[one.column]}   {one.examples[0]}")


def _shift(shift: ShiftPart) -> str:
    told = f"p5 {_span(shift.p5_s)}   p50 {_span(shift.p50_s)}   p95 {_span(shift.p95_s)}"
    return f"{told}   [{_bars(shift.counts)}]"


def _span(seconds: int) -> str:
    sign, left = ("−" if seconds < 0 else "+"), abs(seconds)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if left >= size:
            return f"{sign}{left / size:.3g} {unit}"
    return f"{sign}{left} s"


def _bars(counts: Sequence[tuple[int, int]]) -> str:
    """From the least shift to the greatest."""
    first, last = counts[0][0], counts[-1][0]
    if first == last:
        return BARS[-1]
    bins = [0] * BINS
    for shift, mails in counts:
        bins[min(BINS - 1, (shift - first) * BINS // (last - first))] += mails
    return "".join(BARS[-(-mails * (len(BARS) - 1) // max(bins))] for mails in bins)


def _ends(report: Report) -> Iterator[str]:
    """In the free mode: mails a day, and when each column is through."""
    if report.manifest.mode != "free":
        return
    for one in report.columns[1:]:
        days = [mails for _, mails in one.days]
        a_day = f"{sum(days) / len(days):.1f} mails a day" if days else "no mail"
        ends = f"{_time(one.ends_at, report.zone)} {report.zone}" if one.ends_at else "not known"
        yield _line(f"Ends {one.column}", f"{ends}   {a_day}")


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.2%}"


def _tick(good: bool) -> str:
    return "✔" if good else "✘"


def _all(words: Sequence[str], mark: str) -> str:
    return ", ".join(f"{word}{mark}" for word in words) or "nothing"
