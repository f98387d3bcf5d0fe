"""`sendledger audit person` and `mail`: everything ever sent to somebody, and the very bytes of a mail."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Annotated, Any

import typer

from domain.calendar import clock_of
from domain.commitments import address_key
from domain.errors import InvalidInput
from domain.settings_in_force import InForce, settings_in_force
from projections import audit, queries
from runner.auditing.mails import ProvedMail, proved_mail
from runner.cli.completing import CampaignNumber
from runner.cli.context import LARGEST_NUMBER, command, workplace
from runner.cli.output import Format, FormatOption, local, say, show
from runner.leads.addresses import canonical
from runner.leads.reading import given
from runner.suppression import is_suppressed
from runner.workplace import Workplace

app = typer.Typer()

PERSON = (
    *(
        "campaign_id",
        "campaign",
        "lead_id",
        "state",
        "attempt",
        "sender",
        "outcome",
        "locked_at",
        "finished_at",
        "code",
    ),
    *("mailbox", "content_version", "window", "daily_limit", "delay_s", "message_id", "digest"),
)
IN_TABLE = (
    *("campaign_id", "lead_id", "state", "attempt", "sender", "outcome", "at", "code", "window"),
    *("daily_limit", "delay_s", "content_version"),
)
HEADERS = ("Date", "From", "To", "Subject", "Message-ID")

OutputFile = Annotated[Path | None, typer.Option("--output", "-o", help="Into this file; standard output.")]


@app.command("person")
@command
def person(
    address: Annotated[str, typer.Argument(help="An e-mail address.")],
    form: FormatOption = Format.TABLE,
) -> None:
    """Everything ever sent to this person: by which sender, under which rules, with what outcome.

    Example: sendledger audit person anna@example.com
    """
    key = address_key(canonical(given(address)))
    with workplace() as place:
        with place.views() as views:
            found = audit.places(views, key)
            rows = [row for lead in found for row in _rows(place, views, lead["campaign_id"], lead["lead_id"])]
        listed = _listed(place, address) if form is Format.TABLE else ""
    for row in rows:
        row["at"] = local(row["locked_at"] or row["finished_at"], row["zone"])
    show(rows, IN_TABLE if form is Format.TABLE else PERSON, form, empty="No lead has this address, or it was erased.")
    if form is Format.TABLE:
        say(listed)


@app.command("mail")
@command
def mail(
    number: CampaignNumber,
    lead: Annotated[int, typer.Argument(max=LARGEST_NUMBER, help="The lead's number.")],
    attempt: Annotated[int | None, typer.Option(help="Which attempt; the last that was locked.")] = None,
    eml: Annotated[bool, typer.Option("--eml", help="The bytes themselves, as they were sent.")] = False,
    output: OutputFile = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """The very mail that was sent, proved by the digest that was recorded before it left.

    Example: sendledger audit mail 4 17 --eml -o mail.eml
    """
    with workplace() as place, place.views() as views:
        proved = proved_mail(place.ledger, views, number, lead, attempt)
    if output is not None:
        output.write_bytes(proved.message)
        say(f"{output}: {len(proved.message):,} octets, proved by {proved.lock.digest[:12]}….")
    elif eml:
        typer.echo(proved.message, nl=False)
    elif form is Format.TABLE:
        _tell(proved)
    else:
        show([_document(proved)], list(_document(proved)), form)


def _rows(place: Workplace, views: Any, campaign: int, lead_id: int) -> Iterator[dict[str, Any]]:
    """A row an attempt; one without where there was none."""
    lead = queries.lead(views, campaign, lead_id)
    state = lead["state"] if lead else None
    known = place.ledger.settings_of(campaign)
    tried = audit.attempts(views, campaign, lead_id)
    for row in tried or [_untried(views, campaign, lead_id)]:
        before = row["lock_position"] or row["outcome_position"] or sys.maxsize
        yield {**row, "state": state, **_rules(settings_in_force(known, before))}


def _untried(views: Any, campaign: int, lead_id: int) -> dict[str, Any]:
    row = queries.campaign(views, campaign)
    named = {"campaign_id": campaign, "lead_id": lead_id, "campaign": row["name"] if row else None}
    return {**dict.fromkeys(audit.NAMES), **named}


def _rules(held: InForce | None) -> dict[str, Any]:
    if held is None:
        return {**dict.fromkeys(("window", "daily_limit", "delay_s")), "zone": "UTC"}
    schedule, limits = held.schedule, held.limits
    window = f"{' '.join(schedule.weekdays)} {clock_of(schedule.start)}–{clock_of(schedule.end)} {schedule.zone}"
    return {
        "window": window,
        "daily_limit": limits.daily_limit,
        "delay_s": limits.delay_s,
        "zone": schedule.zone,
    }


def _listed(place: Workplace, address: str) -> str:
    """An auditor has neither the list's key nor the right to read it."""
    try:
        there = is_suppressed(place.ledger, place.secret(), address)
    except InvalidInput:
        return "Whether the address is on the suppression list is not known here: that takes the list's key."
    return f"The address is {'on' if there else 'not on'} the suppression list."


def _document(proved: ProvedMail) -> dict[str, Any]:
    lock = proved.lock
    return {
        "campaign_id": proved.attempt["campaign_id"],
        "lead_id": lock.lead_id,
        "attempt": lock.attempt,
        "sender": lock.sender,
        "outcome": proved.attempt["outcome"],
        "locked_at": proved.attempt["locked_at"],
        "lock_position": proved.position,
        "digest": lock.digest,
        "digest_holds": True,
        "octets": len(proved.message),
        "message": proved.message.decode("utf-8", "surrogateescape").encode("utf-8", "replace").decode(),
    }


def _tell(proved: ProvedMail) -> None:
    lock, row = proved.lock, proved.attempt
    say(f"Attempt {lock.attempt} by {lock.sender}, {row['outcome']}, locked {local(row['locked_at'])} UTC.")
    parsed = message_from_bytes(proved.message, policy=policy.default)
    for name in HEADERS:
        say(f"{name}: {parsed[name]}")
    body = parsed.get_body(("plain", "html"))
    say(f"\n{body.get_content().rstrip() if body else ''}\n")
    say(f"Proved: HMAC {lock.digest} of these {len(proved.message):,} octets stands at position {proved.position:,}.")
