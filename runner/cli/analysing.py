"""`sendledger cutover analyze`, `fix` and `verify`: what does not fit together, what mends it, is all well since."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from domain.analysis import SEVERAL, Finding
from domain.verifying import Answer
from projections import queries
from projections.times import time_text
from runner import cutover
from runner.campaigns import existing
from runner.cli.completing import CampaignNumber
from runner.cli.context import actor, command, reason_given, workplace
from runner.cli.output import Format, FormatOption, MaybeReason, local, print_json, say, show
from runner.cli.sending import instant
from runner.cutover import Examined

app = typer.Typer()

NO_DATA = 3
"""Exit code of a verification that found nothing wrong and had nothing to judge for some of its questions."""
SHOWN = 8
"""So many leads of a finding stand in a table; JSON and CSV have all."""

FINDINGS = ("rule", "severity", "count", "leads", "says", "fix")
ANSWERS = ("question", "verdict", "cases", "broken", "evidence", "says")
REPAIRS = ("lead", "rule", "v1_status", "does")
MAILS = ("lead_id", "sent_at", "message_id", "sender", "by")


@app.command("analyze")
@command
def analyze(number: CampaignNumber, form: FormatOption = Format.TABLE) -> None:
    """What does not fit together in a campaign: counts, and each finding with its leads and what `fix` would do.

    Exit code 1 when a finding blocks the way to V2.

    Example: sendledger cutover analyze 4 --format json
    """
    with workplace() as place:
        found = cutover.examine(place.ledger, number, place.now())
        twice = [lead for finding in found.findings if finding.rule == SEVERAL for lead in finding.leads]
        with place.views() as views:
            zone = existing(queries.campaign(views, number), number)["zone"]
            mails = [_mail(row, zone) for row in queries.mails_of(views, number, twice)]
    match form:
        case Format.JSON:
            print_json(_as_json(found, mails))
        case Format.CSV:
            show([_finding(finding, all_leads=True) for finding in found.findings], FINDINGS, form)
        case Format.TABLE:
            _show_examined(found, mails)
    if any(finding.severity == "blocks" for finding in found.findings):
        raise typer.Exit(1)


@app.command("fix")
@command
def fix(
    number: CampaignNumber,
    plan: Annotated[str | None, typer.Option(help="Apply exactly this plan, by its id.")] = None,
    reason: MaybeReason = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Without --plan: the repairs that analysis suggests, with a plan id; nothing is changed. With it: exactly those.

    A plan that was made before its leads moved on is refused.

    Example: sendledger cutover fix 4
    """
    with workplace() as place:
        if plan is not None:
            words = reason_given(reason)
            cutover.apply_plan(place.ledger, number, plan, actor=actor(), reason=words, now=place.now())
            say(f"Campaign {number}: plan {plan} applied, in one append.")
            return
        planned = cutover.plan(place.ledger, number, place.now())
    rows = [
        {"lead": one.lead_id, "rule": one.rule, "v1_status": one.before, "does": f"{one.kind}: {one.to}"}
        for one in planned.repairs
    ]
    if form is Format.JSON:
        print_json({"plan": planned.id, "repairs": rows})
        return
    show(rows, REPAIRS, form, empty=f"Campaign {number} has nothing to fix.")
    if form is Format.TABLE and rows:
        say(
            f"{len(rows)} repairs; nothing was changed. Apply them: sendledger cutover fix {number} --plan {planned.id}"
        )


@app.command("verify")
@command
def verify(
    number: CampaignNumber,
    since: Annotated[str | None, typer.Option(help="From this instant on; else from the last change of owner.")] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Eight questions about a campaign, each PASS, FAIL or NO DATA with its cases and places in the ledger. Where a
    shadow decided beside the owner, what it would have sent was due.

    Exit code 0: all pass. 1: one fails. 3: none fails, and one has no data, which is never a pass.

    Example: sendledger cutover verify 4 --since 2026-11-18T09:00+01:00
    """
    start = instant(since, field="--since") if since is not None else None
    with workplace() as place, place.views() as views:
        existing(queries.campaign(views, number), number)
        answers = cutover.verified(place.ledger, views, number, since=start, now=place.now())
    rows = [_answer(answer, form) for answer in answers]
    show(rows, (*ANSWERS, "shadow") if form is Format.JSON else ANSWERS, form)
    verdicts = {answer.verdict for answer in answers}
    if len(verdicts) > 1 or verdicts != {"PASS"}:
        raise typer.Exit(1 if "FAIL" in verdicts else NO_DATA)


# --- telling ---


def _show_examined(found: Examined, mails: Sequence[dict[str, Any]]) -> None:
    owner = "the old system" if found.observed else found.owner
    say(f"Campaign {found.campaign}: {found.status}, {owner} mails it, epoch {found.epoch}.")
    for what, counts in (
        ("V1 status", found.v1_statuses),
        ("queue", found.states),
        ("old SendLog", found.send_log),
        ("old queue", found.queue),
    ):
        if some := ", ".join(f"{name} {number}" for name, number in counts.items() if number):
            say(f"{what}: {some}")
    say("")
    show([_finding(finding) for finding in found.findings], FINDINGS, Format.TABLE, empty="Everything fits together.")
    if mails:
        say("\nMailed more than once")
        show(mails, MAILS, Format.TABLE)


def _finding(finding: Finding, *, all_leads: bool = False) -> dict[str, Any]:
    numbers = finding.leads or finding.rows
    shown = numbers if all_leads else numbers[:SHOWN]
    more = f" … {len(numbers) - len(shown)} more" if len(numbers) > len(shown) else ""
    kind = "" if finding.leads or not finding.rows else "rows "
    return {
        "rule": finding.rule,
        "severity": finding.severity,
        "count": len(numbers) or None,
        "leads": f"{kind}{' '.join(map(str, shown))}{more}",
        "says": finding.says,
        "fix": finding.fix,
    }


def _as_json(found: Examined, mails: Sequence[dict[str, Any]]) -> dict[str, Any]:
    findings = [
        {name: value for name, value in asdict(finding).items() if name != "positions"} for finding in found.findings
    ]
    return {**asdict(found), "findings": findings, "mailed_more_than_once": list(mails)}


def _answer(answer: Answer, form: Format) -> dict[str, Any]:
    row = {**asdict(answer), "verdict": answer.verdict, "says": answer.words}
    if form is not Format.JSON:
        return {**row, "evidence": " ".join(map(str, answer.evidence))}
    if (told := answer.shadow) is not None:
        until = time_text(told.until) if told.until else None
        row["shadow"] = {**asdict(told), "since": time_text(told.since), "until": until}
    return row


def _mail(row: queries.Row, zone: str) -> dict[str, Any]:
    by = "old system" if row["imported"] is not None else row["runner"]
    said = {"lead_id": row["lead_id"], "sent_at": local(row["finished_at"], zone), "message_id": row["message_id"]}
    return {**said, "sender": row["sender"], "by": by}
