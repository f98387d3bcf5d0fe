"""What a campaign's way from an old system to V2 changes in the views: the record of that system taken in, and each
step of the cutover. A lead's state follows `domain.legacy` step by step.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from domain import events as e
from domain.legacy import OLD_SYSTEM, observed_token
from projections.batch import FAILED, IN_DOUBT, LOCKED, QUEUED, SENT, Batch, CampaignRows
from projections.rows import AttemptRow, LeadRow, Outcome
from projections.shadows import begin_anew
from projections.times import local_date, time_text

SAID_ELSEWHERE = frozenset({"recorded_at", "occurred_at", "actor", "reason", "epoch", "observations"})


def follow_status(batch: Batch, at: int, campaign: CampaignRows, lead: LeadRow, status: str, recorded: str) -> None:
    """Put a lead where this V1 status says, unless that would forget a mail that may have been sent."""
    match status:
        case "sent" | "replied":
            _end(lead, at, recorded, Outcome.RESOLVED_SENT.value)
            campaign.move(lead, SENT, status)
            lead.next_attempt_at = lead.reason = lead.awaited_attempt = None
        case "failed" if lead.state in (QUEUED, LOCKED, IN_DOUBT):
            _end(lead, at, recorded, Outcome.FAILED.value)
            campaign.move(lead, FAILED, status)
            lead.next_attempt_at, lead.reason = None, OLD_SYSTEM
        case "sending" if lead.state in (QUEUED, FAILED):
            _begin(batch, at, campaign, lead, recorded)
        case "planned" | "queued" if lead.state == FAILED:
            campaign.wait_again(lead, recorded, recorded)
        case _:
            pass
    campaign.move(lead, lead.state, status)


def take_in(batch: Batch, campaign: CampaignRows, lead: LeadRow, event: e.EmailSent, mail: e.ImportedSend) -> None:
    """A mail of the old system's SendLog: it answers one that was under way there, or is an attempt of its own."""
    sent = time_text(event.occurred_at or event.recorded_at)
    attempt = lead.log.get(event.attempt)
    if attempt is None:
        attempt = _attempt(campaign, lead, event.attempt, event.token)
        batch.add_attempt(lead, attempt)
        lead.attempts = max(lead.attempts, event.attempt)
    attempt.message_id, attempt.imported = mail.message_id, mail.row
    campaign.row["last_mail_at"] = max(campaign.row["last_mail_at"] or sent, sent)
    batch.add_up("campaign_days", "mails", 1, campaign.id, local_date(sent, campaign.zone))


def _end(lead: LeadRow, at: int, recorded: str, outcome: str) -> None:
    """The mail that the old system had under way, if there is one, by the status that it has now."""
    observed = [one for one in lead.log.values() if one.runner == OLD_SYSTEM and one.imported is None]
    open_ones = [one for one in observed if one.outcome != Outcome.FAILED]
    if open_ones:
        attempt = max(open_ones, key=lambda one: one.attempt)
        attempt.outcome, attempt.outcome_position, attempt.finished_at = outcome, at, recorded
        if outcome == Outcome.FAILED:
            attempt.phase, attempt.permanent = OLD_SYSTEM, 1


def _begin(batch: Batch, at: int, campaign: CampaignRows, lead: LeadRow, recorded: str) -> None:
    number = lead.attempts + 1
    attempt = _attempt(campaign, lead, number, observed_token(lead.lead_id, number))
    attempt.locked_at, attempt.lock_position = recorded, at
    lead.attempts = lead.awaited_attempt = number
    lead.next_attempt_at = lead.reason = None
    batch.add_attempt(lead, attempt)
    campaign.move(lead, LOCKED, "sending")


def _attempt(campaign: CampaignRows, lead: LeadRow, number: int, token: str) -> AttemptRow:
    row = campaign.row
    return AttemptRow(
        campaign.id, lead.position, number, lead.lead_id, "v1", row["epoch"], OLD_SYSTEM, row["mailbox"], token
    )


def _status_observed(batch: Batch, at: int, event: e.StatusObserved | e.StatusFixed) -> None:
    campaign = batch.campaign(event)
    follow_status(batch, at, campaign, batch.lead(campaign, event), event.after, time_text(event.recorded_at))


def _imported(batch: Batch, at: int, event: e.LegacyImported) -> None:
    campaign = batch.campaign(event)
    if not campaign.row["imported"]:
        campaign.row.update(imported=1, observed=1)
    _step(batch, at, event, "imported" if event.complete else "import begun")


def _taken_over(batch: Batch, at: int, event: e.TakenOver) -> None:
    row, since = batch.campaign(event).row, time_text(event.recorded_at)
    row.update(observed=0, epoch=event.epoch, owner_since=since)
    begin_anew(batch, row["id"], since)
    _step(batch, at, event, "taken over")


def _fixed(batch: Batch, at: int, event: e.FixApplied) -> None:
    _step(batch, at, event, "fixed")


def _flagged(batch: Batch, at: int, event: e.FlaggedForV2) -> None:
    batch.campaign(event).row.update(flagged=1, migration_refused=None)
    _step(batch, at, event, "flagged")


def _refused(batch: Batch, at: int, event: e.MigrationRefused) -> None:
    batch.campaign(event).row["migration_refused"] = event.reason
    _step(batch, at, event, "migration refused")


def _migrated(batch: Batch, at: int, event: e.MigratedToV2) -> None:
    _owner_changed(batch, event, "v2")
    _step(batch, at, event, "migrated")


def _rolled_back(batch: Batch, at: int, event: e.RolledBack) -> None:
    _owner_changed(batch, event, "v1")
    _step(batch, at, event, "rolled back")


def _owner_changed(batch: Batch, event: e.MigratedToV2 | e.RolledBack, owner: str) -> None:
    row, since = batch.campaign(event).row, time_text(event.recorded_at)
    row.update(owner=owner, epoch=event.epoch, owner_since=since, flagged=0, migration_refused=None)
    begin_anew(batch, row["id"], since)


def _step(batch: Batch, at: int, event: Any, step: str) -> None:
    """The row of this step. `event` is one of a campaign."""
    campaign = batch.campaign(event)
    details = {name: value for name, value in event.model_dump(mode="json").items() if name not in SAID_ELSEWHERE}
    row = {
        "log_position": at,
        "campaign_id": campaign.id,
        "step": step,
        "at": time_text(event.recorded_at),
        "owner": campaign.row["owner"],
        "epoch": campaign.row["epoch"],
        "actor": getattr(event, "actor", None),
        "reason": getattr(event, "reason", None),
        "details": json.dumps(details, sort_keys=True, ensure_ascii=False),
    }
    batch.put("cutovers", row)


CUTOVER_HANDLERS: dict[type[e.Event], Callable[[Batch, int, Any], None]] = {
    e.LegacyImported: _imported,
    e.StatusObserved: _status_observed,
    e.TakenOver: _taken_over,
    e.StatusFixed: _status_observed,
    e.FixApplied: _fixed,
    e.FlaggedForV2: _flagged,
    e.MigrationRefused: _refused,
    e.MigratedToV2: _migrated,
    e.RolledBack: _rolled_back,
}
