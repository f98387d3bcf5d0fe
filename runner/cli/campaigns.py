"""`sendledger campaign …`: make, look at, start and stop campaigns."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from domain import commands
from domain.campaign import Campaign
from domain.errors import CommandRefused, InvalidInput
from domain.events import Event
from projections import queries
from runner import campaigns
from runner import mailbox_identity as identities
from runner.cli.completing import CampaignNumber
from runner.cli.context import LARGEST_NUMBER, actor, command, reason_given, workplace
from runner.cli.output import Format, FormatOption, local, print_json, say, show
from runner.clock import SimulatedClock
from runner.leads.addresses import canonical
from runner.rendering import check_all_render
from runner.sending import trying
from runner.sending.preparing import TEST_HEADERS
from runner.sending.trying import Trial
from runner.suppression import is_suppressed
from runner.workplace import Workplace

app = typer.Typer(no_args_is_help=True, help="Make, look at, start and stop campaigns.")

File = Annotated[Path, typer.Argument(help="A campaign file, TOML.")]
Reason = Annotated[str | None, typer.Option(help="Recorded for ever; may hold no address.")]
STATES = ("queued", "locked", "sent", "failed", "skipped", "in_doubt")
LISTED = ("id", "name", "status", "owner", "mailbox", "leads", *STATES)


@app.command("create")
@command
def create(file: File) -> None:
    """Make a campaign from a file, as a draft. Then import leads and start it.

    Example: sendledger campaign create autumn.toml
    """
    with workplace() as place:
        number = campaigns.create(place.ledger, file, actor=actor(), now=place.now())
        say(f"Campaign {number} created, as a draft. Next: sendledger leads import {number} LEADS.csv")


@app.command("edit")
@command
def edit(number: CampaignNumber, file: File) -> None:
    """Put the settings of a file in force: content, schedule, limits, mailbox. The owner does not change this way.

    Example: sendledger campaign edit 4 autumn.toml
    """
    with workplace() as place:
        events = campaigns.edit(place.ledger, number, file, actor=actor(), now=place.now())
        changed = ", ".join(type(event).__name__ for event in events)
        say(f"Campaign {number}: {changed}." if changed else f"Campaign {number} is so already: nothing changed.")


@app.command("list")
@command
def listing(form: FormatOption = Format.TABLE) -> None:
    """All campaigns, with how many leads are where.

    Example: sendledger campaign list --format csv
    """
    with workplace() as place, place.views() as views:
        show(queries.campaigns(views), LISTED, form, empty="No campaigns yet: sendledger campaign create FILE")


@app.command("show")
@command
def one(number: CampaignNumber, form: FormatOption = Format.TABLE) -> None:
    """All settings in force, and where the campaign is.

    Example: sendledger campaign show 4
    """
    with workplace() as place, place.views() as views:
        row: dict[str, Any] = dict(campaigns.existing(queries.campaign(views, number), number))
        if form is Format.JSON:
            print_json({**row, **{name: json.loads(row[name]) for name in ("schedule", "limits")}})
            return
        for name in ("created_at", "started_at", "status_since", "last_mail_at") if form is Format.TABLE else ():
            row[name] = local(row[name], row["zone"])
        show([{"setting": name, "value": value} for name, value in row.items()], ("setting", "value"), form)


@app.command("start")
@command
def start(number: CampaignNumber, reason: Reason = None) -> None:
    """Let a draft send. Every lead is rendered first; if one cannot be, nothing starts and all such are listed.

    Example: sendledger campaign start 4
    """
    with workplace() as place:
        words = reason_given(reason)

        def decide(campaign: Campaign) -> list[Event]:
            return commands.start(campaign, actor=actor(), reason=words, now=place.now())

        with place.ledger.campaign(number) as campaign:
            decide(campaign)  # refused here, before all are rendered
        rendered = check_all_render(place.ledger, place.engine, number)
        _run(place, number, decide)
        say(f"Campaign {number} started: {rendered} leads, all render.")


@app.command("pause")
@command
def pause(number: CampaignNumber, reason: Reason = None) -> None:
    """No further mail until it is resumed; nothing is lost.

    Example: sendledger campaign pause 4 --reason "wrong price in the text"
    """
    with workplace() as place:
        words = reason_given(reason)
        _run(place, number, lambda c: commands.pause(c, actor=actor(), reason=words, now=place.now()))
        say(f"Campaign {number} paused.")


@app.command("resume")
@command
def resume(number: CampaignNumber, reason: Reason = None) -> None:
    """Go on where it was paused.

    Example: sendledger campaign resume 4
    """
    with workplace() as place:
        words = reason_given(reason)
        _run(place, number, lambda c: commands.resume(c, actor=actor(), reason=words, now=place.now()))
        say(f"Campaign {number} resumed.")


@app.command("cancel")
@command
def cancel(
    number: CampaignNumber,
    reason: Reason = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would do.")] = False,
) -> None:
    """Skip everybody who still waits, for good.

    Example: sendledger campaign cancel 4 --dry-run
    """
    with workplace() as place:
        words = reason_given(reason)
        with place.ledger.campaign(number) as campaign:
            waiting = campaign.waiting if campaign.exists else 0
            if dry_run:
                commands.cancel(campaign, actor=actor(), reason=words, now=place.now())
                say(f"Would cancel campaign {number}: {waiting} waiting leads get no mail. Nothing was changed.")
                return
        _run(place, number, lambda c: commands.cancel(c, actor=actor(), reason=words, now=place.now()))
        say(f"Campaign {number} cancelled: {waiting} waiting leads get no mail.")


@app.command("retry")
@command
def retry(
    number: CampaignNumber,
    reason: Annotated[str, typer.Option(help="Why; recorded for ever.")],
    failed: Annotated[bool, typer.Option("--failed", help="Those that definitely failed.")] = False,
    code: Annotated[
        int | None, typer.Option(max=LARGEST_NUMBER, help="Only those that failed with this reply code.")
    ] = None,
    left_out: Annotated[
        list[int] | None, typer.Option("--except", max=LARGEST_NUMBER, help="But not this lead; may be given again.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would do.")] = False,
) -> None:
    """Give leads that definitely failed another chance. What is in doubt is never touched.

    Example: sendledger campaign retry 4 --failed --code 550 --reason "the provider unblocked us"
    """
    with workplace() as place:
        words = reason_given(reason) or ""
        if not failed:
            raise CommandRefused("say --failed: only leads that definitely failed can be tried again.")
        with place.views() as views:
            campaigns.existing(queries.campaign(views, number), number)
            found = [row for row in queries.failed_leads(views, number, code) if row["lead_id"] not in (left_out or ())]
        positions = [row["position"] for row in found]
        which = f"{len(positions)} failed leads" + (f" with code {code}" if code else "")

        def decide(campaign: Campaign) -> list[Event]:
            return commands.requeue_failed(campaign, positions, reason=words, actor=actor(), now=place.now())

        if dry_run:
            with place.ledger.campaign(number) as campaign:
                decide(campaign)
        if dry_run or not positions:
            say(f"Campaign {number}: {which} would be tried again. Nothing was changed.")
            return
        _run(place, number, decide)
        say(f"Campaign {number}: {which} wait again.")


@app.command("test")
@command
def send_test(
    number: CampaignNumber,
    to: Annotated[str, typer.Option("--to", help="Whom to send it to.")],
    lead: Annotated[
        int | None, typer.Option("--lead", max=LARGEST_NUMBER, help="Whose mail; else that of the first who waits.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what it would send.")] = False,
) -> None:
    """Send one lead's mail to an address of yours: marked [TEST], recorded as a test, counted nowhere.

    It offers no way to unsubscribe, and a link to do so leads nowhere: it would be the lead's.

    Example: sendledger campaign test 4 --to me@example.com --lead 17
    """
    with workplace() as place:
        address = _tester(place, to)
        trial = trying.make(place.ledger, number, lead, address, place.now())
        if dry_run:
            _print_mail(place, trial)
            say("Nothing was sent, nothing was changed.")
            return
        simulated = isinstance(place.clock, SimulatedClock)
        reply = trying.send(place.ledger, trial, loopback_only=simulated, actor=actor(), clock=place.clock)
        answer = " ".join(str(part) for part in (reply.code, reply.enhanced, reply.queue_id) if part)
        whose = f"Campaign {number}: the mail of lead {trial.order.lead_id}"
        say(f"{whose} was sent to {address} as a test, by {trial.order.mailbox}: {answer}.")


def _tester(place: Workplace, to: str) -> str:
    """The address, as it is mailed. Nobody on the suppression list is mailed, not even to test."""
    try:
        address = canonical(to.strip())
    except InvalidInput as error:
        raise InvalidInput(error.problem, mend=error.mend, field="--to") from None
    if is_suppressed(place.ledger, place.secret(), address):
        mend = "Name another one, or take it off with `sendledger suppress remove`."
        raise InvalidInput("this address is on the suppression list.", mend=mend, field="--to")
    return address


def _print_mail(place: Workplace, trial: Trial) -> None:
    """For people: headers decoded, the text, and that there is HTML."""
    mail = trial.mail
    say(f"From: {identities.current(place.ledger, trial.order.mailbox).sender}")
    say(f"To: {mail.envelope.recipient}")
    say(f"Subject: {mail.rendered.subject}")
    say(f"Message-ID: {mail.message_id}")
    for name, value in TEST_HEADERS.items():
        say(f"{name}: {value}")
    say(f"\n{mail.rendered.text}")
    if mail.rendered.html is not None:
        say(f"… and HTML of {len(mail.rendered.html):,} characters; {len(mail.message):,} octets in all.\n")


def _run(place: Workplace, number: int, decide: Callable[[Campaign], list[Event]]) -> None:
    """Operators' commands decide inside the append lock, so that a busy runner cannot starve them."""
    place.ledger.on_campaign(number, decide, first_in_line=True)
