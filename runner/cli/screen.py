"""The live view, drawn: what is shown follows from the overview alone."""

from __future__ import annotations

from datetime import datetime

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from domain.campaign import Status
from runner.cli.output import held_by, local
from runner.overview import CampaignNow, MailboxNow, Overview, TickNow

MOST_CAMPAIGNS = 12
MOST_MAILBOXES = 8
MOST_NEXT = 5
BAR_WIDTH = 16
COUNTED = ("sent", "queued", "failed", "skipped", "in doubt")
DUE_BY_SHADOW = ("due", "tried", "behind")

OPEN = "open"
DUE = "now"


def screen(now: Overview) -> RenderableType:
    """The whole view. The most urgent stands on top: a small terminal cuts off the end."""
    parts: list[RenderableType] = [_head(now), ""]
    parts += [_campaigns(now), ""] if now.campaigns else [Text("No campaigns yet: sendledger campaign create FILE"), ""]
    if watched := [each for each in now.campaigns if each.shadow is not None]:
        parts += [_shadows(watched), ""]
    if upcoming := _upcoming(now):
        parts += [_next_mails(upcoming), ""]
    if now.mailboxes:
        parts += [_mailboxes(now), ""]
    return Group(*parts, _ticks(now))


def screen_while_away(seen: Overview, since: datetime, problem: str) -> RenderableType:
    """What was seen last, under a line that says since when nothing newer can be seen."""
    away = Text(f"The database is away since {local(since)} UTC: {problem} It is looked for again.", "bold red")
    return Group(away, Text("Seen last:"), screen(seen))


def _head(now: Overview) -> Text:
    time = f"{local(now.at)} UTC{', simulated' if now.simulated else ''}"
    alive = Text(f"{now.runners} alive" if now.runners else "none alive", "green" if now.runners else "yellow")
    doubts = Text(f"{now.in_doubt:,}", "bold red" if now.in_doubt else "")
    hint = " (sendledger in-doubt list)" if now.in_doubt else ""
    return Text.assemble(("sendledger  ", "bold"), time, "   runners: ", alive, "   in doubt: ", doubts, hint)


def _campaigns(now: Overview) -> RenderableType:
    table = _table("id", "campaign", "status", "on", "done", "", *COUNTED, "why")
    shown = sorted(now.campaigns, key=lambda each: (each.status != Status.RUNNING, each.number))
    for each in shown[:MOST_CAMPAIGNS]:
        counts = (getattr(each, name.replace(" ", "_")) for name in COUNTED)
        why = held_by(each.wait, each.zone) if each.wait else DUE if each.next_at else ""
        table.add_row(
            str(each.number),
            Text(each.name),
            each.status,
            each.owner,
            ProgressBar(total=max(each.leads, 1), completed=each.settled, width=BAR_WIDTH),
            f"{100 * each.settled // each.leads if each.leads else 0} %",
            *(f"{count:,}" for count in counts),
            Text(why),
        )
    return _with_rest(table, len(shown) - MOST_CAMPAIGNS, "sendledger status")


def _shadows(watched: list[CampaignNow]) -> RenderableType:
    table = _table("shadow", "since", "zone", "campaign", *DUE_BY_SHADOW)
    shown = sorted(watched, key=lambda each: (not (each.shadow and each.shadow.behind), each.number))
    for each in shown[:MOST_CAMPAIGNS]:
        if (shadow := each.shadow) is not None:
            behind = Text(f"{shadow.behind:,}", "yellow" if shadow.behind else "")
            counts = (f"{shadow.due:,}", f"{shadow.tried:,}", behind)
            campaign = Text(f"{each.number} {each.name}")
            table.add_row(shadow.sender, local(shadow.since, each.zone), each.zone, campaign, *counts)
    return _with_rest(table, len(shown) - MOST_CAMPAIGNS, "sendledger status")


def _upcoming(now: Overview) -> list[CampaignNow]:
    known = [each for each in now.campaigns if each.next_at is not None]
    return sorted(known, key=lambda each: (str(each.next_at), each.number))[:MOST_NEXT]


def _next_mails(upcoming: list[CampaignNow]) -> RenderableType:
    table = _table("next mail", "zone", "campaign")
    for each in upcoming:
        at = local(each.next_at, each.zone) if each.wait else DUE
        table.add_row(at, each.zone, Text(f"{each.number} {each.name}"))
    return table


def _mailboxes(now: Overview) -> RenderableType:
    table = _table("mailbox", "today", "limit", "state")
    shown = sorted(now.mailboxes, key=lambda each: (each.wait is None, each.name))
    for each in shown[:MOST_MAILBOXES]:
        table.add_row(each.name, f"{each.today:,}", f"{each.daily_limit:,}", _state(each))
    return _with_rest(table, len(shown) - MOST_MAILBOXES, "sendledger mailbox list")


def _state(mailbox: MailboxNow) -> Text:
    return Text(held_by(mailbox.wait, mailbox.zone), "yellow") if mailbox.wait else Text(OPEN)


def _ticks(now: Overview) -> Text:
    told = "; ".join(f"{tick.sender} {local(tick.at)} UTC, {_did(tick)}" for tick in now.ticks)
    return Text(f"Last ticks recorded: {told or 'none'}. (Idle ones are written down once an hour.)", "dim")


def _did(tick: TickNow) -> str:
    return f"{tick.sent:,} sent, {tick.failed:,} failed" if tick.kind == "tick" else tick.kind


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        numbers = name in ("", "id", *COUNTED, *DUE_BY_SHADOW, "today", "limit")
        table.add_column(name, justify="right" if numbers else "left", overflow="ellipsis", no_wrap=name != "why")
    return table


def _with_rest(table: Table, rest: int, command: str) -> RenderableType:
    return Group(table, Text(f"… {rest:,} more: {command}", "dim")) if rest > 0 else table
