"""How commands tell why a mail does not leave now, and when it can."""

from __future__ import annotations

from datetime import datetime

from domain.errors import CommandRefused
from projections.times import time_text
from runner.cli.output import Format, local


def shown(at: datetime | None, zone: str, form: Format) -> str | None:
    """A time for people in the campaign's zone, for programs in UTC as everywhere else."""
    if form is Format.TABLE:
        return local(at, zone)
    return time_text(at) if at else None


def no_lead(number: int, lead: int) -> CommandRefused:
    """There is none of that number."""
    return CommandRefused(f"campaign {number} has no lead {lead}.")


def no_campaign(number: int) -> CommandRefused:
    """There is none of that number."""
    return CommandRefused(f"there is no campaign {number}; `sendledger campaign list` shows which there are.")
