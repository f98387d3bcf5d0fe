"""`sendledger replay`: a campaign as it was at an instant, and recorded decisions made again by today's code."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

import typer

from domain.errors import InvalidInput
from domain.leads import LeadState
from domain.legacy import OLD_SYSTEM
from domain.policies import Send, next_send
from domain.replay.past import Setup
from domain.replay.travel import Then, at, laid_out_at
from runner.cli.comparing import From, To, local_instant, require_campaign
from runner.cli.completing import CampaignNumber
from runner.cli.context import LARGEST_NUMBER, command, workplace
from runner.cli.output import Format, FormatOption, held_by, local, print_json, say, show
from runner.cli.reasons import shown
from runner.replaying import checking
from runner.replaying.history import History
from runner.store.ledger import campaign_stream
from runner.workplace import Workplace

app = typer.Typer(no_args_is_help=True, help="What was, from the events alone.")

STATUS = (
    *("id", "name", "status", "owner", "sent", "queued", "locked", "failed", "skipped", "in_doubt"),
    *("mails_today", "next_mail", "why", "position"),
)
QUEUE = ("lead_id", "state", "v1_status", "priority", "attempts", "next_attempt_at")
SEND_LOG = ("lead_id", "attempt", "sender", "outcome", "locked_at", "finished_at", "code", "message_id")
CHECKED = ("sender", "mails", "same", "share", "differ", "causes")
STATES = (
    (LeadState.SENT, "sent"),
    (LeadState.QUEUED, "queued"),
    (LeadState.LOCKED, "locked"),
    (LeadState.FAILED, "failed"),
    (LeadState.SKIPPED, "skipped"),
    (LeadState.IN_DOUBT, "in_doubt"),
)


@app.command("at", short_help="Status, queue and send log as they were then.")
@command
def replay_at(
    number: CampaignNumber,
    time: Annotated[str, typer.Argument(metavar="TIME", help="2026-11-18T10:15, in the campaign's zone.")],
    limit: Annotated[int, typer.Option(min=1, max=LARGEST_NUMBER, help="So many leads and attempts at most.")] = 20,
    form: FormatOption = Format.TABLE,
) -> None:
    """A campaign as it was at an instant: its status and why its next mail did not leave, its queue, its send log.

    Example: sendledger replay at 4 2026-11-18T10:15
    """
    with workplace() as place:
        zone = require_campaign(place, number)
        instant = local_instant(time, zone, field="TIME")
        _require_known(place, instant, zone)
        stream, history = campaign_stream(number), History(place.ledger.histories, [number])
        then = at(stream, history.as_recorded(), instant)
        if not then.campaign.exists:
            then = laid_out_at(stream, history.rows(), instant)
    status = _status(number, then, instant, zone, form) if then.campaign.exists else None
    queue = [_lead(then, position, zone, form) for position in then.waiting()[:limit]]
    newest = list(then.attempts.values())[::-1][:limit]
    log = [{name: _time(getattr(one, name), zone, form) for name in SEND_LOG} for one in newest]
    match form:
        case Format.JSON:
            print_json({"status": status, "queue": queue, "send_log": log})
        case Format.CSV:
            show([status] if status else [], STATUS, form)
        case _:
            _tables(status, queue, log)


@app.command("check", short_help="Does today's code still decide as was recorded?")
@command
def replay_check(number: CampaignNumber, start: From = None, end: To = None, form: FormatOption = Format.TABLE) -> None:
    """Make the recorded decisions again with today's code, each sender on its own ticks, on the states that were.

    Exit code 1 when today's code decides otherwise and nothing in the history explains it.

    Example: sendledger replay check 4
    """
    with workplace() as place:
        zone = require_campaign(place, number)
        setup = Setup(
            start=local_instant(start, zone, field="--from") if start else None,
            end=local_instant(end, zone, field="--to") if end else None,
        )
        checked = checking.decided_again(place.ledger, number, setup)
    rows = [
        {
            "sender": one.sender,
            "mails": one.mails,
            "same": one.same,
            "share": f"{one.same / one.mails:.2%}",
            "differ": one.mails - one.same,
            "causes": ", ".join(f"{count} {cause}" for cause, count in one.causes.items()),
        }
        for one in checked.senders
    ]
    show(rows, CHECKED, form, empty="No sender has mailed anybody in this range.")
    if checked.unexplained:
        raise typer.Exit(1)


def _require_known(place: Workplace, instant: datetime, zone: str) -> None:
    """Up to now, and to the newest event where this machine's clock is behind the one that recorded it."""
    now = place.now()
    known_until = max(now, place.newest_at() or now)
    if instant > known_until:
        mend = f"The time of this ledger is {local(known_until, zone)} in {zone}."
        raise InvalidInput(f"{local(instant, zone)} is still to come: nobody knows yet.", mend=mend, field="TIME")


def _tables(status: dict[str, Any] | None, queue: Iterable[dict[str, Any]], log: Iterable[dict[str, Any]]) -> None:
    show([status] if status else [], STATUS, Format.TABLE, empty="There was no such campaign yet.")
    if status:
        say("\nThe queue")
        show(queue, QUEUE, Format.TABLE, empty="Nobody waited.")
        say("\nThe send log, newest first")
        show(log, SEND_LOG, Format.TABLE, empty="Nothing had been tried.")


def _status(number: int, then: Then, instant: datetime, zone: str, form: Format) -> dict[str, Any]:
    campaign = then.campaign
    decision = next_send(campaign, then.mailbox, campaign.owner, instant) if then.mailbox.exists else None
    is_due = isinstance(decision, Send)
    wait = None if decision is None or isinstance(decision, Send) else decision
    return {
        "id": number,
        "name": campaign.name,
        "status": str(campaign.status),
        "owner": OLD_SYSTEM if campaign.observed else campaign.owner,
        **{name: campaign.roll.counts[state] for state, name in STATES},
        "mails_today": campaign.mails.on_date_of(instant, campaign.schedule.zone),
        "next_mail": "now" if is_due else shown(wait.until if wait else None, zone, form),
        "why": "due" if is_due else held_by(wait, zone) if wait else "",
        "position": then.position,
    }


def _lead(then: Then, position: int, zone: str, form: Format) -> dict[str, Any]:
    campaign = then.campaign
    retry = campaign.retry_of.get(position)
    return {
        "lead_id": campaign.numbers.lead_id(position),
        "state": campaign.roll.state(position).label,
        "v1_status": campaign.roll.v1_status(position),
        "priority": campaign.priority(position),
        "attempts": campaign.attempts.get(position, 0),
        "next_attempt_at": shown(retry.due_at if retry else None, zone, form),
    }


def _time(value: object, zone: str, form: Format) -> object:
    return shown(value, zone, form) if isinstance(value, datetime) else value
