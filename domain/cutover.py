"""The way to V2 and back: repairs by a reviewed plan, the flag, the migration, the roll-back. Pure, as all commands.

Ownership moves in one append, from the next lock on. What the sender before has locked stays its own to end: nobody
waits for it. Rolling back is never refused.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from domain import analysis as found
from domain import events as e
from domain.analysis import Finding
from domain.campaign import Campaign, Status
from domain.commands import complete
from domain.emitting import Draft
from domain.errors import CommandRefused
from domain.leads import LeadState
from domain.legacy import NO_OUTCOME, observed_attempt, observed_token

PLAN_DIGITS = 12
QUEUE_CAUSE = "the old queue has it as sent or under way, the lead waits"
TRACES_CAUSE = "the old database has traces of a mail, the lead waits"

Kind = Literal["status", "in doubt", "skip"]


@dataclass(frozen=True, slots=True)
class Repair:
    """What is done to one lead, and by which rule. `to`: the new V1 status, the reason to skip it, or the cause of the
    doubt."""

    position: int
    lead_id: int
    rule: str
    kind: Kind
    to: str
    before: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Repairs to be reviewed. `id` stands for exactly these, in exactly the state that the leads are in."""

    id: str
    repairs: tuple[Repair, ...]


_REPAIRS: dict[str, tuple[Kind, str]] = {
    found.SENDING: ("in doubt", NO_OUTCOME),
    found.BACK_IN_QUEUE: ("in doubt", NO_OUTCOME),
    found.QUEUE_SENT: ("in doubt", QUEUE_CAUSE),
    found.QUEUE_SENDING: ("in doubt", QUEUE_CAUSE),
    found.TRACES: ("in doubt", TRACES_CAUSE),
    found.NO_LEAD_ID_KNOWN: ("status", "sent"),
    found.ONE_ADDRESS: ("skip", "duplicate address"),
    found.BLOCKED: ("skip", "suppressed"),
    found.UNUSABLE: ("skip", "unrenderable"),
    found.GONE: ("skip", "cancelled"),
    found.SENT_NOT_MARKED: ("status", "sent"),
    found.NOT_PICKED: ("status", "queued"),
}
"""What mends each fixable rule. Where a lead breaks several, the first of them decides: it is the most careful."""


def plan_repairs(campaign: Campaign, findings: Sequence[Finding]) -> Plan:
    """The repairs for everything fixable that was found, a lead once, and their id."""
    repairs: dict[int, Repair] = {}
    rules = {finding.rule: finding for finding in findings if finding.severity == "fixable"}
    for rule, (kind, to) in _REPAIRS.items():
        if (finding := rules.get(rule)) is None:
            continue
        for position, lead_id in zip(finding.positions, finding.leads, strict=True):
            before = campaign.roll.v1_status(position)
            repairs.setdefault(position, Repair(position, lead_id, rule, kind, to, before))
    ordered = tuple(repairs[position] for position in sorted(repairs))
    return Plan(_plan_id(campaign, ordered), ordered)


def apply_plan(
    campaign: Campaign, findings: Sequence[Finding], plan: str, *, actor: str, reason: str | None, now: datetime
) -> list[e.Event]:
    """Exactly the plan of this id, in one append. Refused when the campaign has moved on since it was reviewed."""
    present = plan_repairs(campaign, findings)
    if present.id != plan:
        raise CommandRefused(
            f"{campaign.stream} has moved on since plan {plan} was made, or it is none of its plans: the repairs are "
            f"others now. `sendledger cutover fix {campaign.number}` shows them."
        )
    if not present.repairs:
        raise CommandRefused(f"{campaign.stream} has nothing to fix.")
    draft = Draft(campaign.stream, campaign.version, now)
    counts = Counter(repair.rule for repair in present.repairs)
    draft.add(e.FixApplied, plan=plan, repairs=dict(sorted(counts.items())), actor=actor, reason=reason)
    leaving = sum(_repair(campaign, draft, repair) for repair in present.repairs)
    complete(campaign, draft, leaving=leaving)
    return draft.events


def flag(campaign: Campaign, *, actor: str, reason: str | None, now: datetime) -> list[e.Event]:
    """The next tick of V2 shall migrate it."""
    _must_be_ours(campaign)
    if campaign.owner == "v2":
        raise CommandRefused(f"{campaign.stream} is on V2 already.")
    if campaign.flagged and campaign.migration_refused is None:
        raise CommandRefused(f"{campaign.stream} is flagged for V2 already.")
    draft = Draft(campaign.stream, campaign.version, now)
    draft.add(e.FlaggedForV2, actor=actor, reason=reason)
    return draft.events


def migrate(
    campaign: Campaign, findings: Sequence[Finding], *, actor: str, reason: str, now: datetime
) -> list[e.Event]:
    """From the next lock on it is V2's. Refused while it is only observed, and while a finding blocks."""
    _must_be_ours(campaign)
    if campaign.owner == "v2":
        raise CommandRefused(f"{campaign.stream} is on V2 already.")
    if blocking := [finding for finding in findings if finding.severity == "blocks"]:
        named = "; ".join(f"{finding.rule} ({finding.says}; {finding.fix})" for finding in blocking)
        raise CommandRefused(f"{campaign.stream} is not migrated: {named}.")
    return _move(campaign, e.MigratedToV2, actor=actor, reason=reason, now=now)


def refuse_flagged(campaign: Campaign, refused: CommandRefused, *, now: datetime) -> list[e.Event]:
    """A tick could not migrate it. Recorded once for each reason."""
    if not campaign.flagged or campaign.migration_refused == str(refused):
        return []
    draft = Draft(campaign.stream, campaign.version, now)
    draft.add(e.MigrationRefused, reason=str(refused))
    return draft.events


def roll_back(campaign: Campaign, *, actor: str, reason: str, now: datetime) -> list[e.Event]:
    """From the next lock on it is V1's. Never refused; nothing for a campaign that is V1's and not flagged."""
    if not campaign.exists:
        raise CommandRefused(f"there is no {campaign.stream}; `sendledger campaign list` shows which there are.")
    if campaign.owner == "v1" and not campaign.flagged:
        return []
    return _move(campaign, e.RolledBack, actor=actor, reason=reason, now=now)


def states(campaign: Campaign) -> dict[str, int]:
    """Leads by state."""
    return {state.label: campaign.roll.counts[state] for state in LeadState}


def sent_digest(campaign: Campaign) -> str:
    """SHA-256 over the numbers of all leads that are sent, ascending, one a line; hex."""
    numbers = sorted(map(campaign.numbers.lead_id, campaign.roll.positions(LeadState.SENT)))
    return hashlib.sha256("".join(f"{number}\n" for number in numbers).encode()).hexdigest()


def _move(
    campaign: Campaign,
    kind: type[e.MigratedToV2] | type[e.RolledBack],
    *,
    actor: str,
    reason: str,
    now: datetime,
) -> list[e.Event]:
    draft = Draft(campaign.stream, campaign.version, now)
    in_doubt = sorted(map(campaign.numbers.lead_id, campaign.roll.positions(LeadState.IN_DOUBT)))
    draft.add(
        kind,
        epoch=campaign.epoch + 1,
        before=states(campaign),
        after=states(campaign),
        locked=tuple(sorted(attempt.lead_id for attempt in campaign.locked())),
        in_doubt=tuple(in_doubt),
        sent_digest=sent_digest(campaign),
        actor=actor,
        reason=reason,
    )
    return draft.events


def _repair(campaign: Campaign, draft: Draft, repair: Repair) -> int:
    """1 if this takes the lead out of those that wait or are being mailed."""
    about = {"position": repair.position, "lead_id": repair.lead_id}
    waits = campaign.roll.state(repair.position) in (LeadState.QUEUED, LeadState.LOCKED)
    match repair.kind:
        case "skip":
            draft.add(e.EmailSkipped, reason=repair.to, **about)
        case "status":
            draft.add(e.StatusFixed, before=repair.before, after=repair.to, rule=repair.rule, **about)
            return 1 if waits and repair.to == "sent" else 0
        case "in doubt":
            _put_in_doubt(campaign, draft, repair, about)
    return 1 if waits else 0


def _put_in_doubt(campaign: Campaign, draft: Draft, repair: Repair, about: dict[str, int]) -> None:
    observed = observed_attempt(campaign, repair.position)
    if observed is None or campaign.roll.state(repair.position) is LeadState.QUEUED:
        draft.add(e.StatusFixed, before=repair.before, after="sending", rule=repair.rule, **about)
        number = campaign.next_attempt(repair.position)
    else:
        number = observed.attempt
    token = observed_token(repair.lead_id, number)
    draft.add(e.EmailInDoubt, attempt=number, token=token, cause=repair.to, **about)


def _plan_id(campaign: Campaign, repairs: Sequence[Repair]) -> str:
    """Over the repairs, the leads as they are, and who owns the campaign: nothing else changes what they would do."""
    leads = [
        [*map(str, (repair.lead_id, repair.rule, repair.kind, repair.to, repair.before)), _moves(campaign, repair)]
        for repair in repairs
    ]
    said = [campaign.stream, campaign.status, campaign.owner, campaign.epoch, campaign.observed, leads]
    return hashlib.sha256(json.dumps(said, separators=(",", ":")).encode()).hexdigest()[:PLAN_DIGITS]


def _moves(campaign: Campaign, repair: Repair) -> list[int]:
    return [int(campaign.roll.state(repair.position)), campaign.attempts.get(repair.position, 0)]


def _must_be_ours(campaign: Campaign) -> None:
    if not campaign.exists:
        raise CommandRefused(f"there is no {campaign.stream}; `sendledger campaign list` shows which there are.")
    if campaign.observed:
        raise CommandRefused(
            f"{campaign.stream} is only observed: the old system mails it. Stop it there, then "
            f"`sendledger legacy takeover {campaign.number} --old-sender-stopped`."
        )
    if campaign.status is Status.CANCELLED:
        raise CommandRefused(f"{campaign.stream} is cancelled: it mails nobody, and needs no other sender.")
