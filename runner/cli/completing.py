"""What a shell completes from the ledger: numbers of campaigns and names of mailboxes, and nothing else.

A glance, and no more: read-only, by no view that would have to be brought up to date, and given up after a moment. One
that fails completes nothing and says nothing. zsh evaluates what it is told, so no campaign's name is ever told, nor
anything that holds more than the characters of a mailbox's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

import typer

from projections.database import glancing
from projections.event_log import STREAMS_BETWEEN
from runner.cli.context import LARGEST_NUMBER
from runner.settings import load_settings


def campaign_numbers(incomplete: str) -> list[str]:
    """Those that begin so, ascending."""
    numbers = (stream for stream in _streams("campaign-", "campaign.") if stream.isdecimal())
    return [number for number in sorted(numbers, key=int) if number.startswith(incomplete)]


def mailbox_names(incomplete: str) -> list[str]:
    """Those that begin so."""
    return [name for name in sorted(_streams("mailbox-", "mailbox.")) if name.startswith(incomplete)]


HARMLESS = re.compile(r"[A-Za-z0-9._-]+")

CampaignNumber = Annotated[
    int, typer.Argument(max=LARGEST_NUMBER, help="The campaign's number.", autocompletion=campaign_numbers)
]
OnlyCampaign = Annotated[
    int | None, typer.Argument(max=LARGEST_NUMBER, help="Only this campaign.", autocompletion=campaign_numbers)
]
MailboxName = Annotated[str, typer.Argument(help="The mailbox's name, such as sales.", autocompletion=mailbox_names)]


def _streams(first: str, last: str) -> list[str]:
    """What the names of streams between these two say after their beginning."""
    try:
        names = [stream.removeprefix(first) for stream in _found(first, last)]
    except Exception:  # noqa: BLE001 - whatever it was, somebody is in the middle of a line
        return []
    return [name for name in names if HARMLESS.fullmatch(name)]


def _found(first: str, last: str) -> Iterator[str]:
    engine = glancing(load_settings().url)
    try:
        with engine.connect() as connection:
            yield from connection.execute(STREAMS_BETWEEN, {"first": first, "last": last}).scalars()
    finally:
        engine.dispose()
