"""What rows of the old SendLog and the old queue say that the campaign's leads do not: for an analysis to show."""

from __future__ import annotations

from collections.abc import Sequence

from domain import analysis as found
from domain import events as e
from domain.campaign import Campaign
from domain.leads import V1_WAITS
from runner.legacy.contacts import People
from runner.legacy.records import OldQueueRow, OldSend


class Strays:
    """Rows of the SendLog that say `sent` and name no lead of the campaign. One that an earlier import has matched to a
    lead stays that lead's: it may have another address since.

    Of a campaign that is ours, those that no import has seen are late: the old sender is still at work.
    """

    def __init__(self, campaign: Campaign) -> None:
        self._begun: dict[int, int] = {}
        self.late: list[OldSend] = []
        self.late_to_others: list[OldSend] = []
        self._is_ours = not campaign.observed
        self._seen = found.stray_rows(campaign)
        self._before = _to_leads_before(campaign)
        self._without: list[int] = []
        self._unknown: list[int] = []
        self._to_leads: dict[int, list[int]] = {}

    def add(self, send: OldSend, people: People) -> None:
        """One such row."""
        if self._is_ours and send.row_id not in self._seen:
            self.late.append(send)
        elif (lead := self._before.get(send.row_id, people.lead_of(send.address))) is not None:
            self._to_leads.setdefault(lead, []).append(send.row_id)
        else:
            self.add_unmatched(send)

    def has_begun(self, send: OldSend) -> None:
        """A row of any status: by the newest of a lead its mail is under way, or nobody said how it ended."""
        if send.lead_id is not None and send.status == "queued":
            self._begun[send.lead_id] = send.row_id
        elif send.lead_id is not None:
            self._begun.pop(send.lead_id, None)

    def look_at_address(self, send: OldSend, people: People, *, is_new: bool) -> None:
        """A row that names a lead of the campaign: the mail went to its address, which may be another's."""
        key = people.key_of_lead.get(send.lead_id or 0)
        if key is None or send.address.casefold() == key:
            return
        other = people.lead_of(send.address)
        if not self._is_ours and other not in (None, send.lead_id):
            self._to_leads.setdefault(other, []).append(send.row_id)
        elif self._is_ours and is_new:
            self.late_to_others.append(send)

    def add_unmatched(self, send: OldSend) -> None:
        """One to an address that no lead has."""
        (self._without if send.lead_id is None else self._unknown).append(send.row_id)

    def observations(self) -> list[e.Observation]:
        """What they add up to."""
        to_leads = [
            e.Observation(rule=found.NO_LEAD_ID_KNOWN, leads=(lead,), rows=tuple(rows))
            for lead, rows in self._to_leads.items()
        ]
        if self._begun and not self._is_ours:
            to_leads.append(
                e.Observation(rule=found.TRACES, leads=tuple(self._begun), rows=tuple(self._begun.values()))
            )
        others = [(found.NO_LEAD_ID, self._without), (found.UNKNOWN_SENDS, self._unknown)]
        return to_leads + [e.Observation(rule=rule, rows=tuple(rows)) for rule, rows in others if rows]


def _to_leads_before(campaign: Campaign) -> dict[int, int]:
    observations = campaign.legacy.observations if campaign.legacy is not None else ()
    known = (each for each in observations if each.rule == found.NO_LEAD_ID_KNOWN)
    return {row: lead for each in known for lead in each.leads for row in each.rows}


class QueueRows:
    """Rows of the old queue against the leads' statuses."""

    def __init__(self) -> None:
        self._rows: dict[str, list[int]] = {}
        self._leads: dict[str, list[int]] = {}

    def add(self, row: OldQueueRow, people: People) -> None:
        """One row."""
        lead = people.by_row.get(row.campaign_lead_row_id)
        if lead is None:
            self._rows.setdefault(found.UNKNOWN_QUEUE_ROWS, []).append(row.row_id)
            return
        for rule in _disagreements(row, lead[1]):
            self._rows.setdefault(rule, []).append(row.row_id)
            self._leads.setdefault(rule, []).append(lead[0])

    def observations(self) -> list[e.Observation]:
        """What they add up to."""
        return [
            e.Observation(rule=rule, leads=tuple(dict.fromkeys(self._leads.get(rule, ()))), rows=tuple(rows))
            for rule, rows in self._rows.items()
        ]


def _disagreements(row: OldQueueRow, status: str) -> Sequence[str]:
    """The rules that a queue row and its lead's status break together. One that failed waits when it is tried again,
    and then it counts that the queue says otherwise."""
    queue = "sent" if row.sent_at is not None else row.status
    may_be_sent = {"sent": found.QUEUE_SENT, "sending": found.QUEUE_SENDING}.get(queue)
    if status in V1_WAITS:
        return () if queue == "pending" else (may_be_sent or found.QUEUE_OTHER,)
    agree = {"sending": ("sending",), "sent": ("sent",), "replied": ("sent",), "failed": ("failed", "cancelled")}
    if queue in agree[status]:
        return ()
    return (found.QUEUE_OTHER, may_be_sent) if status == "failed" and may_be_sent else (found.QUEUE_OTHER,)
