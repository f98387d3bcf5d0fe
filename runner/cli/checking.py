"""`sendledger check` and `demo`: what was sent, judged again; and a demonstration."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from shutil import which
from typing import Annotated

import typer
from sqlalchemy import Connection

from domain.checks import EXAMPLES, Check, check_campaign, check_mailbox
from domain.errors import CommandRefused
from migrations.run import shown
from projections import queries
from projections.rows import Outcome
from runner import demo as demonstration
from runner import logs
from runner.cli import analysing, ledgers, sending
from runner.cli.completing import OnlyCampaign
from runner.cli.context import command, workplace
from runner.cli.output import Format, FormatOption, local, say, show
from runner.cli.panels import SEEING, SET_UP
from runner.daemon import SENDERS
from runner.settings import FILE_NAME, WHERE, load_settings
from runner.sink import Sink
from runner.store.ledger import campaign_stream, mailbox_stream
from runner.workplace import Workplace

app = typer.Typer()

DEMO_FOLDER = Path("demo")
DEMO_START = "2026-10-05T08:00+02:00"
NEWEST = 5
ATTEMPT = ("campaign_id", "lead_id", "attempt", "sender", "outcome", "locked_at", "code", "message_id")
COLUMNS = ("what", "check", "verdict", "cases", "broken", "examples")


@app.command("check", rich_help_panel=SEEING, short_help="Judge every send again, by the rules of its moment.")
@command
def check(
    number: OnlyCampaign = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Judge every send again, under the settings in force at that moment. Exit code 1 when a rule was broken.

    Example: sendledger check 4
    """
    with workplace() as place:
        if not _judged(_all_checks(place, number), form):
            raise typer.Exit(1)


@app.command("demo", rich_help_panel=SET_UP, short_help="Two sample campaigns over two simulated days, by real SMTP.")
@command
def demo(
    folder: Annotated[Path, typer.Option(help="Where everything of the demonstration lies.")] = DEMO_FOLDER,
) -> None:
    """Two sample campaigns, one on each sender, over two simulated working days, by real SMTP on this machine; between
    the days the first one moves to V2.

    Example: sendledger demo --folder /tmp/demo
    """
    folder.mkdir(parents=True, exist_ok=True)
    os.environ[WHERE] = str(folder / FILE_NAME)
    if not (folder / FILE_NAME).exists():
        ledgers.init(simulated=True, start=DEMO_START)
    mails = folder / "mails"
    with Sink(mails, refuse=demonstration.addresses_to_refuse()) as sink, workplace() as place:
        logs.configure("text")
        before = _sent(place)
        demonstration.run(place, sink, say)
        sent = _sent(place) - before
        say(f"{sink.accepted} mails accepted by the local mail server, {sent} recorded as sent.")
    _send_logs()
    _queues()
    _cutover()
    _checks(mails)
    say(f"\nLedger: {shown(load_settings().url)}   Mails: {mails / 'new'}   Settings: {folder / FILE_NAME}")
    say(f"Look around: {WHERE}={folder / FILE_NAME} {_this_program()} status")
    if before:
        say(f"Before this run {before} mails had been sent; nobody got a second one.")


def _send_logs() -> None:
    say("\nSendLog by sender")
    with workplace() as place, place.views() as views:
        rows = queries.send_totals(views)
        show(rows, ("campaign_id", "sender", "outcome", "attempts"), Format.TABLE, empty="Nothing was tried.")
        zones = {row["id"]: row["zone"] for row in queries.campaigns(views)}
        for sender in SENDERS:
            say(f"\nThe last of {sender}")
            newest = [dict(row) for row in queries.send_log(views, sender=sender, limit=NEWEST)]
            for row in newest:
                row["locked_at"] = local(row["locked_at"] or row["finished_at"], zones[row["campaign_id"]])
            show(newest, ATTEMPT, Format.TABLE, empty="Nothing was tried.")


def _queues() -> None:
    say("\nWhat waits, and why")
    sending.status(form=Format.TABLE)
    with workplace() as place:
        numbers = place.ledger.campaigns()
    for number in numbers:
        say(f"\nThe queue of campaign {number}")
        sending.queue(number, NEWEST, Format.TABLE)


def _cutover() -> None:
    """The first campaign since it moved. That a question had no case, as of a campaign that is over, is no fault."""
    say(f"\nCampaign {demonstration.FIRST} since it moved to V2")
    try:
        analysing.verify(demonstration.FIRST, None, Format.TABLE)
    except typer.Exit as ended:
        if ended.exit_code != analysing.NO_DATA:
            raise


def _checks(mails: Path) -> None:
    say("\nChecks")
    with workplace() as place:
        with place.views() as views:
            log = [(row["outcome"], row["message_id"]) for row in queries.send_log(views)]
        sent, in_doubt = ({said for kind, said in log if kind == each} for each in (Outcome.SENT, Outcome.IN_DOUBT))
        compared = demonstration.compare_with_server(mails, sent, in_doubt)
        if not _judged([*_all_checks(place, None), ("mail server", compared)], Format.TABLE):
            raise typer.Exit(1)


def _this_program() -> str:
    """How the reader can call it, who may have no `sendledger` on the PATH."""
    return Path(sys.argv[0]).name if which("sendledger") else sys.argv[0]


def _judged(checks: Iterable[tuple[str, Check]], form: Format) -> bool:
    rows = [
        {
            "what": what,
            "check": check.name,
            "verdict": check.verdict,
            "cases": check.cases,
            "broken": check.broken,
            "examples": "; ".join(check.examples),
        }
        for what, check in checks
    ]
    show(rows, COLUMNS if any(row["broken"] for row in rows) else COLUMNS[:-2], form, empty="Nothing to check yet.")
    return not any(row["verdict"] == "FAIL" for row in rows)


def _all_checks(place: Workplace, number: int | None) -> Iterator[tuple[str, Check]]:
    numbers = place.ledger.campaigns()
    if number is not None and number not in numbers:
        raise CommandRefused(f"there is no campaign {number}; `sendledger campaign list` shows which there are.")
    for each in numbers if number is None else [number]:
        stream = campaign_stream(each)
        for check in check_campaign(stream, place.ledger.stream(stream)):
            yield f"campaign {each}", check
    if number is not None:
        return
    with place.views() as views:
        names = [row["name"] for row in queries.mailboxes(views)]
        of_views = list(_checks_of_views(views)) if numbers else []
    for name in names:
        yield f"mailbox {name}", check_mailbox(place.ledger.stream(mailbox_stream(name)))
    for check in of_views:
        yield "views", check


def _checks_of_views(views: Connection) -> Iterator[Check]:
    """The same of the whole ledger, by another way: from what the views have counted, not from the events."""
    twice = [f"campaign {row['campaign_id']}, lead {row['lead_id']}" for row in queries.duplicates(views)]
    lost = [f"campaign {row['id']}" for row in queries.unaccounted(views)]
    campaigns = queries.campaigns(views)
    yield _counted("nobody mailed twice", sum(row["sent"] for row in campaigns), twice)
    yield _counted("every lead in exactly one state", sum(row["leads"] for row in campaigns), lost)
    yield _counted("every event known to this program", queries.events_folded(views), queries.unknown_topics(views))


def _counted(name: str, cases: int, broken: Sequence[str]) -> Check:
    return Check(name, cases, len(broken), list(broken[:EXAMPLES]))


def _sent(place: Workplace) -> int:
    with place.views() as views:
        return sum(row["attempts"] for row in queries.send_totals(views) if row["outcome"] == "sent")
