"""Why the past was not what a sender would have decided: outages, trouble of servers, what people did."""

from __future__ import annotations

from bisect import bisect_left
from datetime import datetime

from domain import events as e
from domain.calendar import zone_of
from domain.replay.classes import Mail

UNEXPLAINED = "unexplained"
KEPT = 10_000
"""So many happenings are remembered; the oldest are forgotten first."""

_BY_PEOPLE = (
    e.CampaignPaused,
    e.CampaignResumed,
    e.CampaignCancelled,
    e.ContentChanged,
    e.ScheduleChanged,
    e.LimitsChanged,
    e.MailboxAssigned,
    e.EmailRequeued,
    e.InDoubtResolved,
    e.MailboxChanged,
    e.MailboxResumed,
    e.FixApplied,
    e.FlaggedForV2,
    e.MigratedToV2,
    e.RolledBack,
    e.TakenOver,
)

_TELLING = frozenset({e.MailboxDelayed, e.MailboxPaused, e.TickFinished, *_BY_PEOPLE})


class Noise:
    """What happened around the decisions, by place in the log."""

    def __init__(self) -> None:
        self._found: list[tuple[int, str]] = []

    def take(self, position: int, event: e.Event) -> None:
        """Remember what can have come between a decision and its mail."""
        text = _text(event) if type(event) in _TELLING else ""
        if text:
            self._remember(position, text)

    def left_open(self, position: int, runner: str) -> None:
        """A mail left here that was to leave in a tick of this runner, which had not ended: it died in it, or another
        was faster."""
        self._remember(position, f"left open by runner {runner}, in the middle of its tick")

    def between(self, recorded: Mail | None, replayed: Mail | None, zone: str) -> str:
        """What lies between the two: an outage, or the first happening after the earlier of them."""
        for mail in (replayed, recorded):
            if mail is not None and mail.outage is not None:
                return _outage(mail.outage, zone)
        places = [mail.place for mail in (recorded, replayed) if mail is not None]
        first, last = min(places), max(places) if len(places) > 1 else None
        nth = bisect_left(self._found, (first, ""))
        if nth < len(self._found) and (last is None or self._found[nth][0] <= last):
            return self._found[nth][1]
        return ""

    def _remember(self, position: int, text: str) -> None:
        self._found.append((position, text))
        if len(self._found) > KEPT:
            del self._found[: KEPT // 2]


def _text(event: e.Event) -> str:
    match event:
        case e.MailboxDelayed():
            code = f" {event.code}" if event.code else ""
            return f"server trouble: {event.phase}{code}"
        case e.MailboxPaused():
            return f"mailbox paused: {event.reason}"
        case e.TickFinished(considered=1, sent=0, failed=0) if event.deferred:
            return f"held back when it was to leave: {', '.join(sorted(event.deferred))}"
        case _ if isinstance(event, _BY_PEOPLE):
            return f"manual: {type(event).__name__} by {event.actor}"
        case _:
            return ""


def _outage(between: tuple[datetime, datetime], zone: str) -> str:
    start, end = (at.astimezone(zone_of(zone)) for at in between)
    until = f"{end:%H:%M}" if end.date() == start.date() else f"{end:%Y-%m-%d %H:%M}"
    return f"outage {start:%Y-%m-%d %H:%M}–{until}"
