"""The two senders beside each other: what each did in each campaign, a day at a time in the campaign's own zone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import Connection

from domain.checks import Violation
from projections import audit
from projections.batch import CAMPAIGN_STREAM
from projections.times import UTC_OFFSET, local_date, time_text

COUNTED = ("attempts", "sent", "failed", "in_doubt", "duplicates")
NOBODY = "?"
"""The sender of a violation that names none."""

Key = tuple[int, str, str]
"""Campaign, local date (empty for all days), sender."""


def beside(
    views: Connection, violations: Iterable[Violation], campaign: int | None, *, by_day: bool
) -> Iterator[dict[str, Any]]:
    """A row for each campaign, day if asked, and sender: attempts, what became of them, and rules that were broken."""
    sums: dict[Key, Counter[str]] = {}
    zones: dict[int, str] = {}
    for row in audit.by_minute(views, campaign):
        zones[row["campaign_id"]] = row["zone"]
        day = local_date(f"{row['minute']}{UTC_OFFSET}", row["zone"]) if by_day else ""
        counts = sums.setdefault((row["campaign_id"], day, row["sender"]), Counter())
        counts.update({name: int(row[name] or 0) for name in COUNTED})
    for key in _of_violations(violations, zones, by_day):
        sums.setdefault(key, Counter())["violations"] += 1
    for number, day, sender in sorted(sums):
        told = {"campaign_id": number, **({"date": day} if by_day else {}), "sender": sender}
        yield told | {name: sums[number, day, sender][name] for name in (*COUNTED, "violations")}


def _of_violations(violations: Iterable[Violation], zones: Mapping[int, str], by_day: bool) -> Iterator[Key]:
    for each in violations:
        if each.stream.startswith(CAMPAIGN_STREAM):
            number = int(each.stream.removeprefix(CAMPAIGN_STREAM))
            day = local_date(time_text(each.at), zones.get(number, "UTC")) if by_day else ""
            yield number, day, each.sender or NOBODY
