"""What the old system did since, for all campaigns that came from one old database: each on its own."""

from __future__ import annotations

from dataclasses import dataclass, field

from domain.errors import CommandRefused, InvalidInput
from runner.legacy.blocking import list_blocked
from runner.legacy.importing import Imported, Progress, Source, import_campaign
from runner.legacy.old_database import OldDatabase
from runner.legacy.opening import is_same_place
from runner.legacy.origins import Recorded, recorded
from runner.store.ledger import Ledger


@dataclass(slots=True)
class Followed:
    """What was taken in. `missing`: campaigns that are no longer there; `problems`: why one was not followed."""

    found: list[Imported] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    problems: list[InvalidInput | CommandRefused] = field(default_factory=list)


def follow_all(ledger: Ledger, old: OldDatabase, source: Source, progress: Progress) -> Followed:
    """Every campaign that came from this database; if the source says that it was moved, those too that were made at
    the same time in one that was elsewhere. Raises `InvalidInput` where all came from others, and what went wrong with
    the first where none could be followed."""
    known = {number: one for number in ledger.campaigns() if (one := recorded(ledger, number)) is not None}
    done = Followed()
    for number, one in known.items():
        if source.moved or is_same_place(one.source, old.name):
            try:
                _follow(ledger, old, number, one, source, progress, done)
            except (InvalidInput, CommandRefused) as error:
                done.problems.append(error)
    if done.problems and not done.found:
        raise done.problems[0]
    if known and not done.found and not done.missing:
        others = ", ".join(sorted({one.source for one in known.values()}))
        mend = f"They came from {others}. If that is the same database in another place, add --moved."
        raise InvalidInput("no campaign of this ledger came from it.", mend=mend, source=old.name)
    list_blocked(ledger, old, source)
    return done


def _follow(
    ledger: Ledger, old: OldDatabase, number: int, known: Recorded, source: Source, progress: Progress, done: Followed
) -> None:
    is_here = is_same_place(known.source, old.name)
    campaign = next(iter(old.campaigns(number)), None)
    if campaign is None:
        done.missing += [number] if is_here else []
    elif is_here or known.created_at in (None, campaign.created_at):
        done.found.append(import_campaign(ledger, old, campaign, source, progress))
