"""The fold: what each event changes in the views, one function an event.
A lead's state follows `domain.campaign.evolve` step by step: late facts, acceptances that come to light, and all.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection

from domain import events as e
from domain.campaign import PACED_PHASES, Status
from domain.errors import UnknownEvent
from projections.batch import (
    FAILED,
    IN_DOUBT,
    LOCKED,
    QUEUED,
    SENT,
    SKIPPED,
    SMALL_TABLES,
    Batch,
    CampaignRows,
    campaign_number,
)
from projections.cutovers import CUTOVER_HANDLERS, follow_status, take_in
from projections.rows import AttemptRow, LeadRow, Outcome, State
from projections.shadows import SHADOW_HANDLERS, count_try
from projections.times import local_date, time_text

MAILBOX_STREAM = "mailbox-"
UNANSWERED = (Outcome.LOCKED.value, Outcome.IN_DOUBT.value)


def fold(batch: Batch, connection: Connection, events: Sequence[tuple[int, e.Event]]) -> None:
    """Fold these events into the tables of `batch`, inside the caller's transaction."""
    batch.begin(connection, events)
    for position, event in events:
        handler = _HANDLERS.get(type(event))
        if handler is None:
            raise UnknownEvent(
                f"position {position} of the ledger holds {type(event).__name__}, which these views do not know; "
                "use the version of Sendledger that wrote it, or a newer one."
            )
        handler(batch, position, event)
    for kind, number in Counter([type(event) for _, event in events]).items():
        batch.add_up("event_counts", "events", number, e.TOPICS[kind])
    batch.write()


def _mailbox_name(event: e.Event) -> str:
    return event.originator_id.removeprefix(MAILBOX_STREAM)


def _happened(event: e.Event) -> str:
    return time_text(event.occurred_at or event.recorded_at)


# --- a campaign ---


def _created(batch: Batch, _at: int, event: e.CampaignCreated) -> None:
    created = time_text(event.recorded_at)
    row = {
        "id": campaign_number(event.originator_id),
        "name": event.name,
        "status": Status.DRAFT.value,
        "owner": event.owner,
        "epoch": 1,
        "owner_since": created,
        "imported": 0,
        "observed": 0,
        "flagged": 0,
        "mailbox": event.mailbox,
        "message_id_domain": event.message_id_domain,
        "content_version": 1,
        "content_digest": event.content_digest,
        "schedule": event.schedule.model_dump_json(),
        "limits": event.limits.model_dump_json(),
        "zone": event.schedule.zone,
        "created_at": created,
        "created_by": event.actor,
        "status_since": created,
        "status_actor": event.actor,
        **dict.fromkeys((state.column for state in State), 0),
    }
    batch.add_campaign(row, event.originator_id)


def _content_changed(batch: Batch, _at: int, event: e.ContentChanged) -> None:
    batch.campaign(event).row.update(content_version=event.content_version, content_digest=event.content_digest)


def _schedule_changed(batch: Batch, _at: int, event: e.ScheduleChanged) -> None:
    campaign = batch.campaign(event)
    campaign.zone = event.schedule.zone
    campaign.row.update(schedule=event.schedule.model_dump_json(), zone=event.schedule.zone)


def _limits_changed(batch: Batch, _at: int, event: e.LimitsChanged) -> None:
    batch.campaign(event).row["limits"] = event.limits.model_dump_json()


def _mailbox_assigned(batch: Batch, _at: int, event: e.MailboxAssigned) -> None:
    batch.campaign(event).row["mailbox"] = event.mailbox


def _started(batch: Batch, _at: int, event: e.CampaignStarted) -> None:
    campaign = batch.campaign(event)
    campaign.enter(Status.RUNNING, time_text(event.recorded_at), event.actor, event.reason)
    campaign.row["started_at"] = _happened(event)


def _paused(batch: Batch, _at: int, event: e.CampaignPaused) -> None:
    batch.campaign(event).enter(Status.PAUSED, time_text(event.recorded_at), event.actor, event.reason)


def _resumed(batch: Batch, _at: int, event: e.CampaignResumed) -> None:
    batch.campaign(event).enter(Status.RUNNING, time_text(event.recorded_at), event.actor, event.reason)


def _cancelled(batch: Batch, _at: int, event: e.CampaignCancelled) -> None:
    campaign = batch.campaign(event)
    campaign.enter(Status.CANCELLED, time_text(event.recorded_at), event.actor, event.reason)
    campaign.skip_all_queued()


def _completed(batch: Batch, _at: int, event: e.CampaignCompleted) -> None:
    batch.campaign(event).enter(Status.COMPLETED, time_text(event.recorded_at))


# --- one mail ---


def _queued(batch: Batch, at: int, event: e.EmailQueued) -> None:
    campaign, queued_at, position = batch.campaign(event), time_text(event.recorded_at), event.position
    campaign.leads[position] = LeadRow(
        campaign.id, position, event.lead_id, QUEUED, event.v1_status, event.priority, 0, 0, None, 0, None, queued_at
    )
    campaign.counts[QUEUED] += 1
    if campaign.row["observed"]:
        follow_status(batch, at, campaign, campaign.leads[position], event.v1_status, queued_at)
    campaign.reopen(queued_at)


def _contact_changed(batch: Batch, _at: int, event: e.ContactChanged) -> None:
    batch.lead(batch.campaign(event), event).revision = event.revision


def _skipped(batch: Batch, _at: int, event: e.EmailSkipped) -> None:
    campaign = batch.campaign(event)
    lead = batch.lead(campaign, event)
    campaign.move(lead, SKIPPED, lead.v1_status)
    lead.next_attempt_at, lead.reason = None, event.reason


def _erased(_batch: Batch, _at: int, _event: e.PersonErased) -> None:
    """No view knows who a lead is: what is gone are rows of kept tables."""


def _requeued(batch: Batch, _at: int, event: e.EmailRequeued) -> None:
    campaign, recorded = batch.campaign(event), time_text(event.recorded_at)
    campaign.wait_again(batch.lead(campaign, event), recorded, recorded)


def _locked(batch: Batch, at: int, event: e.EmailLocked) -> None:
    campaign = batch.campaign(event)
    lead, locked_at = batch.lead(campaign, event), time_text(event.recorded_at)
    campaign.move(lead, LOCKED, "sending")
    lead.next_attempt_at = lead.reason = None
    lead.attempts = lead.awaited_attempt = event.attempt
    campaign.row["last_mail_at"] = locked_at
    batch.add_up("campaign_days", "mails", 1, campaign.id, local_date(locked_at, campaign.zone))
    attempt = AttemptRow(
        campaign.id,
        event.position,
        event.attempt,
        event.lead_id,
        event.sender,
        event.epoch,
        event.runner,
        event.mailbox,
        event.token,
        event.message_id,
        event.digest,
        event.content_version,
        event.revision,
        event.commitment,
        time_text(event.due_at),
        time_text(event.date),
        locked_at,
        at,
    )
    batch.add_attempt(lead, attempt)
    count_try(batch, campaign.id)


def _sent(batch: Batch, at: int, event: e.EmailSent) -> None:
    campaign = batch.campaign(event)
    lead = batch.lead(campaign, event)
    status = "sent"
    if event.imported is not None:
        take_in(batch, campaign, lead, event, event.imported)
        status = lead.v1_status
    attempt = batch.attempt(lead, event)
    _close(attempt, at, event, Outcome.SENT.value)
    attempt.code, attempt.enhanced, attempt.queue_id = event.code, event.enhanced, event.queue_id
    lead.last_code, lead.last_enhanced = event.code, event.enhanced
    other = [one.outcome for one in lead.log.values() if one.outcome in UNANSWERED] if len(lead.log) > 1 else ()
    if other:
        lead.accepted_late = 1  # whatever the other attempt's outcome, this lead was mailed
        if Outcome.LOCKED in other:
            return
    campaign.move(lead, SENT, status)
    lead.next_attempt_at = lead.reason = lead.awaited_attempt = None


def _failed(batch: Batch, at: int, event: e.EmailFailed) -> None:
    campaign = batch.campaign(event)
    lead = batch.lead(campaign, event)
    due_again = time_text(event.next_attempt_at) if event.next_attempt_at else None
    decides = event.token is None or _is_current(lead, event)
    if event.token is None:
        _try_before_lock(batch, campaign, lead, event)
    attempt = batch.attempt(lead, event)
    _close(attempt, at, event, Outcome.FAILED.value)
    attempt.phase, attempt.code, attempt.enhanced = event.phase, event.code, event.enhanced
    attempt.permanent, attempt.next_attempt_at = int(event.permanent), due_again
    lead.last_code, lead.last_enhanced = event.code, event.enhanced
    if not decides:
        return
    if due_again is not None:
        campaign.wait_again(lead, due_again, time_text(event.recorded_at))
    else:
        campaign.settle(lead, FAILED, "failed")
        lead.reason = None if lead.accepted_late else event.phase


def _try_before_lock(batch: Batch, campaign: CampaignRows, lead: LeadRow, event: e.EmailFailed) -> None:
    lead.attempts = lead.awaited_attempt = event.attempt
    if event.phase in PACED_PHASES:
        recorded = time_text(event.recorded_at)
        campaign.row["last_mail_at"] = max(campaign.row["last_mail_at"] or recorded, recorded)
    attempt = AttemptRow(
        campaign.id,
        event.position,
        event.attempt,
        event.lead_id,
        event.sender,
        event.epoch,
        event.runner,
        event.mailbox,
    )
    batch.add_attempt(lead, attempt)
    count_try(batch, campaign.id)


def _is_current(lead: LeadRow, event: e.EmailFailed | e.InDoubtResolved) -> bool:
    """Does this attempt's outcome decide over the lead? Not an older one's, and a skipped lead stays skipped."""
    return lead.awaited_attempt == event.attempt and lead.state != SKIPPED


def _in_doubt(batch: Batch, at: int, event: e.EmailInDoubt) -> None:
    campaign = batch.campaign(event)
    lead = batch.lead(campaign, event)
    attempt = batch.attempt(lead, event)
    _close(attempt, at, event, Outcome.IN_DOUBT.value)
    attempt.cause = lead.reason = event.cause
    campaign.move(lead, IN_DOUBT, "sending")


def _resolved(batch: Batch, at: int, event: e.InDoubtResolved) -> None:
    campaign = batch.campaign(event)
    lead = batch.lead(campaign, event)
    attempt, sent = batch.attempt(lead, event), event.outcome == "sent"
    _close(attempt, at, event, (Outcome.RESOLVED_SENT if sent else Outcome.RESOLVED_NOT_SENT).value)
    attempt.evidence, attempt.resolved_by = event.evidence, event.actor
    if not _is_current(lead, event):
        return
    if sent:
        campaign.move(lead, SENT, "sent")
        lead.reason = None
    else:
        recorded = time_text(event.recorded_at)
        campaign.wait_again(lead, recorded, recorded)


def _duplicate(batch: Batch, _at: int, event: e.DuplicateDetected) -> None:
    batch.attempt(batch.lead(batch.campaign(event), event), event).duplicate = 1


def _close(attempt: AttemptRow, at: int, event: e.Event, outcome: str) -> None:
    attempt.outcome, attempt.outcome_position, attempt.finished_at = outcome, at, _happened(event)


# --- mailboxes ---


def _mailbox_set(batch: Batch, _at: int, event: e.MailboxAdded | e.MailboxChanged) -> None:
    name, changed = _mailbox_name(event), time_text(event.recorded_at)
    if batch.find("mailboxes", name) is None:
        batch.put("mailboxes", {"name": name, "failures": 0, "added_at": changed})
    batch.need("mailboxes", event, name).update(
        daily_limit=event.daily_limit,
        zone=event.zone,
        identity_digest=event.identity_digest,
        changed_at=changed,
        changed_by=event.actor,
    )


def _mailbox_paused(batch: Batch, _at: int, event: e.MailboxPaused) -> None:
    _change_mailbox(batch, event, paused_reason=event.reason, changed_by=event.actor)


def _mailbox_resumed(batch: Batch, _at: int, event: e.MailboxResumed) -> None:
    _change_mailbox(batch, event, paused_reason=None, delayed_until=None, failures=0, changed_by=event.actor)


def _mailbox_delayed(batch: Batch, _at: int, event: e.MailboxDelayed) -> None:
    _change_mailbox(
        batch,
        event,
        delayed_until=time_text(event.until),
        failures=event.failures,
        last_phase=event.phase,
        last_code=event.code,
        last_enhanced=event.enhanced,
        changed_by=None,
    )


def _change_mailbox(batch: Batch, event: e.Event, **said: Any) -> None:
    row = batch.need("mailboxes", event, _mailbox_name(event))
    row.update(said, changed_at=time_text(event.recorded_at))


def _slot_taken(batch: Batch, _at: int, event: e.MailboxSlotTaken) -> None:
    name, taken = _mailbox_name(event), _happened(event)
    mailbox = batch.need("mailboxes", event, name)
    mailbox["last_mail_at"] = max(mailbox["last_mail_at"] or taken, taken)
    if event.occurred_at is None:
        mailbox["failures"] = 0
    batch.add_up("mailbox_days", "mails", 1, name, local_date(taken, mailbox["zone"]))


# --- runners and ticks ---


def _runner_started(batch: Batch, _at: int, event: e.RunnerStarted) -> None:
    row = {
        "runner": event.runner,
        "host": event.host,
        "pid": event.pid,
        "version": event.version,
        "started_at": time_text(event.recorded_at),
    }
    batch.put("runners", row)


def _runner_stopped(batch: Batch, _at: int, event: e.RunnerStopped) -> None:
    batch.need("runners", event, event.runner)["stopped_at"] = time_text(event.recorded_at)


def _tick_started(batch: Batch, at: int, event: e.TickStarted) -> None:
    batch.put("ticks", {**_tick_key(event, "tick", time_text(event.tick_at)), "log_position": at, "due": event.due})


def _tick_finished(batch: Batch, _at: int, event: e.TickFinished) -> None:
    key = _tick_key(event, "tick", time_text(event.tick_at))
    row = batch.need("ticks", event, *(key[name] for name in SMALL_TABLES["ticks"]))
    row.update(
        considered=event.considered,
        sent=event.sent,
        failed=event.failed,
        in_doubt=event.in_doubt,
        deferred=json.dumps(event.deferred, sort_keys=True),
        finished_at=time_text(event.recorded_at),
    )


def _ticks_idle(batch: Batch, at: int, event: e.TicksIdle) -> None:
    key = _tick_key(event, "idle", time_text(event.first_at))
    batch.put("ticks", {**key, "log_position": at, "until": time_text(event.last_at), "count": event.count})


def _ticks_missed(batch: Batch, at: int, event: e.TicksMissed) -> None:
    key = _tick_key(event, "missed", time_text(event.after))
    batch.put("ticks", {**key, "log_position": at, "until": time_text(event.before), "count": event.count})


def _tick_key(event: Any, kind: str, tick_at: str) -> dict[str, Any]:
    return {"runner": event.runner, "sender": event.sender, "kind": kind, "tick_at": tick_at, "count": 1}


def _registered(_batch: Batch, _at: int, _event: e.RunnerRegistered) -> None:
    """A person's word on a machine: no view shows it but the count of events."""


def _senders(_batch: Batch, _at: int, _event: e.Event) -> None:
    """Whether V1 is retired: no view shows it but the count of events."""


def _tested(_batch: Batch, _at: int, _event: e.TestMailSent) -> None:
    """A mail to somebody who is no lead: no view shows it but the count of events."""


def _compared(_batch: Batch, _at: int, _event: e.DifferenceAccepted) -> None:
    """What comparisons go by changes nothing: it is read where it stands."""


_HANDLERS: dict[type[e.Event], Callable[[Batch, int, Any], None]] = {
    e.CampaignCreated: _created,
    e.ContentChanged: _content_changed,
    e.ScheduleChanged: _schedule_changed,
    e.LimitsChanged: _limits_changed,
    e.MailboxAssigned: _mailbox_assigned,
    e.CampaignStarted: _started,
    e.CampaignPaused: _paused,
    e.CampaignResumed: _resumed,
    e.CampaignCancelled: _cancelled,
    e.CampaignCompleted: _completed,
    e.EmailQueued: _queued,
    e.ContactChanged: _contact_changed,
    e.EmailSkipped: _skipped,
    e.PersonErased: _erased,
    e.EmailRequeued: _requeued,
    e.EmailLocked: _locked,
    e.EmailSent: _sent,
    e.EmailFailed: _failed,
    e.EmailInDoubt: _in_doubt,
    e.InDoubtResolved: _resolved,
    e.DuplicateDetected: _duplicate,
    e.TestMailSent: _tested,
    e.V1Retired: _senders,
    e.V1Reinstated: _senders,
    **CUTOVER_HANDLERS,
    e.MailboxAdded: _mailbox_set,
    e.MailboxChanged: _mailbox_set,
    e.MailboxPaused: _mailbox_paused,
    e.MailboxResumed: _mailbox_resumed,
    e.MailboxDelayed: _mailbox_delayed,
    e.MailboxSlotTaken: _slot_taken,
    e.RunnerStarted: _runner_started,
    e.RunnerStopped: _runner_stopped,
    e.RunnerRegistered: _registered,
    e.TickStarted: _tick_started,
    e.TickFinished: _tick_finished,
    e.TicksIdle: _ticks_idle,
    e.DifferenceAccepted: _compared,
    **SHADOW_HANDLERS,
    e.TicksMissed: _ticks_missed,
}
