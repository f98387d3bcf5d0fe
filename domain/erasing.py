"""Erasing a person: the decision, pure as every other. Who waits is skipped; what is already said of a lead stays true.

The events hold no personal data, so they stay, and with them the seal: what goes are the rows that say who a lead was.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from domain import commands
from domain import events as e
from domain.attempts import Attempt, AttemptState
from domain.campaign import Campaign
from domain.emitting import Draft
from domain.errors import CommandRefused
from domain.legacy import OLD_SYSTEM


class MailUnderWay(CommandRefused):
    """A mail to this person is being sent at this moment: nobody can say yet what there will be to erase."""

    def __init__(self, campaign: Campaign, attempt: Attempt) -> None:
        super().__init__(
            f"the mail to lead {attempt.lead_id} of {campaign.stream} is under way, and its outcome, with the server's "
            f"words, is still to come. Nothing was erased. {_what_ends_it(campaign, attempt)}, and then it can be "
            "erased."
        )


def erase(
    campaign: Campaign, positions: Iterable[int], *, reference: str, reason: str, actor: str, now: datetime
) -> list[e.Event]:
    """These leads are nobody any more. Refused while a mail to one of them is under way: all of them, or none."""
    places = list(dict.fromkeys(positions))
    for position in places:
        for attempt in campaign.unanswered(position):
            if attempt.state is AttemptState.LOCKED:
                raise MailUnderWay(campaign, attempt)
    events = commands.skip(campaign, places, "erased", now=now)
    draft = Draft(campaign.stream, campaign.version + len(events), now)
    for position in places:
        lead_id = campaign.numbers.lead_id(position)
        draft.add(e.PersonErased, position=position, lead_id=lead_id, reference=reference, reason=reason, actor=actor)
    return [*events, *draft.events]


def _what_ends_it(campaign: Campaign, attempt: Attempt) -> str:
    if attempt.runner == OLD_SYSTEM:
        return (
            "The old system has it: run the command again when `sendledger legacy follow` has seen what became of it. "
            f"If nothing does, `sendledger cutover fix {campaign.number}` or the take-over puts the mail in doubt"
        )
    return "Run the command again in a minute; if that runner is gone, the next `sendledger run` puts the mail in doubt"
