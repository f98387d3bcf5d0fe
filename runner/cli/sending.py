"""`sendledger run`, `tick`, `status`, `queue`, `sendlog`, `why`: send, and see what was sent and what waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import typer

from domain.calendar import FIRST_YEAR, LAST_YEAR
from domain.errors import CommandRefused, InvalidInput
from domain.events import Sender
from domain.leads import LeadState
from domain.policies import Send, earliest_send, next_send
from domain.rules import Rule, Wait
from projections import queries
from projections.times import text_time
from runner import campaigns, logs
from runner.cli import watching
from runner.cli.completing import CampaignNumber, OnlyCampaign
from runner.cli.context import LARGEST_NUMBER, command, workplace
from runner.cli.dry_run import DryRun, DryRunLimit, is_dry, show_dry_run
from runner.cli.output import Format, FormatOption, held_by, local, print_json, say, show
from runner.cli.panels import SEEING, SENDING
from runner.cli.reasons import no_lead, shown
from runner.cli.screen import DUE_BY_SHADOW
from runner.clock import SimulatedClock
from runner.daemon import SENDERS, run_real, run_simulated, stopped_by_signals
from runner.overview import ShadowNow, shadows
from runner.sending.liveness import all_living
from runner.settings import MAX_CADENCE_S
from runner.workplace import Workplace

app = typer.Typer()

LogFormat = Literal["text", "json"]
By = Annotated[Sender | None, typer.Option("--by", help="Only this sender's.")]
Lead = Annotated[int | None, typer.Option("--lead", max=LARGEST_NUMBER, help="Only this lead.")]
Limit = Annotated[int, typer.Option(min=1, max=LARGEST_NUMBER, help="So many rows at most.")]

EVERY = "2s"
UNITS = {"s": 1, "m": 60, "h": 3600}
SEND_LOG = (
    "campaign_id",
    "lead_id",
    "attempt",
    "sender",
    "outcome",
    "locked_at",
    "finished_at",
    "code",
    "enhanced",
    "queue_id",
    "message_id",
    "digest",
)
STATUS = ("id", "name", "status", "owner", "sent", "queued", "failed", "skipped", "in_doubt", "next_mail", "why")
OF_SHADOW = ("shadow", "shadow_since", *DUE_BY_SHADOW)
QUEUE = ("lead_id", "state", "v1_status", "priority", "attempts", "next_attempt_at", "last_code")


def duration(text: str, *, field: str) -> timedelta:
    """A duration with its unit: 30s, 1m, 2h."""
    number, unit = text[:-1], text[-1:]
    seconds = int(number) * UNITS[unit] if number.isdecimal() and unit in UNITS else 0
    if not 1 <= seconds <= MAX_CADENCE_S:
        mend = "Write it with its unit: 30s, 1m, 2h; a day is the most."
        raise InvalidInput(f"{text!r} is no duration.", mend=mend, field=field)
    return timedelta(seconds=seconds)


def instant(text: str, *, field: str) -> datetime:
    """An instant with its zone."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None or not FIRST_YEAR < at.year < LAST_YEAR:
        mend = "Write it with its zone, such as 2026-10-06T18:00+02:00."
        raise InvalidInput(f"{text!r} is no instant.", mend=mend, field=field)
    return at.astimezone(UTC)


@app.command("run", rich_help_panel=SENDING, short_help="Run both senders until they are stopped.")
@command
def run(
    v1_every: Annotated[str | None, typer.Option(help="Cadence of V1, such as 1m.")] = None,
    v2_every: Annotated[str | None, typer.Option(help="Cadence of V2, such as 30s.")] = None,
    until: Annotated[str | None, typer.Option(help="Stop at this instant; required in simulated time.")] = None,
    log_format: Annotated[LogFormat | None, typer.Option(help="text or json.")] = None,
    dry_run: DryRun = False,
    limit: DryRunLimit = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Run both senders until stopped by SIGTERM or Ctrl-C: the mail under way is finished and recorded.

    With --dry-run: list what both would send now, and why the rest would wait. It changes nothing.

    Example: sendledger run --v1-every 1m --v2-every 30s
    """
    with workplace() as place:
        logs.configure(log_format or place.settings.log_format)
        cadence = dict(place.settings.cadence)
        given: dict[Sender, str | None] = {"v1": v1_every, "v2": v2_every}
        cadence |= {sender: duration(text, field=f"--{sender}-every") for sender, text in given.items() if text}
        end = instant(until, field="--until") if until else None
        if is_dry(dry_run, limit):
            show_dry_run(place, cadence, limit, form)
            return
        clock = place.clock
        if isinstance(clock, SimulatedClock) and end is None:
            mend = "Say when it ends: --until 2026-10-06T18:00+02:00."
            raise InvalidInput("this ledger's time is simulated.", mend=mend, field="--until")
        if not isinstance(clock, SimulatedClock) and end is not None and end <= clock.now():
            raise InvalidInput("has passed already.", mend="Name a later time.", field="--until")
        with place.views() as views:
            last, before = queries.last_ticks(views), queries.cadences(views)
            others = all_living(place.settings.runners_folder, views)
        with place.ledger.senders() as senders:
            retired = senders.v1_retired
        with place.runner() as runner, stopped_by_signals(runner):
            if not others:  # one that lives has ticked, and writes its idle ticks down later
                ticking = [sender for sender in SENDERS if sender in last and not (retired and sender == "v1")]
                runner.record_missed({s: (text_time(last[s]), before.get(s, cadence[s])) for s in ticking})
            if isinstance(clock, SimulatedClock) and end is not None:
                run_simulated(runner, clock, cadence, end)
            else:
                run_real(runner, cadence, end)
        say(f"Stopped at {clock.now():%Y-%m-%d %H:%M:%S} UTC.")


@app.command("tick", rich_help_panel=SENDING, short_help="One tick of one sender, and what it did.")
@command
def tick(
    sender: Annotated[Sender, typer.Argument(help="v1 or v2.")],
    dry_run: DryRun = False,
    limit: DryRunLimit = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """One tick of one sender, and what it did; with --dry-run, what it would do now, and why the rest would wait.

    Example: sendledger tick v2 --dry-run
    """
    with workplace() as place:
        logs.configure(place.settings.log_format)
        if is_dry(dry_run, limit):
            show_dry_run(place, {sender: place.settings.cadence[sender]}, limit, form)
            return
        with place.runner() as runner:
            done = runner.tick(sender)
            if done is not None:
                done.wait()
            _, waiting = runner.roster.due(sender, place.now())
        results = dict(done.results) if done else {}
        told: dict[str, Any] = {
            "sender": sender,
            "considered": done.considered if done else 0,
            "sent": results.get("sent", 0),
            "failed": results.get("failed", 0),
            "in_doubt": results.get("in doubt", 0),
            "waiting": ", ".join(f"{count} {rule}" for rule, count in sorted(waiting.items()) if rule != Rule.OWNER),
        }
        show([told], tuple(told), form)


@app.command("status", rich_help_panel=SEEING, short_help="Every campaign, and why its next mail does not leave now.")
@command
def status(
    watch: Annotated[bool, typer.Option("--watch", help="Look again and again, until Ctrl-C.")] = False,
    every: Annotated[str | None, typer.Option(help=f"How often to look, such as {EVERY}; with --watch.")] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Every campaign: where its leads are, and why its next mail does not leave now; where a shadow is on, mails due by
    it and mails tried since. --watch shows mailboxes, the next mails and the last ticks too; where nobody can watch, as
    in a pipe, it shows them once.

    Example: sendledger status --watch --every 5s
    """
    if not watch and every is not None:
        raise InvalidInput("goes with --watch only.", mend="Add --watch, or leave it out.", field="--every")
    if watch:
        if form is not Format.TABLE:
            raise InvalidInput("--watch is for people.", mend="Leave one of them out.", field="--format")
        watching.watch(duration(every or EVERY, field="--every"))
        return
    with workplace() as place, place.views() as views:
        beside = shadows(views)
        found = queries.campaigns(views)
        rows = [{**row, **_next(place, row["id"], form), **_beside(row, beside.get(row["id"]), form)} for row in found]
    of_shadow = () if form is Format.TABLE and not beside else OF_SHADOW
    show(rows, (*STATUS, *of_shadow), form, empty="No campaigns yet: sendledger campaign create FILE")


@app.command("queue", rich_help_panel=SEEING, short_help="Who waits in a campaign, is being mailed, or is in doubt.")
@command
def queue(number: CampaignNumber, limit: Limit = 50, form: FormatOption = Format.TABLE) -> None:
    """The leads of a campaign that wait, are being mailed, or are in doubt.

    Example: sendledger queue 4 --limit 100
    """
    with workplace() as place, place.views() as views:
        row = campaigns.existing(queries.campaign(views, number), number)
        rows = [dict(lead) for lead in queries.queue(views, number, limit=limit)]
        for lead in rows if form is Format.TABLE else ():
            lead["next_attempt_at"] = local(lead["next_attempt_at"], row["zone"])
        show(rows, QUEUE, form, empty="Nobody waits.")
        waiting = row["queued"] + row["locked"] + row["in_doubt"]
        if form is Format.TABLE and waiting > len(rows):
            say(f"… {waiting - len(rows):,} more; --limit shows them.")


@app.command("sendlog", rich_help_panel=SEEING, short_help="Every attempt, newest first.")
@command
def sendlog(
    number: OnlyCampaign = None,
    by: By = None,
    lead: Lead = None,
    limit: Limit = 50,
    form: FormatOption = Format.TABLE,
) -> None:
    """Every attempt, newest first: sender, lead, Message-ID, digest, times (a table shows the campaign's) and codes.

    Example: sendledger sendlog 4 --by v1 --format csv
    """
    with workplace() as place, place.views() as views:
        if number is not None:
            campaigns.existing(queries.campaign(views, number), number)
            if lead is not None and queries.lead(views, number, lead) is None:
                raise no_lead(number, lead)
        rows = [dict(row) for row in queries.send_log(views, campaign=number, sender=by, lead=lead, limit=limit)]
        if form is Format.TABLE:
            zones = {row["id"]: row["zone"] for row in queries.campaigns(views)}
            for row in rows:
                for name in ("locked_at", "finished_at"):
                    row[name] = local(row[name], zones[row["campaign_id"]])
                row["digest"] = (row["digest"] or "")[:12]
        show(rows, SEND_LOG, form, empty="Nothing was tried yet.")


@app.command("why", rich_help_panel=SEEING, short_help="Why does the next mail not leave now, and when can it?")
@command
def why(number: CampaignNumber, lead: Lead = None, form: FormatOption = Format.TABLE) -> None:
    """Why does the next mail of this campaign, or of one lead, not leave now, and when can it at the earliest?

    Example: sendledger why 4 --lead 17
    """
    with workplace() as place:
        told = _why_lead(place, number, lead, form) if lead is not None else _next(place, number, form)
        if form is Format.JSON:
            print_json(told)
        else:
            show([told], tuple(told), form)


def _next(place: Workplace, number: int, form: Format) -> dict[str, Any]:
    """The rule that binds a campaign now, and the earliest time of its next mail."""
    now = place.now()
    with place.ledger.campaign(number) as campaign:
        if not campaign.exists:
            raise CommandRefused(f"there is no campaign {number}; `sendledger campaign list` shows which there are.")
    with place.ledger.campaign_and_mailbox(number) as (campaign, mailbox):
        decision = next_send(campaign, mailbox, campaign.owner, now)
        if isinstance(decision, Send):
            return {"next_mail": "now", "why": "due", "lead": decision.lead_id}
        at = earliest_send(campaign, mailbox, decision, now)
        zone = campaign.schedule.zone
        return {"next_mail": shown(at, zone, form), "why": held_by(decision, zone), "lead": None}


def _beside(row: queries.Row, shadow: ShadowNow | None, form: Format) -> dict[str, Any]:
    """What the shadow that is on says was due since it began, or since the owner changed."""
    if shadow is None:
        return dict.fromkeys(OF_SHADOW)
    since = shown(shadow.since, row["zone"], form)
    return dict(zip(OF_SHADOW, (shadow.sender, since, shadow.due, shadow.tried, shadow.behind), strict=True))


def _why_lead(place: Workplace, number: int, lead: int, form: Format) -> dict[str, Any]:
    told = _next(place, number, form)
    with place.ledger.campaign_and_mailbox(number) as (campaign, mailbox):
        position = campaign.numbers.position(lead)
        if position is None:
            raise no_lead(number, lead)
        state = campaign.roll.state(position)
        retry = campaign.retry_of.get(position)
        zone = campaign.schedule.zone
        if state is not LeadState.QUEUED:
            told = {"next_mail": None, "why": f"it is {state.label}"}
        elif retry is not None and retry.due_at > place.now():
            wait = Wait(Rule.BACK_OFF, retry.due_at)
            at = earliest_send(campaign, mailbox, wait, place.now())
            told = {"next_mail": shown(at, zone, form), "why": held_by(wait, zone)}
        elif told["lead"] not in (None, lead):
            told["why"] = f"waits its turn; lead {told['lead']} is next"
        told["lead"] = lead
    return told
