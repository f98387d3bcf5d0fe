"""What does not fit together in a campaign, before it is moved: each finding with its rule, how much it matters, the
leads it concerns and what a repair would do. Pure, on the campaign's state; one pass over its leads.

    blocks   the campaign is not moved to V2 until a person has decided
    fixable  a plan of repairs mends it
    note     as it was, and as it stays: to be known
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Literal

from domain import events as e
from domain.campaign import Campaign, Status
from domain.leads import V1_MAILED, V1_WAITS, LeadState
from domain.legacy import OLD_SYSTEM, observed_attempt
from domain.mailbox import Mailbox

Severity = Literal["blocks", "fixable", "note"]

QUEUE_SENT, QUEUE_SENDING = "queue-says-sent", "queue-says-sending"
TRACES = "traces-of-a-mail"
QUEUE_OTHER = "queue-differs"
UNKNOWN_QUEUE_ROWS = "queue-of-unknown-leads"
UNKNOWN_SENDS = "sends-of-unknown-leads"
NO_LEAD_ID, NO_LEAD_ID_KNOWN = "sends-without-lead", "sends-without-lead-to-a-lead"
ONE_ADDRESS = "one-address-two-leads"
BLOCKED = "blocked-but-waits"
UNUSABLE = "address-or-fields-unusable"
GONE = "gone-from-the-old-database"
ROWS_GONE = "sendlog-rows-gone"
MOVED_SINCE = "moved-there-since"
CANCELLED_HERE = "cancelled-here-alone"
"""Rules of observations: what only the old database shows, and an import writes down."""

SENT_NOT_MARKED = "sent-not-marked"
MARKED_NO_ROW = "marked-without-sendlog"
SENDING = "sending-without-outcome"
BACK_IN_QUEUE = "sending-and-queued-again"
SEVERAL = "sent-more-than-once"
WAITS_WHEN_OVER = "waits-though-completed"
NOT_PICKED = "waits-but-v1-passes-over"
LIMIT_TODAY = "limit-exceeded-today"
DOUBTFUL = "in-doubt"
INCOMPLETE = "import-incomplete"
SCHEDULED = "scheduled-there"

STRAYS = (NO_LEAD_ID, NO_LEAD_ID_KNOWN, UNKNOWN_SENDS)
"""Rules about rows of the old SendLog that name no lead of the campaign."""

MAY_BE_SENT = (QUEUE_SENT, QUEUE_SENDING, TRACES)
"""Rules by which a lead that waits may have been mailed."""

DANGERS = (ONE_ADDRESS, NO_LEAD_ID_KNOWN, *MAY_BE_SENT, GONE)
"""Rules by which somebody waits who may have been mailed already, or whom nobody wants to mail any more."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule that is broken. `positions` are those of `leads`; `rows`: rows of the old table that the rule speaks of;
    `fix`: what a repair would do, or who must decide what."""

    rule: str
    severity: Severity
    says: str
    fix: str
    positions: tuple[int, ...] = ()
    leads: tuple[int, ...] = ()
    rows: tuple[int, ...] = ()


def analyse(campaign: Campaign, mailbox: Mailbox, now: datetime) -> list[Finding]:
    """Everything that is found, the gravest first."""
    found = [finding for rule in _RULES for finding in rule(_Census(campaign))]
    found += _limits(campaign, mailbox, now)
    return sorted(found, key=lambda finding: ("blocks", "fixable", "note").index(finding.severity))


def waits_wrongly(campaign: Campaign, again: Collection[int] = ()) -> list[Finding]:
    """What must be mended before any of our senders may send; or what would have to be, if those at the positions of
    `again` waited too."""
    if campaign.legacy is None:
        return []
    census = _Census(campaign, again)
    return [finding for rule in _RULES for finding in rule(census) if finding.rule in DANGERS and finding.positions]


def waits_unusable(campaign: Campaign) -> bool:
    """Does somebody wait for whom no mail can be made, whatever the template, so that a repair would skip them?"""
    return any(_unusable(_Census(campaign)))


def stray_rows(campaign: Campaign) -> set[int]:
    """Rows of the SendLog of which an import has found that they name no lead of the campaign."""
    observations = campaign.legacy.observations if campaign.legacy is not None else ()
    return {row for each in observations if each.rule in STRAYS for row in each.rows}


def moved_since(campaign: Campaign) -> set[int]:
    """Leads of which an import has found that the old system has moved them after the take-over."""
    observations = campaign.legacy.observations if campaign.legacy is not None else ()
    return {lead for each in observations if each.rule == MOVED_SINCE for lead in each.leads}


class _Census:
    """A campaign's leads in groups of one state, V1 status and number of sends, in one pass. Whoever the last import
    wrote something down about is taken as waiting too when `again` has its position."""

    def __init__(self, campaign: Campaign, again: Collection[int] = ()) -> None:
        self.campaign = campaign
        self.legacy = campaign.legacy
        self.again = again
        sends = campaign.legacy.sends if campaign.legacy is not None else bytes(len(campaign.roll))
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        for position, key in enumerate(zip(bytes(campaign.roll), sends, strict=True)):
            groups[key].append(position)
        self._groups = [
            (campaign.roll.state(group[0]), campaign.roll.v1_status(group[0]), sends, group)
            for (_, sends), group in groups.items()
        ]

    def where(self, holds: Callable[[LeadState, e.V1Status, int], bool]) -> list[int]:
        """Positions, ascending, by state, V1 status and number of sends."""
        return sorted(
            position
            for state, status, sends, group in self._groups
            if holds(state, status, sends)
            for position in group
        )

    def observed(self, rule: str) -> list[e.Observation]:
        """What the last import wrote down under this rule."""
        if self.legacy is None:
            return []
        return [observation for observation in self.legacy.observations if observation.rule == rule]

    def waiting_among(self, observations: Sequence[e.Observation]) -> list[int]:
        """Positions of those leads of these that still wait."""
        return sorted({at for observation in observations for at in self.positions_of(observation) if self.waits(at)})

    def waits(self, position: int) -> bool:
        """Does this lead wait, now or again?"""
        return self.campaign.roll.state(position) is LeadState.QUEUED or position in self.again

    def positions_of(self, observation: e.Observation) -> list[int]:
        """Of the leads that the campaign has, in the order in which they are named."""
        return [self._positions[lead] for lead in observation.leads if lead in self._positions]

    @cached_property
    def _positions(self) -> dict[int, int]:
        """Lead numbers of an old system come in any order: one walk over all is less than one for each."""
        theirs = self.legacy.leads(self.campaign) if self.legacy is not None else 0
        return {self.campaign.numbers.lead_id(position): position for position in range(theirs)}

    def unsettled(self, positions: Sequence[int]) -> Sequence[int]:
        """Without those of whom a person said, since they were taken over, that the old system did not mail them."""
        if self.campaign.observed:
            return positions
        return [position for position in positions if observed_attempt(self.campaign, position) is None]

    def finding(
        self, rule: str, severity: Severity, says: str, fix: str, positions: Sequence[int], rows: Sequence[int] = ()
    ) -> Finding:
        leads = tuple(self.campaign.numbers.lead_id(position) for position in positions)
        return Finding(rule, severity, says, fix, tuple(positions), leads, tuple(rows))


def _incomplete(census: _Census) -> Iterator[Finding]:
    if census.legacy is not None and not census.legacy.complete:
        yield census.finding(
            INCOMPLETE, "blocks", "the last import was broken off", "run `sendledger legacy import` again", ()
        )


def _waits_when_over(census: _Census) -> Iterator[Finding]:
    if census.campaign.status is not Status.COMPLETED:
        return
    if positions := census.where(lambda state, _status, _sends: state is LeadState.QUEUED):
        says = "the campaign is completed, and leads wait: nobody will mail them"
        fix = "a person decides: `campaign resume` mails them, `campaign cancel` skips them"
        yield census.finding(WAITS_WHEN_OVER, "blocks", says, fix, positions)


def _sending(census: _Census) -> Iterator[Finding]:
    """Old mails that are under way: our own have a runner that ends them, or is gone."""
    if census.campaign.legacy is None:
        return
    under_way = [attempt.position for attempt in census.campaign.locked() if attempt.runner == OLD_SYSTEM]
    queued_again = [at for at in under_way if census.campaign.roll.v1_status(at) in V1_WAITS]
    sending = sorted(set(under_way) - set(queued_again))
    fix = "in doubt: a person finds out; never sent again by itself"
    if sending:
        yield census.finding(SENDING, "fixable", "`sending`, without an outcome", fix, sending)
    if queued_again:
        says = "was `sending`, and waits again without an outcome: it may have been sent"
        yield census.finding(BACK_IN_QUEUE, "fixable", says, fix, sorted(queued_again))


def _may_be_sent(rule: str, by: str) -> Callable[[_Census], Iterator[Finding]]:
    def look(census: _Census) -> Iterator[Finding]:
        if positions := census.unsettled(census.waiting_among(census.observed(rule))):
            says = f"waits, and {by}: it may have been sent"
            yield census.finding(rule, "fixable", says, "in doubt: a person finds out", positions)

    return look


def _no_lead_id(census: _Census) -> Iterator[Finding]:
    if positions := census.waiting_among(census.observed(NO_LEAD_ID_KNOWN)):
        says = "waits, and the SendLog has a mail of this campaign to its address, of another lead or of none"
        yield census.finding(NO_LEAD_ID_KNOWN, "fixable", says, "V1 status becomes `sent`: it was mailed", positions)
    if rows := [row for observation in census.observed(NO_LEAD_ID) for row in observation.rows]:
        yield census.finding(NO_LEAD_ID, "note", "SendLog rows without a lead, as test mails are", "nothing", (), rows)


def _one_address(census: _Census) -> Iterator[Finding]:
    """Of the leads that share an address all but one must not be mailed; none if one was, or may have been. Who waits
    already goes before who is to wait again."""
    campaign, skipped = census.campaign, []
    for observation in census.observed(ONE_ADDRESS):
        group = census.positions_of(observation)
        waiting = sorted(filter(census.waits, group), key=census.again.__contains__)
        others = (campaign.roll.state(at) for at in group if not census.waits(at))
        mailed = any(state in (LeadState.SENT, LeadState.LOCKED, LeadState.IN_DOUBT) for state in others)
        skipped += waiting if mailed else waiting[1:]
    if skipped:
        says = "has the address of another lead: one person, one mail"
        yield census.finding(ONE_ADDRESS, "fixable", says, "skipped: duplicate address", sorted(set(skipped)))


def _blocked(census: _Census) -> Iterator[Finding]:
    if positions := census.waiting_among(census.observed(BLOCKED)):
        says = "is blocked, and waits"
        yield census.finding(BLOCKED, "fixable", says, "skipped: suppressed", positions)


def _unusable(census: _Census) -> Iterator[Finding]:
    if positions := census.waiting_among(census.observed(UNUSABLE)):
        says = "waits, and no mail can be made for its address or fields"
        yield census.finding(UNUSABLE, "fixable", says, "skipped: unrenderable", positions)


def _gone(census: _Census) -> Iterator[Finding]:
    if positions := census.waiting_among(census.observed(GONE)):
        says = "waits, and the old database has it no more in this campaign"
        yield census.finding(GONE, "fixable", says, "skipped: cancelled", positions)


def _sent_not_marked(census: _Census) -> Iterator[Finding]:
    positions = census.where(lambda state, status, _sends: state is LeadState.SENT and status not in V1_MAILED)
    if positions:
        says = "was mailed, and its V1 status says otherwise"
        yield census.finding(SENT_NOT_MARKED, "fixable", says, "V1 status becomes `sent`", positions)


def _not_picked(census: _Census) -> Iterator[Finding]:
    positions = census.where(lambda state, status, _sends: state is LeadState.QUEUED and status not in V1_WAITS)
    if positions:
        says = "waits, in a V1 status that V1 never picks"
        yield census.finding(NOT_PICKED, "fixable", says, "V1 status becomes `queued`", positions)


def _marked_without_row(census: _Census) -> Iterator[Finding]:
    if census.legacy is None:
        return
    positions = census.where(lambda state, status, sends: state is LeadState.SENT and status in V1_MAILED and not sends)
    if positions:
        says = "is `sent` without a row in the SendLog"
        yield census.finding(MARKED_NO_ROW, "note", says, "nothing: it counts as sent", positions)


def _several(census: _Census) -> Iterator[Finding]:
    if positions := census.where(lambda _state, _status, sends: sends > 1):
        says = "was mailed more than once"
        yield census.finding(SEVERAL, "note", says, "nothing: it is history", positions)


def _in_doubt(census: _Census) -> Iterator[Finding]:
    if positions := census.where(lambda state, _status, _sends: state is LeadState.IN_DOUBT):
        says = "is in doubt"
        yield census.finding(DOUBTFUL, "note", says, "`in-doubt resolve`, with the mail server's log", positions)


def _other_rows(rule: str, says: str) -> Callable[[_Census], Iterator[Finding]]:
    def look(census: _Census) -> Iterator[Finding]:
        observations = census.observed(rule)
        rows = [row for observation in observations for row in observation.rows]
        known = sorted(at for observation in observations for at in census.positions_of(observation))
        if rows or known:
            yield census.finding(rule, "note", says, "nothing", known, rows)

    return look


def _cancelled_here(census: _Census) -> Iterator[Finding]:
    if census.observed(CANCELLED_HERE):
        says = "was cancelled in the old system when it was looked at, and goes on there: here everybody is skipped"
        fix = "a person decides: import it into a new ledger, or leave it to the old system"
        yield census.finding(CANCELLED_HERE, "blocks", says, fix, ())


def _scheduled(census: _Census) -> Iterator[Finding]:
    at = census.legacy.scheduled_at if census.legacy is not None else None
    if at is not None and census.campaign.status is Status.DRAFT:
        says = f"was to begin by itself in the old system at {at.isoformat()}: here nothing does"
        yield census.finding(SCHEDULED, "note", says, "a person starts it: `campaign start`", ())


def _rows_gone(census: _Census) -> Iterator[Finding]:
    if rows := [row for observation in census.observed(ROWS_GONE) for row in observation.rows]:
        says = (
            "the newest SendLog row that was taken in is no longer there: was a backup restored? When that gives a "
            "number again, nothing more is taken in"
        )
        yield census.finding(ROWS_GONE, "note", says, "nothing: a person looks", (), rows)


_RULES: tuple[Callable[[_Census], Iterator[Finding]], ...] = (
    _incomplete,
    _waits_when_over,
    _cancelled_here,
    _sending,
    _may_be_sent(QUEUE_SENT, "its row in the old queue is `sent`, or has a time of sending"),
    _may_be_sent(QUEUE_SENDING, "its row in the old queue is, or was, `sending`"),
    _may_be_sent(TRACES, "it has a time of sending there, or its newest SendLog row is `queued`"),
    _no_lead_id,
    _one_address,
    _blocked,
    _unusable,
    _gone,
    _sent_not_marked,
    _not_picked,
    _several,
    _marked_without_row,
    _in_doubt,
    _scheduled,
    _rows_gone,
    _other_rows(QUEUE_OTHER, "is in another state in the old queue"),
    _other_rows(UNKNOWN_QUEUE_ROWS, "rows of the old queue are about leads that the campaign does not have"),
    _other_rows(MOVED_SINCE, "the old system has mailed it, or begun to, since it was taken over"),
    _other_rows(UNKNOWN_SENDS, "SendLog rows are about leads that the campaign does not have"),
)


def _limits(campaign: Campaign, mailbox: Mailbox, now: datetime) -> Iterator[Finding]:
    today = campaign.mails.on_date_of(now, campaign.schedule.zone)
    if today > campaign.limits.daily_limit:
        says = f"{today} mails today, the limit is {campaign.limits.daily_limit}"
        yield Finding(LIMIT_TODAY, "note", says, "nothing: no mail leaves until tomorrow")
    today = mailbox.mails.on_date_of(now, mailbox.zone)
    if today > mailbox.daily_limit:
        says = f"{today} mails today through {mailbox.stream}, its limit is {mailbox.daily_limit}"
        yield Finding(LIMIT_TODAY, "note", says, "nothing: no mail leaves through it until tomorrow")
