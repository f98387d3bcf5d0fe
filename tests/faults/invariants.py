"""The invariants I1 to I7, from the server's own file and the events. Nothing here asks the code that is tested,
where it can be told from the events themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from domain import events as e
from domain.checks import check_campaign, check_mailbox
from projections.projector import Projector
from runner.store.ledger import campaign_stream, mailbox_stream
from tests.faults.world import MAILBOX, Person, World

MAY_HAVE_IT = {"sent", "in doubt", "locked"}


def broken(world: World) -> list[str]:
    """Every breach, in words. Empty: all invariants hold."""
    accepted = world.accepted()
    fates = {number: fates_of(world.events(number)) for number in world.campaigns()}
    return [
        *duplicates(accepted),
        *_states(world, fates),
        *_accepted(accepted, fates),
        *_sent(world, accepted),
        *_views(world),
        *_rules(world),
    ]


def duplicates(accepted: Counter[Person]) -> list[str]:
    """I1: nobody got a campaign's mail twice."""
    return [f"I1: {person} was accepted {times} times" for person, times in accepted.items() if times > 1]


def fates_of(events: Iterable[e.Event]) -> dict[int, str]:
    """What the events say of each lead, read as a person would: the last word counts, and sent is sent."""
    fates: dict[int, str] = {}
    for event in events:
        if isinstance(event, e.CampaignCancelled):
            fates = {lead: "skipped" if fate == "queued" else fate for lead, fate in fates.items()}
        elif (fate := _fate(event)) is not None:
            lead, told = fate
            fates[lead] = "sent" if fates.get(lead) == "sent" else told
    return fates


def _fate(event: e.Event) -> tuple[int, str] | None:
    match event:
        case e.EmailQueued() | e.EmailRequeued():
            return event.lead_id, "queued"
        case e.EmailLocked():
            return event.lead_id, "locked"
        case e.EmailSent():
            return event.lead_id, "sent"
        case e.EmailFailed():
            return event.lead_id, "queued" if event.next_attempt_at else "failed"
        case e.EmailSkipped():
            return event.lead_id, "skipped"
        case e.EmailInDoubt():
            return event.lead_id, "in doubt"
        case e.InDoubtResolved():
            return event.lead_id, "sent" if event.outcome == "sent" else "queued"
        case _:
            return None


def _states(world: World, fates: dict[int, dict[int, str]]) -> list[str]:
    """I2: every lead in exactly one state, the same by the program's state as by the events."""
    told = [
        f"I2: {number}: the state says {states}, the events {list(fate.values())}"
        for number, fate in fates.items()
        if (states := world.states(number)) != list(fate.values())
    ]
    known = {(number, lead) for number, fate in fates.items() for lead in fate}
    return told + [f"I2: {person} is lost" for person in world.kept_leads() ^ known]


def _accepted(accepted: Counter[Person], fates: dict[int, dict[int, str]]) -> list[str]:
    """I3: what the server has is sent, locked or in doubt."""
    return [
        f"I3: {number, lead} was accepted and is {fate}"
        for number, lead in accepted
        if (fate := fates[number][lead]) not in MAY_HAVE_IT
    ]


def _sent(world: World, accepted: Counter[Person]) -> list[str]:
    """I4: what is sent, the server has."""
    return [
        f"I4: {number, event.lead_id} is sent and was never accepted"
        for number in world.campaigns()
        for event in world.events(number)
        if isinstance(event, e.EmailSent) and not accepted[number, event.lead_id]
    ]


def _views(world: World) -> list[str]:
    """I5: views rebuilt from zero equal those that followed."""
    return [f"I5: {difference}" for difference in Projector(world.engine, world.ledger.read).check()]


def _rules(world: World) -> list[str]:
    """I6 and I7: every lock by its owner, inside window, limits and pace."""
    checks = [
        check for number in world.campaigns() for check in check_campaign(campaign_stream(number), world.events(number))
    ]
    checks.append(check_mailbox(world.ledger.stream(mailbox_stream(MAILBOX))))
    return [f"I6/I7: {check.name}: {check.examples}" for check in checks if check.verdict == "FAIL"]
