"""`sendledger shadow`: the sender that does not own a campaign decides beside its owner, and sends nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

import typer

from domain import events as e
from domain.errors import CommandRefused
from domain.replay import shadowing
from domain.replay.shadowing import Shadow, shadow_of
from runner.cli.comparing import require_campaign
from runner.cli.completing import CampaignNumber
from runner.cli.context import LARGEST_NUMBER, actor, command, workplace
from runner.cli.output import Format, FormatOption, local, print_json, say, show
from runner.cli.reasons import shown
from runner.replaying.shadow import shadow_stream
from runner.store.ledger import Ledger, campaign_stream
from runner.workplace import Workplace

app = typer.Typer(no_args_is_help=True, help="The other sender decides beside the owner, and sends nothing.")

COLUMNS = ("lead_id", "attempt", "shadow", "would_send", "owner_sent", "shift_s")


@app.command("start", short_help="Let the other sender decide beside the owner.")
@command
def start(number: CampaignNumber) -> None:
    """Let the sender that does not own the campaign decide at each tick of its owner. It can send nothing.

    Example: sendledger shadow start 4
    """
    with workplace() as place:
        _change(place, number, shadowing.start)
    say(f"Campaign {number}: the shadow is on. `sendledger shadow report {number}` tells what it would have sent.")


@app.command("stop", short_help="End that.")
@command
def stop(number: CampaignNumber) -> None:
    """The other sender no longer decides. What it would have sent stays in its stream.

    Example: sendledger shadow stop 4
    """
    with workplace() as place:
        _change(place, number, shadowing.stop)
    say(f"Campaign {number}: the shadow is off.")


@app.command("report", short_help="What the shadow would have sent, beside what was sent.")
@command
def report(
    number: CampaignNumber,
    limit: Annotated[int, typer.Option(min=1, max=LARGEST_NUMBER, help="So many decisions at most.")] = 20,
    form: FormatOption = Format.TABLE,
) -> None:
    """What the shadow would have sent since it was last started, newest first, beside what the owner sent.

    Example: sendledger shadow report 4
    """
    with workplace() as place:
        zone = require_campaign(place, number)
        stream = shadow_stream(number)
        events = list(place.ledger.stream(stream))
        shadow = shadow_of(stream, events)
        if not events:
            mend = f"`sendledger shadow start {number}` gives it one."
            raise CommandRefused(f"campaign {number} never had a shadow; {mend}")
        decided = _decided(events)
        sent = _sent(place.ledger, number)
    rows = [_row(one, sent.get((one.lead_id, one.attempt)), zone, form) for one in decided[::-1][:limit]]
    match form:
        case Format.JSON:
            print_json({**_summary(shadow), "decisions": rows})
        case Format.CSV:
            show(rows, COLUMNS, form)
        case _:
            _tell(shadow, zone)
            show(rows, COLUMNS, form, empty="It has decided nothing yet.")


def _change(place: Workplace, number: int, change: Callable[..., list[e.Event]]) -> None:
    require_campaign(place, number)
    stream = shadow_stream(number)
    shadow = shadow_of(stream, place.ledger.stream(stream))
    place.ledger.append(change(shadow, actor=actor(), now=place.now()))


def _decided(events: list[e.Event]) -> list[e.ShadowDecided]:
    found: list[e.ShadowDecided] = []
    for event in events:
        if isinstance(event, e.ShadowStarted):
            found.clear()
        elif isinstance(event, e.ShadowDecided):
            found.append(event)
    return found


def _sent(ledger: Ledger, number: int) -> dict[tuple[int, int], datetime]:
    locks = ledger.histories.of_kinds(campaign_stream(number), e.EmailLocked, e.EmailFailed)
    return {
        (event.lead_id, event.attempt): event.recorded_at
        for _, event in locks
        if isinstance(event, e.EmailLocked) or (isinstance(event, e.EmailFailed) and event.token is None)
    }


def _row(one: e.ShadowDecided, sent_at: datetime | None, zone: str, form: Format) -> dict[str, Any]:
    return {
        "lead_id": one.lead_id,
        "attempt": one.attempt,
        "shadow": one.sender,
        "would_send": shown(one.decided_at, zone, form),
        "owner_sent": shown(sent_at, zone, form),
        "shift_s": round((one.decided_at - sent_at).total_seconds()) if sent_at else None,
    }


def _summary(shadow: Shadow) -> dict[str, Any]:
    said = shadow.summary
    return {
        "on": shadow.is_on,
        "since": shadow.since.isoformat() if shadow.since else None,
        "decided": shadow.decided,
        "judged": said.judged if said else 0,
        "equal": said.equal if said else 0,
        "differences": said.differences if said else {},
        "cut_short": said.cut_short if said else 0,
        "log_position": said.log_position if said else 0,
    }


def _tell(shadow: Shadow, zone: str) -> None:
    said = _summary(shadow)
    since = f"on since {local(shadow.since, zone)}" if shadow.since else "off"
    differences = ", ".join(f"{count} {kind}" for kind, count in said["differences"].items()) or "none"
    say(f"Shadow: {since}. It would have sent {said['decided']} mails.")
    up_to = f"up to position {said['log_position']}"
    say(f"Judged {said['judged']}, equal {said['equal']}, differences: {differences}; {up_to}.")
    if said["cut_short"]:
        say(f"Its time was up {said['cut_short']} times before it was through; it went on later.")
