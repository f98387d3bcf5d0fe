"""From findings to a report: shares, percentiles, and the verdict."""

from __future__ import annotations

import hashlib
import inspect
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from itertools import accumulate
from typing import Literal

from domain import calendar, campaign, counting, gate, leads, mailbox, policies, rules
from domain.calendar import clock_of
from domain.counting import EPOCH
from domain.legacy import OLD_SYSTEM
from domain.replay import in_force
from domain.replay.classes import CRITICAL, WEIGHTS, Column, Difference, DifferenceClass
from domain.replay.findings import COLUMNS, OLD, A, B, Findings, R, Tally
from domain.replay.past import Case, Setup
from domain.replay.proving import Proof
from domain.replay.report import (
    BreachPart,
    CauseCount,
    ClassPart,
    ColumnPart,
    DifferencePart,
    Fidelity,
    Manifest,
    ProofPart,
    Report,
    ShiftPart,
    SideSettings,
    Verdict,
)
from domain.replay.sides import Side
from domain.replay.situations import Situation
from domain.rules import Limits

LEAST_FIDELITY = 0.995
"""Below this the replay is no picture of what happened, and nothing can be concluded."""

HOUR = timedelta(hours=1)
ORDER = {kind: nth for nth, kind in enumerate(DifferenceClass)}


@dataclass(frozen=True, slots=True)
class About:
    """What a report says of the history it was made from. `other_process`: was the proof made again elsewhere too?"""

    first_position: int
    last_position: int
    history: str
    events: int
    ticks: int
    first_at: datetime | None
    last_at: datetime | None
    zone_database: str
    holidays: str
    assumed: tuple[str, ...] = ()
    other_process: bool = False


@cache
def policies_digest() -> str:
    """SHA-256 over the code that decides: another policy, another manifest."""
    modules = (policies, gate, rules, calendar, counting, leads, campaign, mailbox)
    return hashlib.sha256("".join(inspect.getsource(module) for module in modules).encode()).hexdigest()


def report(case: Case, unchanged: Case, setup: Setup, about: About, proof: Proof | None) -> Report:
    """The report of one campaign. `unchanged`: the same under the recorded settings, by which fidelity goes."""
    findings, held = case.findings, unchanged.findings
    of_b = sum(count for (column, kind), count in findings.breaches.items() if column == "B" and kind in CRITICAL)
    crashes = findings.breaches.get((Column.A, DifferenceClass.CRASH), 0)
    counts = {kind: count for kind, count in findings.classes.items() if kind is not DifferenceClass.UNKNOWN}
    roots = sum(count.root for count in counts.values())
    open_ = roots + sum(count.consequence for count in counts.values())
    accepted = sum(count.accepted for count in counts.values())
    unknown_ = findings.classes.get(DifferenceClass.UNKNOWN)
    unknown = unknown_.root + unknown_.consequence if unknown_ else 0
    fidelity = [_fidelity(held, column, side) for column, side in ((A, setup.a), (B, setup.b))]
    if held.held_against[OLD]:
        fidelity.append(_fidelity_of_old(held, setup))
    verdict, why = _verdict(fidelity, proof, findings, open_, of_b + crashes)
    judged = _judged_range(about, setup)
    by_day = in_force.limits_by_day(case.settings, *judged)
    return Report(
        manifest=_manifest(case, setup, about, proof),
        name=case.campaign.name if case.campaign.exists else "",
        zone=findings.zone,
        leads=len(case.campaign.roll),
        events=about.events,
        ticks=about.ticks,
        first_at=about.first_at,
        last_at=about.last_at,
        assumed=list(about.assumed),
        proof=_proof(proof, about) if proof else None,
        fidelity=fidelity,
        causes=[CauseCount(cause=cause, mails=mails) for cause, mails in sorted(held.causes.items())],
        patterns={str(pattern): count for pattern, count in sorted(findings.patterns.items())},
        judged=findings.judged,
        equal=findings.equal,
        accepted=accepted,
        unknown=unknown,
        parity_strict=_share(findings.equal, findings.judged),
        parity_accepted=_share(findings.equal + accepted, findings.judged),
        coverage=_share(findings.judged, findings.judged + unknown),
        classes=_classes(findings),
        breaches=_breaches(findings),
        shift=_shift(findings.shifts),
        seen=[str(one) for one in Situation if one in case.situations.seen],
        not_seen=[str(one) for one in Situation if one not in case.situations.seen],
        columns=[
            _column(column, tally, side, by_day)
            for column, tally, side in zip(COLUMNS, findings.tallies, (None, *setup.sides), strict=True)
        ],
        windows=in_force.windows(case.settings, *judged),
        decisions=findings.digest,
        roots=roots,
        critical=of_b + crashes,
        verdict=verdict,
        why=why,
    )


def _judged_range(about: About, setup: Setup) -> tuple[datetime, datetime]:
    """The part of the history that is compared; empty where nothing happened."""
    if about.first_at is None or about.last_at is None:
        return EPOCH, EPOCH
    return max(about.first_at, setup.start or about.first_at), min(about.last_at, setup.end or about.last_at)


def _verdict(
    fidelity: Iterable[Fidelity], proof: Proof | None, findings: Findings, differences: int, critical: int
) -> tuple[Verdict, str]:
    if proof is not None and not proof.is_deterministic:
        return "NOT DETERMINISTIC", "the same history gave other decisions"
    if proof is not None and not proof.holds:
        return "INCONCLUSIVE", "the comparison did not prove itself"
    if not findings.judged and critical:
        return "DIFFERENT", ""
    if not findings.judged:
        return "INCONCLUSIVE", "nothing was sent in this range"
    measured = [one for one in fidelity if one.share is not None]
    if not measured and findings.tallies[R].mails:
        return "INCONCLUSIVE", "whoever sent is in neither column"
    for one in measured:
        if one.share is not None and one.share < LEAST_FIDELITY:
            is_old = one.sender == OLD_SYSTEM
            replayed, did = ("our v1", f"the {OLD_SYSTEM}") if is_old else (one.sender, one.sender)
            return "INCONCLUSIVE", f"{replayed} replayed gives {one.share:.2%} of what {did} did"
    if differences or critical:
        return "DIFFERENT", ""
    return "EQUIVALENT", ""


def _fidelity(findings: Findings, column: int, side: Side) -> Fidelity:
    mails, same = findings.held_against[column], findings.faithful[column]
    share = _share(same, mails)
    return Fidelity(column="A" if column == A else "B", sender=side.sender, mails=mails, same=same, share=share)


def _fidelity_of_old(findings: Findings, setup: Setup) -> Fidelity:
    """How far our V1 gives what an old system did."""
    mails, same = findings.held_against[OLD], findings.faithful[OLD]
    column: Literal["A", "B"] = "A" if setup.column("v1") == A else "B"
    return Fidelity(column=column, sender=OLD_SYSTEM, mails=mails, same=same, share=_share(same, mails))


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def _manifest(case: Case, setup: Setup, about: About, proof: Proof | None) -> Manifest:
    rules = "\n".join(map(repr, setup.rules))
    return Manifest.model_validate(
        {
            "campaign": case.stream,
            "first_position": about.first_position,
            "last_position": about.last_position,
            "history": about.history,
            "from": setup.start,
            "to": setup.end,
            "a": _side(setup.a),
            "b": _side(setup.b),
            "mode": "free" if setup.is_free else "locked",
            "tolerance_s": setup.tolerance.total_seconds(),
            "policies": policies_digest(),
            "zone_database": about.zone_database,
            "holidays": about.holidays,
            "rules": hashlib.sha256(rules.encode()).hexdigest(),
            "rules_on": setup.on,
            "proved_on": proof.events if proof is not None and not proof.is_whole else None,
        }
    )


def _side(side: Side) -> SideSettings:
    what_if = side.what_if
    every_s = what_if.every.total_seconds() if what_if.every else None
    window = "–".join(map(clock_of, what_if.window)) if what_if.window else None
    return SideSettings(
        sender=side.sender,
        every_s=every_s,
        delay_s=what_if.delay_s,
        daily_limit=what_if.daily_limit,
        window=window,
    )


def _proof(proof: Proof, about: About) -> ProofPart:
    return ProofPart(
        events=proof.events,
        whole=proof.is_whole,
        same_twice=proof.same_twice,
        other_process=about.other_process,
        identity_differences=proof.identity,
        mutants_seeded=proof.seeded,
        mutants_found=proof.found,
        mutants_missed=list(proof.not_found),
        looks=proof.looks,
        looked_ahead=proof.looked_ahead,
        same_from_snapshot=proof.same_from_snapshot,
    )


def _classes(findings: Findings) -> list[ClassPart]:
    return [
        ClassPart(
            name=str(kind),
            weight=WEIGHTS[kind],
            root=count.root,
            consequence=count.consequence,
            accepted=count.accepted,
            examples=[_difference(example) for example in count.examples],
        )
        for kind, count in sorted(findings.classes.items(), key=lambda item: ORDER[item[0]])
    ]


def _difference(difference: Difference) -> DifferencePart:
    shift = difference.shift
    return DifferencePart(
        lead_id=difference.lead_id,
        attempt=difference.attempt,
        recorded_at=difference.recorded_at,
        a_at=difference.a_at,
        b_at=difference.b_at,
        shift_s=shift.total_seconds() if shift is not None else None,
        why=difference.why,
        root=difference.is_root,
        pattern=str(difference.pattern),
    )


def _breaches(findings: Findings) -> list[BreachPart]:
    order = sorted(findings.breaches, key=lambda at: (COLUMNS.index(at[0]), ORDER[at[1]]))
    return [
        BreachPart(
            column=column.value,
            name=str(kind),
            cases=findings.breaches[column, kind],
            examples=[
                f"lead {one.lead_id}, {one.at.isoformat()}: {one.words}" for one in findings.broken[column, kind]
            ],
        )
        for column, kind in order
    ]


def _shift(counts: Counter[int]) -> ShiftPart | None:
    if not counts:
        return None
    shifts = sorted(counts.items())
    reached = list(accumulate(mails for _, mails in shifts))

    def percentile(share: float) -> int:
        nth = max(1, round(share * reached[-1]))
        return next(shift for (shift, _), mails in zip(shifts, reached, strict=True) if mails >= nth)

    return ShiftPart(p5_s=percentile(0.05), p50_s=percentile(0.5), p95_s=percentile(0.95), counts=shifts)


def _column(column: Column, tally: Tally, side: Side | None, by_day: Mapping[date, Limits]) -> ColumnPart:
    own = by_day if side is None else {day: side.what_if.limits(limits) for day, limits in by_day.items()}
    return ColumnPart(
        column=column.value,
        mails=tally.mails,
        first_at=tally.first_at,
        last_at=tally.last_at,
        ends_at=tally.ends_at,
        days=sorted(tally.days.items()),
        hours=[(EPOCH + hour * HOUR, mails) for hour, mails in sorted(tally.hours.items())],
        gaps=sorted(tally.gaps.items()),
        limits=[(day, limits.daily_limit, limits.delay_s) for day, limits in sorted(own.items())],
    )
