"""What was said about a lead, as rows: one a time and column."""

from __future__ import annotations

from typing import Any

from domain import events as e
from domain.policies import Send
from domain.replay.sides import Answer
from domain.rules import Wait
from runner.cli.output import Format, held_by
from runner.cli.reasons import shown
from runner.replaying.explaining import Seen

EXPLAINED = ("at", "column", "says", "lead_is", "in_line", "mails_today", "last_mail", "gap_s")


def told(seen: Seen, zone: str, form: Format) -> dict[str, Any]:
    """One row."""
    return {
        "at": shown(seen.at, zone, form),
        "column": seen.column,
        "says": _says(seen.says, zone),
        "lead_is": seen.lead_is,
        "in_line": seen.in_line,
        "mails_today": seen.mails_today,
        "last_mail": shown(seen.last_mail_at, zone, form),
        "gap_s": None if seen.gap_s is None else round(seen.gap_s, 1),
    }


def _says(said: Answer | e.Event, zone: str) -> str:
    match said:
        case Send():
            return f"send lead {said.lead_id}"
        case Wait():
            return f"wait: {held_by(said, zone)}"
        case e.Event():
            return type(said).__name__
        case _:
            return f"the policy raised {said.error}"
