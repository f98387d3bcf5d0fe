"""What a shadow says was due, and what the owner tried beside it, counted as both come: for who watches a campaign."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from domain import events as e
from domain.replay.shadowing import SHADOW
from projections.batch import CAMPAIGN_STREAM, Batch, campaign_number
from projections.times import time_text

TABLE = "shadows"


def count_try(batch: Batch, campaign_id: int) -> None:
    """The owner tried a mail."""
    row = batch.find(TABLE, campaign_id)
    if row is not None and row["stopped_at"] is None:
        row["tried"] += 1


def begin_anew(batch: Batch, campaign_id: int, since: str) -> None:
    """Another owner: the shadow is the other sender's from here on."""
    row = batch.find(TABLE, campaign_id)
    if row is not None and row["stopped_at"] is None:
        row.update(since=since, due=0, tried=0)


def _started(batch: Batch, _at: int, event: e.ShadowStarted) -> None:
    since = time_text(event.recorded_at)
    batch.put(TABLE, {"campaign_id": _number(event), "since": since, "due": 0, "tried": 0})


def _stopped(batch: Batch, _at: int, event: e.ShadowStopped) -> None:
    batch.need(TABLE, event, _number(event))["stopped_at"] = time_text(event.recorded_at)


def _decided(batch: Batch, _at: int, event: e.ShadowDecided) -> None:
    """Decisions are written down a little later: what the sender that owns it now decided before that is none of it."""
    row = batch.need(TABLE, event, _number(event))
    campaign = batch.find("campaigns", row["campaign_id"])
    if campaign is not None and campaign["owner"] != event.sender:
        row["due"] += 1


def _summarised(_batch: Batch, _at: int, _event: e.ShadowSummarised) -> None:
    """What it came to as a comparison is read where it stands."""


def _number(event: e.Event) -> int:
    return campaign_number(event.originator_id.replace(SHADOW, CAMPAIGN_STREAM, 1))


SHADOW_HANDLERS: dict[type[e.Event], Callable[[Batch, int, Any], None]] = {
    e.ShadowStarted: _started,
    e.ShadowStopped: _stopped,
    e.ShadowDecided: _decided,
    e.ShadowSummarised: _summarised,
}
