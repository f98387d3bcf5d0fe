"""`sendledger campaign preview`: the mail as it will leave, and when all of them do, by which rule."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from domain.calendar import WEEK
from domain.campaign import Status
from domain.gate import LOOK_AHEAD
from domain.planning import Day, Plan
from projections import queries
from projections.queries import Row
from projections.times import time_text
from runner import campaigns
from runner.cli.completing import CampaignNumber
from runner.cli.context import LARGEST_NUMBER, command, workplace
from runner.cli.output import Format, FormatOption, held_by, local, print_json, say, show
from runner.cli.reasons import shown
from runner.sending.previewing import Mail, preview

app = typer.Typer()

DAYS = ("date", "weekday", "mails", "first_mail", "last_mail", "bound_by", "note")
HOURS = ("date", "weekday", "hour", "mails")
DAYS_SHOWN = 14
"""Of a table, unless told: two weeks show the pattern, and the last line when it ends."""

AS_IF = {Status.DRAFT: "started now", Status.PAUSED: "resumed now"}
"""How a campaign is planned that does not run."""

ASSUMED = "every mail is accepted at its first attempt and takes no time; nobody joins or leaves, no setting changes"
CLOCK = slice(11, None)  # of a local time, its date cut off


@app.command("preview")
@command
def show_preview(
    number: CampaignNumber,
    lead: Annotated[
        int | None, typer.Option("--lead", max=LARGEST_NUMBER, help="The mail to this lead; else the first to leave.")
    ] = None,
    days: Annotated[
        int | None,
        typer.Option(min=1, max=LARGEST_NUMBER, help=f"So many days; a table shows {DAYS_SHOWN} unless told."),
    ] = None,
    hours: Annotated[bool, typer.Option("--hours", help="Hour by hour.")] = False,
    form: FormatOption = Format.TABLE,
) -> None:
    """The mail as it will leave, and the plan: how many a day and hour, which rule binds each day, when it ends.

    A draft or paused campaign is planned as if it were started or resumed now. Nothing is changed or sent.

    Example: sendledger campaign preview 4 --lead 17
    """
    with workplace() as place:
        now, cadence = place.now(), place.settings.cadence
        with place.views() as views:
            row = campaigns.existing(queries.campaign(views, number), number)
            sharing = [other["id"] for other in queries.campaigns(views) if _shares(other, row)]
        plan, mail = preview(place.ledger, number, lead, sharing, cadence, now)
        listed = plan.days[: days or (DAYS_SHOWN if form is Format.TABLE else None)]
        rows, columns = (_hours, HOURS) if hours else (_days, DAYS)
        if form is Format.JSON:
            print_json(_document(row, plan, listed, mail, sharing, now))
            return
        if form is Format.TABLE:
            _say_mail(row, mail, now)
        show(list(rows(listed, row["zone"], form)), columns, form, empty="No mail is to leave.")
        if form is Format.TABLE and plan.days:
            _say_end(row, plan, len(plan.days) - len(listed), sharing, cadence[row["owner"]])


def _shares(other: Row, row: Row) -> bool:
    runs_there = (other["mailbox"], other["status"]) == (row["mailbox"], Status.RUNNING)
    return runs_there and other["id"] != row["id"]


def _days(days: Collection[Day], zone: str, form: Format) -> Iterator[dict[str, Any]]:
    for day in days:
        times = {"first_mail": _clock(day.first_at, zone, form), "last_mail": _clock(day.last_at, zone, form)}
        yield {**_date(day), "mails": day.mails, **times, "bound_by": day.bound_by, "note": day.note or None}


def _hours(days: Collection[Day], zone: str, form: Format) -> Iterator[dict[str, Any]]:
    for day in days:
        for hour, mails in day.hours.items():
            yield {**_date(day), "hour": _clock(hour, zone, form), "mails": mails}


def _date(day: Day) -> dict[str, str]:
    return {"date": day.date.isoformat(), "weekday": WEEK[day.date.weekday()]}


def _clock(at: datetime | None, zone: str, form: Format) -> str | None:
    """A table shows the local date beside it."""
    text = shown(at, zone, form)
    return text[CLOCK] if text and form is Format.TABLE else text


def _say_mail(row: Row, mail: Mail | None, now: datetime) -> None:
    zone = row["zone"]
    if row["status"] in AS_IF:
        as_if = f"planned as if {AS_IF[row['status']]}, {local(now, zone)} {zone}"
        say(f"Campaign {row['id']} ({row['status']}): {as_if}.\n")
    if mail is None:
        return
    when = f"as it will leave {local(mail.leaves_at, zone)} {zone}" if mail.leaves_at else "as it would leave now"
    if mail.letter is None:
        say(f"Lead {mail.lead_id}: {mail.problem}\n")
        return
    say(f"The mail to lead {mail.lead_id}, {when}:\n")
    for name, value in mail.letter.headers:
        say(f"{name}: {value}")
    for kind, body in (("text", mail.letter.text), ("html", mail.letter.html)):
        if body is not None:
            say(f"\n--- {kind} ---\n{body.rstrip()}")
    say("\n--- plan ---")


def _say_end(row: Row, plan: Plan, more: int, sharing: Collection[int], every: timedelta) -> None:
    zone = row["zone"]
    if more:
        say(f"… {more} more days; --days shows them.")
    if plan.ends_at is not None:
        say(f"\n{plan.mails:,} mails, the last on {local(plan.ends_at, zone)} {zone}.")
    if plan.left:
        say(f"{plan.left:,} leads are not mailed by then: {_left_by(plan, zone)}.")
    say(f"Assumed: {ASSUMED}; {row['owner']} ticks every {every.total_seconds():g} s from now on.")
    if sharing:
        say(f"Counted too, for they share mailbox {row['mailbox']}: campaigns {', '.join(map(str, sharing))}.")


def _left_by(plan: Plan, zone: str) -> str:
    return held_by(plan.held_by, zone) if plan.held_by else f"a plan looks {LOOK_AHEAD.days} days ahead"


def _document(
    row: Row, plan: Plan, days: Collection[Day], mail: Mail | None, sharing: Collection[int], now: datetime
) -> dict[str, Any]:
    zone = row["zone"]
    return {
        "campaign_id": row["id"],
        "status": row["status"],
        "as_if": AS_IF.get(row["status"]),
        "planned_at": time_text(now),
        "zone": zone,
        "mail": _mail(mail) if mail else None,
        "mails": plan.mails,
        "last_mail": shown(plan.ends_at, zone, Format.JSON),
        "left": plan.left,
        "left_by": _left_by(plan, zone) if plan.left else None,
        "days": [
            {**told, "hours": [{"hour": time_text(hour), "mails": mails} for hour, mails in day.hours.items()]}
            for day, told in zip(days, _days(days, zone, Format.JSON), strict=True)
        ],
        "counted_with": sharing,
        "assumed": ASSUMED,
    }


def _mail(mail: Mail) -> dict[str, Any]:
    letter = mail.letter
    return {
        "lead_id": mail.lead_id,
        "leaves_at": time_text(mail.leaves_at) if mail.leaves_at else None,
        "problem": mail.problem,
        "headers": letter and letter.headers,
        "text": letter and letter.text,
        "html": letter and letter.html,
        "message": letter and letter.raw,
    }
