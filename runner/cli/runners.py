"""`sendledger runner …`: which machine may send from this ledger."""

from __future__ import annotations

import socket
from typing import Annotated

import typer

from domain import commands
from domain.campaign import Campaign, Status
from domain.emitting import Draft
from domain.errors import CommandRefused
from domain.events import Event, RunnerRegistered
from projections.kept import DROP_INFO
from runner.cli.context import actor, command, reason_given, workplace
from runner.cli.output import say
from runner.sending.guard import Guard, LedgerNotKnownHere, LedgerRestored
from runner.store.copying import MOVED_TO
from runner.workplace import Workplace

app = typer.Typer(no_args_is_help=True, help="Which machine may send from this ledger.")

STREAM = "registrations"


@app.command("register")
@command
def register(
    reason: Annotated[str, typer.Option(help="Why; recorded for ever.")],
    accept_restored: Annotated[
        bool, typer.Option("--accept-restored", help="It is an older backup: pause every campaign.")
    ] = False,
) -> None:
    """Let this machine send from this ledger, which it does not know or which was restored from a backup.

    Example: sendledger runner register --accept-restored --reason "disk failed, backup of Monday night"
    """
    with workplace() as place:
        words = reason_given(reason) or ""
        guard = Guard(place.ledger, place.settings.runners_folder)
        problem = _problem(guard)
        moved = MOVED_TO in place.info
        if problem is None and not moved and not accept_restored:
            say("This machine knows this ledger already; nothing was done.")
            return
        if isinstance(problem, LedgerRestored) and not accept_restored:
            raise CommandRefused(f"{problem}")
        paused = _pause_all(place, words) if accept_restored else 0
        draft = Draft(STREAM, place.ledger.version(STREAM), place.now())
        draft.add(RunnerRegistered, host=socket.gethostname(), restored=accept_restored, actor=actor(), reason=words)
        place.ledger.append(draft.events)
        if moved:
            place.ledger.keep((DROP_INFO, [{"b_key": MOVED_TO}]))
        guard.mark()
        say(f"This machine may send from this ledger.{f' {paused} campaigns paused.' if accept_restored else ''}")


def _problem(guard: Guard) -> LedgerRestored | LedgerNotKnownHere | None:
    try:
        guard.check()
    except (LedgerRestored, LedgerNotKnownHere) as problem:
        return problem
    return None


def _pause_all(place: Workplace, reason: str) -> int:
    def decide(campaign: Campaign) -> list[Event]:
        if campaign.status is not Status.RUNNING or campaign.observed:
            return []
        return commands.pause(campaign, actor=actor(), reason=reason, now=place.now())

    numbers = place.ledger.campaigns()
    return sum(bool(place.ledger.on_campaign(number, decide, first_in_line=True)) for number in numbers)
