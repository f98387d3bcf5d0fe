"""`sendledger cutover …`: a campaign's way to V2, and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from domain import cutover as rules
from domain.analysis import analyse
from domain.errors import InvalidInput
from domain.events import MigratedToV2, RolledBack, V1Reinstated
from domain.senders import retire_v1 as retire
from projections import queries
from runner import cutover
from runner.campaigns import existing
from runner.cli.completing import CampaignNumber
from runner.cli.context import actor, command, reason_given, workplace
from runner.cli.output import Format, FormatOption, MaybeReason, local, say, show
from runner.cutover import Kept
from runner.workplace import Workplace

app = typer.Typer(no_args_is_help=True, help="A campaign's way to V2, and back: analyse, fix, migrate, verify.")

DIGEST, DIGITS = 64, 16
"""Characters of a SHA-256 digest, and how many of them stand in a table."""
SHOWN = 8
"""So many leads are named on a line."""

OWNERS = ("id", "name", "status", "owner", "epoch", "since", "by", "reason", "flagged", "observed")
STEPS = ("at", "step", "owner", "epoch", "actor", "reason", "details", "position")
KEPT = ("what", "before", "read_back", "holds")

Reason = Annotated[str, typer.Option(help="Why; recorded for ever, so it may hold no address.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what it would do, change nothing.")]


@app.command("migrate")
@command
def migrate(number: CampaignNumber, reason: Reason, dry_run: DryRun = False, form: FormatOption = Format.TABLE) -> None:
    """V2 owns it from the next lock on: one append. What V1 has under way, V1 ends; nobody waits for it.

    Refused while a finding blocks, or while the campaign is only observed. Prints what is read back from the store.

    Example: sendledger cutover migrate 4 --reason "the first one, watched for a day"
    """
    words = _reason(reason)
    with workplace() as place:
        if dry_run:
            _rehearse(place, number, words, form)
            return
        moved = cutover.migrate(place.ledger, number, actor=actor(), reason=words, now=place.now())
        _tell_moved(place, moved, number, form)


@app.command("use-v2")
@command
def use_v2(number: CampaignNumber, reason: MaybeReason = None) -> None:
    """Flag it: the next tick of V2 migrates it under the same rules, or records once why it cannot.

    Example: sendledger cutover use-v2 4
    """
    with workplace() as place:
        words = reason_given(reason)
        place.ledger.on_campaign(
            number,
            lambda campaign: rules.flag(campaign, actor=actor(), reason=words, now=place.now()),
            first_in_line=True,
        )
    say(f"Campaign {number} is flagged: V2's next tick migrates it. `cutover owners` shows whether it did.")


@app.command("rollback")
@command
def rollback(
    number: CampaignNumber, reason: Reason, dry_run: DryRun = False, form: FormatOption = Format.TABLE
) -> None:
    """V1 owns it from the next lock on: one append, never refused. V1 goes on with exactly those not sent yet.

    What V2 has under way, V2 ends. Where V1 was retired, its tick goes on again.

    Example: sendledger cutover rollback 4 --reason "mails look wrong"
    """
    words = _reason(reason)
    with workplace() as place:
        if dry_run:
            _rehearse_back(place, number, words, form)
            return
        events = cutover.roll_back(place.ledger, number, actor=actor(), reason=words, now=place.now())
        moved = next((event for event in events if isinstance(event, RolledBack)), None)
        if moved is None:
            say(f"Campaign {number} is on V1, and not flagged for V2: there is nothing to roll back.")
            return
        _tell_moved(place, moved, number, form)
        if form is Format.TABLE and any(isinstance(event, V1Reinstated) for event in events):
            say("V1 was retired: its tick goes on again.")


@app.command("owners")
@command
def owners(form: FormatOption = Format.TABLE) -> None:
    """Which sender owns which campaign, since when, by whom and why.

    Example: sendledger cutover owners
    """
    with workplace() as place:
        with place.views() as views:
            rows = [_owner(row, form) for row in queries.owners(views)]
        with place.ledger.senders() as senders:
            retired = senders.v1_retired
    show(rows, OWNERS, form, empty="No campaigns yet.")
    if retired and form is Format.TABLE:
        say("V1 is retired: its tick is off.")


@app.command("history")
@command
def history(number: CampaignNumber, form: FormatOption = Format.TABLE) -> None:
    """The timeline of one campaign's cutover: every step with who, when, why, and its place in the ledger.

    Example: sendledger cutover history 4
    """
    with workplace() as place, place.views() as views:
        zone = existing(queries.campaign(views, number), number)["zone"]
        rows = [_step(row, zone, form) for row in queries.cutover_steps(views, number)]
    show(rows, STEPS, form, empty=f"Campaign {number} was made here and has never changed hands.")


@app.command("retire-v1")
@command
def retire_v1(reason: MaybeReason = None, dry_run: DryRun = False) -> None:
    """When no campaign is left on V1: its tick goes off, and that is recorded. A later roll-back switches it on again.

    Example: sendledger cutover retire-v1 --reason "all on V2 since Monday"
    """
    words = reason_given(reason)
    with workplace() as place:
        if dry_run:
            _would_retire(place, words)
            return
        cutover.retire_v1(place.ledger, actor=actor(), reason=words, now=place.now())
    say("V1 is retired: its tick is off. A roll-back switches it on again.")


# --- telling ---


def _tell_moved(place: Workplace, moved: MigratedToV2 | RolledBack, number: int, form: Format) -> None:
    with place.views() as views:
        kept = cutover.read_back(place.ledger, views, moved, number)
    _show_kept(kept, form)
    if form is Format.TABLE:
        owner = "V2" if isinstance(moved, MigratedToV2) else "V1"
        say(f"Campaign {number} is {owner}'s from the next lock on, epoch {moved.epoch}.")
        _tell_left(moved)
        say(f"Next: sendledger cutover verify {number}")
    if not all(one.holds for one in kept):
        raise typer.Exit(1)


def _show_kept(kept: Sequence[Kept], form: Format) -> None:
    rows = [{**asdict(one), "holds": "yes" if one.holds else "NO"} for one in kept]
    if form is Format.TABLE:
        rows = [{**row, "before": row["before"][:DIGITS], "read_back": row["read_back"][:DIGITS]} for row in rows]
    show(rows, KEPT, form)


def _tell_left(moved: MigratedToV2 | RolledBack) -> None:
    for leads, what in (
        (moved.locked, "under way with the sender before, which ends them"),
        (moved.in_doubt, "in doubt"),
    ):
        if leads:
            more = f" … {len(leads) - SHOWN} more" if len(leads) > SHOWN else ""
            say(f"{len(leads)} {what}: leads {' '.join(map(str, leads[:SHOWN]))}{more}")


def _rehearse(place: Workplace, number: int, reason: str, form: Format) -> None:
    with cutover.both(place.ledger, number) as (campaign, mailbox):
        now = place.now()
        events = rules.migrate(campaign, analyse(campaign, mailbox, now), actor=actor(), reason=reason, now=now)
    _would_move(events[0], number, form)


def _rehearse_back(place: Workplace, number: int, reason: str, form: Format) -> None:
    with cutover.both(place.ledger, number) as (campaign, _):
        events = rules.roll_back(campaign, actor=actor(), reason=reason, now=place.now())
    if not events:
        say(f"Campaign {number} is on V1, and not flagged for V2: there is nothing to roll back.")
        return
    _would_move(events[0], number, form)


def _would_move(moved: Any, number: int, form: Format) -> None:
    rows = [{"state": state, "leads": leads} for state, leads in moved.before.items()]
    show(rows, ("state", "leads"), form)
    if form is Format.TABLE:
        owner = "V2" if isinstance(moved, MigratedToV2) else "V1"
        say(f"Would make campaign {number} {owner}'s, epoch {moved.epoch}. Nothing was changed.")
        _tell_left(moved)


def _would_retire(place: Workplace, reason: str | None) -> None:
    numbers = place.ledger.campaigns()
    campaigns = []
    for number in numbers:
        with place.ledger.campaign(number) as campaign:
            campaigns.append(campaign)
    with place.ledger.senders() as senders:
        retire(senders, campaigns, actor=actor(), reason=reason, now=place.now())
    say("Would switch V1's tick off: no campaign is left on it. Nothing was changed.")


def _owner(row: queries.Row, form: Format) -> dict[str, Any]:
    since = local(row["owner_since"], row["zone"]) if form is Format.TABLE else row["owner_since"]
    owner = "old system" if row["observed"] else row["owner"]
    flagged = row["migration_refused"] or ("yes" if row["flagged"] else "")
    return {
        **{name: row[name] for name in ("id", "name", "status", "epoch")},
        "owner": owner,
        "since": since,
        "by": row["actor"] or row["created_by"],
        "reason": row["reason"] or ("imported" if row["observed"] else row["step"] or "created"),
        "flagged": flagged,
        "observed": "yes" if row["observed"] else "",
    }


def _step(row: queries.Row, zone: str, form: Format) -> dict[str, Any]:
    at = local(row["at"], zone) if form is Format.TABLE else row["at"]
    details = json.loads(row["details"])
    if form is Format.TABLE:
        details = ", ".join(f"{name} {_brief(value)}" for name, value in details.items() if value not in ({}, [], None))
    elif form is Format.CSV:
        details = row["details"]
    return {
        **{name: row[name] for name in ("step", "owner", "epoch", "actor", "reason")},
        "at": at,
        "details": details,
        "position": row["log_position"],
    }


def _brief(value: Any) -> str:
    match value:
        case dict():
            return "{" + ", ".join(f"{name} {number}" for name, number in value.items() if number) + "}"
        case list():
            return f"{len(value)} leads"
        case str() if len(value) == DIGEST:
            return value[:DIGITS]
        case _:
            return str(value)


def _reason(text: str) -> str:
    words = reason_given(text)
    if not words:
        raise InvalidInput("is empty.", mend="Say why: it is recorded for ever.", field="--reason")
    return words
