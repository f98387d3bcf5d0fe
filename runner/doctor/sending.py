"""What sending needs beyond the database: runners that live, mails that nobody has to settle, templates that render."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection

from domain.campaign import Status
from domain.errors import SendledgerError
from domain.legacy import OLD_SYSTEM
from domain.policies import Send, next_in_line
from projections import queries
from runner.doctor.findings import Finding, fail, ok, warn
from runner.rendering import where_to_mend
from runner.sending.liveness import living
from runner.sending.preparing import Order, Preparer, Suppressed
from runner.workplace import Workplace


def runners(place: Workplace) -> Iterator[Finding]:
    """Which live, and is one needed?"""
    with place.views() as views:
        unended = [row["runner"] for row in queries.unended_runners(views)]
        alive = len(living(place.settings.runners_folder, views, unended))
        waiting = sum(row["queued"] for row in queries.campaigns(views) if row["status"] == Status.RUNNING)
    killed = len(unended) - alive
    found = f"{alive} alive" + (f", {killed} ended without a word" if killed else "")
    if waiting and not alive and not place.simulated:
        yield warn("runners", f"{found}; {waiting:,} leads wait in running campaigns.", "Start one: `sendledger run`.")
    else:
        yield ok("runners", found)


def doubts(place: Workplace) -> Iterator[Finding]:
    """Mails that a person must settle, and those that the next runner will put in doubt."""
    with place.views() as views:
        in_doubt = len(queries.in_doubt(views))
        orphaned = _orphaned(place, views)
    if in_doubt:
        mend = "`sendledger in-doubt list`; look for each in the mail server's log; `sendledger in-doubt resolve`."
        yield warn("in doubt", f"nobody knows of {in_doubt:,} mails whether they were taken.", mend)
    elif orphaned:
        found = f"{orphaned:,} mails were under way when their runner was gone."
        yield warn("in doubt", found, "The next runner puts them in doubt: `sendledger run`.")
    else:
        yield ok("in doubt", "nothing")


def templates(place: Workplace) -> Iterator[Finding]:
    """The next mail of each running campaign, made as it would leave, and not sent."""
    with place.views() as views:
        running = [row["id"] for row in queries.campaigns(views) if row["status"] == Status.RUNNING]
    preparer = Preparer(place.ledger)
    broken = 0
    for number in running:
        if (order := _next_order(place, number)) is None:
            continue
        try:
            preparer.prepare(order)
        except Suppressed:
            pass  # whoever sends skips that lead
        except SendledgerError as error:
            broken += 1
            with place.ledger.campaign(number) as campaign:
                mend = where_to_mend(campaign)
            yield fail(f"campaign {number}", f"lead {order.lead_id}, the next: {error}", mend)
    if not broken:
        yield ok("templates", f"{len(running):,} running campaigns render for their next lead")


def _orphaned(place: Workplace, views: Connection) -> int:
    """Ours: of what an old system has under way, it may still say the outcome."""
    locked = queries.locked_by_runner(views)
    locked.pop(OLD_SYSTEM, None)
    alive = living(place.settings.runners_folder, views, locked)
    return sum(count for runner, count in locked.items() if runner not in alive)


def _next_order(place: Workplace, number: int) -> Order | None:
    now = place.now()
    with place.ledger.campaign_and_mailbox(number) as (campaign, mailbox):
        position = next_in_line(campaign, campaign.owner, now)
        if position is None:
            return None
        return Order.of(campaign, mailbox, Send(position, campaign.numbers.lead_id(position), now), now)
