"""What a campaign knows of the old system that it came from, and how that system's record moves its leads.

While it is only observed, the old system mails it and nobody here may lock. A lead's state follows the old status,
except where that would be unsafe: who was ever `sending` without an outcome is under way until evidence or a person
says otherwise, and who was mailed once stays mailed, whatever the old status says later.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from domain import events as e
from domain.attempts import Attempt, AttemptState
from domain.leads import LeadState

if TYPE_CHECKING:
    from domain.campaign import Campaign

OLD_SYSTEM: Final = "old system"
"""The runner of what an old system sends, and the actor of what it decides."""
NO_OUTCOME = "the old system had it under way and says no outcome"
"""Why such a mail is in doubt."""
MOST_COUNTED = 255
"""Sends of one lead are counted in a byte."""


class RowNumbers:
    """Numbers of rows that are known: eight bytes each, in ascending order, as they mostly come."""

    __slots__ = ("_numbers",)

    def __init__(self, numbers: list[int] | None = None) -> None:
        self._numbers = array("q", sorted(numbers or []))

    def __contains__(self, number: int) -> bool:
        at = bisect_left(self._numbers, number)
        return at < len(self._numbers) and self._numbers[at] == number

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def newest(self) -> int:
        """The highest; 0 when there is none."""
        return self._numbers[-1] if self._numbers else 0

    def add(self, number: int) -> None:
        """One more."""
        if not self._numbers or number > self._numbers[-1]:
            self._numbers.append(number)
        elif number not in self:
            self._numbers.insert(bisect_left(self._numbers, number), number)

    def steps(self) -> list[int]:
        """For a snapshot: each number less the one before, which compresses well."""
        return [number - before for before, number in zip([0, *self._numbers], self._numbers, strict=False)]

    @classmethod
    def of_steps(cls, steps: list[int]) -> RowNumbers:
        """From a snapshot."""
        numbers, last = [], 0
        for step in steps:
            last += step
            numbers.append(last)
        return cls(numbers)


@dataclass(slots=True)
class Legacy:
    """The old system's side of a campaign. `sends`: mails of each lead that are known as sent, by position.
    `rows`: the rows of its SendLog that are in this ledger; `newest_at` and `newest_id`: time and Message-ID of the
    newest. `numbers`: a lead's newest attempt, where it is more than the lead's sends say. `waited`: once it is taken
    over, a byte for each lead that came from there: 1 for one that waited then. The rest is what the last import
    said."""

    source: str
    settings_digest: str
    created_at: datetime | None = None
    scheduled_at: datetime | None = None
    observed: bool = True
    complete: bool = False
    send_log: dict[str, int] = field(default_factory=dict)
    queue: dict[str, int] = field(default_factory=dict)
    observations: tuple[e.Observation, ...] = ()
    rows: RowNumbers = field(default_factory=RowNumbers)
    newest_at: datetime | None = None
    newest_id: str | None = None
    waited: bytes | None = None
    sends: bytearray = field(default_factory=bytearray)
    numbers: dict[int, int] = field(default_factory=dict)

    def leads(self, campaign: Campaign) -> int:
        """How many of the campaign's leads, the first ones, came from there; others may bear their numbers since."""
        return len(campaign.roll) if self.waited is None else len(self.waited)

    def count(self, position: int, attempt: int) -> None:
        """One mail more of this lead, by this attempt."""
        self.sends[position] = min(self.sends[position] + 1, MOST_COUNTED)
        self.remember(position, attempt)

    def remember(self, position: int, attempt: int) -> None:
        """There was this attempt, even when nothing else tells of it any more: no other may bear its number."""
        if attempt > self.newest(position):
            self.numbers[position] = attempt

    def newest(self, position: int) -> int:
        """The number of this lead's newest attempt, as far as it is over."""
        return max(self.sends[position], self.numbers.get(position, 0))


def observed_token(lead_id: int, attempt: int) -> str:
    """The token of a mail that the old system has under way: it has none of its own."""
    return f"observed-{lead_id}-{attempt}"


def row_token(row: int) -> str:
    """The token of a mail that the old system's SendLog knows, by the number of the row."""
    return f"sendlog-{row}"


def observed_attempt(campaign: Campaign, position: int) -> Attempt | None:
    """The newest mail to this lead of which the old system had no outcome, whatever was said of it since."""
    lead_id = campaign.numbers.lead_id(position)
    for number in range(campaign.next_attempt(position) - 1, 0, -1):
        if (attempt := campaign.open.get(observed_token(lead_id, number))) is not None:
            return attempt
    return None


# --- how events change the state ---


def imported(campaign: Campaign, event: e.LegacyImported) -> None:
    """What the old system has of it was taken in."""
    if campaign.legacy is None:
        campaign.legacy = Legacy(event.source, event.settings_digest)
        campaign.legacy.sends.extend(bytes(len(campaign.roll)))
    legacy = campaign.legacy
    legacy.source, legacy.settings_digest, legacy.complete = event.source, event.settings_digest, event.complete
    legacy.created_at, legacy.scheduled_at = event.created_there, event.scheduled_there
    legacy.send_log, legacy.queue, legacy.observations = event.send_log, event.queue, event.observations


def lead_came(campaign: Campaign, event: e.EmailQueued) -> None:
    """A lead of a campaign with a past: while it is observed, in the state that its old status says."""
    if campaign.legacy is None:
        return
    campaign.legacy.sends.append(0)
    if campaign.legacy.observed:
        follow_status(campaign, event.position, event.v1_status, event.recorded_at)


def status_changed(campaign: Campaign, event: e.StatusObserved | e.StatusFixed) -> None:
    """The old system moved it, or a repair does as that system would have."""
    follow_status(campaign, event.position, event.after, event.recorded_at)


def mail_came(campaign: Campaign, event: e.EmailSent, imported_send: e.ImportedSend) -> None:
    """The old system sent it. It counts for limits and pace like any other mail. The V1 status stays as it was: that
    the two differ is for an analysis to see."""
    if campaign.legacy is None:
        return
    at = event.occurred_at or event.recorded_at
    if imported_send.row > campaign.legacy.rows.newest:
        campaign.legacy.newest_at, campaign.legacy.newest_id = at, imported_send.message_id
    campaign.legacy.rows.add(imported_send.row)
    campaign.mails.add(at)
    campaign.last_mail_at = max(campaign.last_mail_at or at, at)
    campaign.open.pop(observed_token(event.lead_id, event.attempt), None)


def taken_over(campaign: Campaign, event: e.TakenOver) -> None:
    """From here on it is ours."""
    campaign.epoch = event.epoch
    if campaign.legacy is not None:
        states = map(campaign.roll.state, range(len(campaign.roll)))
        campaign.legacy.observed, campaign.legacy.waited = False, bytes(state is LeadState.QUEUED for state in states)


def follow_status(campaign: Campaign, position: int, status: e.V1Status, at: datetime) -> None:
    """Put a lead where this V1 status says, unless that would forget a mail that may have been sent."""
    state = campaign.roll.state(position)
    match status:
        case "sent" | "replied":
            _close(campaign, position, LeadState.SENT)
        case "failed" if state in (LeadState.QUEUED, LeadState.LOCKED, LeadState.IN_DOUBT):
            _close(campaign, position, LeadState.FAILED)
        case "sending" if state in (LeadState.QUEUED, LeadState.FAILED):
            _open(campaign, position, at)
        case "planned" | "queued" if state is LeadState.FAILED:
            campaign.wait_again(position, at)
        case "planned" | "queued" if state is LeadState.QUEUED:
            campaign.arrivals.rewind(position)
        case _:
            pass
    campaign.roll.move(position, campaign.roll.state(position), status)


def _close(campaign: Campaign, position: int, state: LeadState) -> None:
    """It is over, by the old status. A mail that was under way stays known: a row of its own may still come to it."""
    attempt = observed_attempt(campaign, position)
    if attempt is not None and state is LeadState.SENT:
        campaign.open[attempt.token] = replace(attempt, state=AttemptState.RESOLVED_SENT)
    elif attempt is not None:
        campaign.open.pop(attempt.token)
    if state is LeadState.SENT:
        campaign.take_as_mailed(position)
    campaign.roll.move(position, state, campaign.roll.v1_status(position))
    campaign.retry_of.pop(position, None)


def _open(campaign: Campaign, position: int, at: datetime) -> None:
    """The old system has its mail under way."""
    lead_id, number = campaign.numbers.lead_id(position), campaign.next_attempt(position)
    token = observed_token(lead_id, number)
    campaign.attempts[position] = number
    campaign.open[token] = Attempt(
        position, lead_id, number, token, "v1", campaign.epoch, OLD_SYSTEM, campaign.mailbox, at
    )
    campaign.roll.move(position, LeadState.LOCKED, "sending")
    campaign.retry_of.pop(position, None)
