"""`sendledger audit rules`: a certificate over every send, judged again under the settings of its moment."""

from __future__ import annotations

from typing import Any

import typer

from domain.checks import Violation
from runner.auditing.judging import Certificate, certificate
from runner.cli.audit.sends import AuditedCampaign
from runner.cli.context import command, workplace
from runner.cli.output import Format, FormatOption, local, print_json, say, show
from runner.cli.progress import bar
from runner.workplace import LEDGER_ID

app = typer.Typer()

RULES = ("stream", "rule", "verdict", "cases", "kept", "broken")
EXCEPTIONS = ("stream", "version", "lead_id", "attempt", "sender", "at", "rule", "what")


@app.command("rules")
@command
def rules(campaign: AuditedCampaign = None, form: FormatOption = Format.TABLE) -> None:
    """Judge every send again, and name every exception: a certificate. Exit code 1 when there is one.

    As JSON it is one document, with the signed checkpoint that the events stand under; as CSV the exceptions alone.

    Example: sendledger audit rules --campaign 4 --format json > certificate.json
    """
    with workplace() as place, bar("streams") as progress:
        judged = certificate(place.ledger, place.info[LEDGER_ID], campaign, progress)
    exceptions = [_exception(each) for each in judged.violations]
    if form is Format.JSON:
        print_json(_document(judged, exceptions))
    elif form is Format.CSV:
        show(exceptions, EXCEPTIONS, form)
    else:
        _tell(judged, exceptions)
    if exceptions or any(row["broken"] for row in _rules(judged)):
        raise typer.Exit(1)


def _tell(judged: Certificate, exceptions: list[dict[str, Any]]) -> None:
    show(_rules(judged), RULES, Format.TABLE, empty="Nothing to judge yet.")
    if exceptions:
        say("\nExceptions")
        show([row | {"at": local(row["at"])} for row in exceptions], EXCEPTIONS, Format.TABLE)
    say(
        f"\n{len(exceptions):,} exceptions in the events up to position {judged.position:,}; "
        f"{judged.sealed:,} of them are sealed."
    )


def _rules(judged: Certificate) -> list[dict[str, Any]]:
    return [
        {
            "stream": each.stream,
            "rule": check.name,
            "verdict": check.verdict,
            "cases": check.cases,
            "kept": check.cases - check.broken,
            "broken": check.broken,
        }
        for each in judged.judged
        for check in each.checks
    ]


def _exception(each: Violation) -> dict[str, Any]:
    return {
        "stream": each.stream,
        "version": each.version,
        "lead_id": each.lead_id,
        "attempt": each.attempt,
        "sender": each.sender,
        "at": each.at.isoformat(),
        "rule": each.rule,
        "what": each.what,
    }


def _document(judged: Certificate, exceptions: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "ledger": judged.ledger,
        "position": judged.position,
        "sealed": judged.sealed,
        "checkpoint": judged.checkpoint or None,
        "rules": _rules(judged),
        "exceptions": exceptions,
    }
