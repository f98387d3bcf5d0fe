"""Three senders that are wrong on purpose: a comparison that does not find them proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from domain.campaign import Campaign
from domain.events import Sender
from domain.leads import LeadState
from domain.mailbox import Mailbox
from domain.policies import Send
from domain.replay.sides import Policy, Side
from domain.rules import Rule, Wait

EARLY = timedelta(hours=1)


@dataclass(slots=True)
class Mutant:
    """A wrong policy over a right one. `acted`: has it ever said something else?"""

    name: str
    wrong: Callable[[Mutant, Campaign, Mailbox, Sender, datetime], Send | Wait]
    right: Policy
    lead_id: int
    acted: bool = False
    done: bool = False

    def __call__(self, campaign: Campaign, mailbox: Mailbox, sender: Sender, now: datetime) -> Send | Wait:
        return self.wrong(self, campaign, mailbox, sender, now)


def mutants(side: Side, lead_id: int) -> list[tuple[Mutant, Side]]:
    """Each with the side that it makes of this one. `lead_id`: whom they wrong."""
    wrongs = {"one hour early": _early, "one lead dropped": _dropping, "one mail doubled": _doubling}
    found = [Mutant(name, wrong, side.policy, lead_id) for name, wrong in wrongs.items()]
    return [(mutant, replace(side, policy=mutant)) for mutant in found]


def _early(mutant: Mutant, campaign: Campaign, mailbox: Mailbox, sender: Sender, now: datetime) -> Send | Wait:
    answer = mutant.right(campaign, mailbox, sender, now)
    if isinstance(answer, Send):
        return answer
    early = mutant.right(campaign, mailbox, sender, now + EARLY)
    mutant.acted = mutant.acted or isinstance(early, Send)
    return early if isinstance(early, Send) else Wait(Rule.DELAY, now + timedelta(seconds=1))


def _dropping(mutant: Mutant, campaign: Campaign, mailbox: Mailbox, sender: Sender, now: datetime) -> Send | Wait:
    answer = mutant.right(campaign, mailbox, sender, now)
    if isinstance(answer, Send) and answer.lead_id == mutant.lead_id:
        mutant.acted = True
        return Wait(Rule.LEAD)
    return answer


def _doubling(mutant: Mutant, campaign: Campaign, mailbox: Mailbox, sender: Sender, now: datetime) -> Send | Wait:
    position = campaign.numbers.position(mutant.lead_id)
    if not mutant.done and position is not None and campaign.roll.state(position) is LeadState.SENT:
        mutant.acted = mutant.done = True
        return Send(position, mutant.lead_id, now)
    return mutant.right(campaign, mailbox, sender, now)
