"""Given a life, when one more thing happens, then exactly these cells of the views change: a case for every event."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from sqlalchemy import Engine

from domain import events as e
from projections.times import time_text
from tests.domain.given import GREYLISTED, NOON, PERMANENT, World, digest
from tests.projections import happenings as h
from tests.projections.cases import BEFORE, DATE, NOW, Case
from tests.projections.cutover_cases import CUTOVER_CASES
from tests.projections.given import Rows, all_rows, projected
from tests.projections.happenings import LATER, LISBON, MINUTE, SLOWER, TICK, two_leads

COUNTED = ("event_counts", "progress")
"""They change with every event, and are looked at in one test for all."""

QUEUED_LEAD = {
    "campaign_id": 1,
    "state": "queued",
    "v1_status": "queued",
    "revision": 0,
    "attempts": 0,
    "accepted_late": 0,
}
BY_V1 = {"campaign_id": 1, "attempt": 1, "sender": "v1", "epoch": 1, "runner": "runner-1", "mailbox": "sales"}
ACCEPTED = {"code": 250, "enhanced": "2.0.0", "queue_id": "Q1"}


CASES = [
    # --- a campaign's settings ---
    Case(
        e.CampaignCreated,
        "makes a draft with all its settings",
        two_leads(),
        h.create_another,
        {
            "campaigns": {
                "id": 2,
                "name": "Autumn",
                "status": "draft",
                "owner": "v2",
                "epoch": 1,
                "owner_since": NOW,
                **dict.fromkeys(("imported", "observed", "flagged"), 0),
                "mailbox": "sales",
                "message_id_domain": "example.com",
                "content_version": 1,
                "content_digest": digest(1),
                "schedule": LISBON.model_dump_json(),
                "limits": SLOWER.model_dump_json(),
                "zone": "Europe/Lisbon",
                **dict.fromkeys(("leads", "queued", "locked", "sent", "failed", "skipped", "in_doubt"), 0),
                "created_at": NOW,
                "created_by": "anna",
                "status_since": NOW,
                "status_actor": "anna",
            }
        },
    ),
    Case(
        e.ContentChanged,
        "counts versions",
        two_leads(),
        lambda world: world.edit(content_digest=digest(9)),
        {"campaigns": {"content_version": 2, "content_digest": digest(9)}},
    ),
    Case(
        e.ScheduleChanged,
        "shows schedule and zone",
        two_leads(),
        lambda world: world.edit(schedule=LISBON),
        {"campaigns": {"schedule": LISBON.model_dump_json(), "zone": "Europe/Lisbon"}},
    ),
    Case(
        e.LimitsChanged,
        "shows the limits",
        two_leads(),
        lambda world: world.edit(limits=SLOWER),
        {"campaigns": {"limits": SLOWER.model_dump_json()}},
    ),
    Case(
        e.MailboxAssigned,
        "shows the mailbox",
        two_leads(),
        lambda world: world.edit(mailbox="office"),
        {"campaigns": {"mailbox": "office"}},
    ),
    # --- a campaign's life ---
    Case(
        e.CampaignStarted,
        "says since when",
        h.draft,
        World.start,
        {"campaigns": {"status": "running", "status_since": NOW, "started_at": NOW}},
    ),
    Case(
        e.CampaignPaused,
        "says who and why",
        two_leads(),
        World.pause,
        {"campaigns": {"status": "paused", "status_since": NOW, "status_reason": "holiday"}},
    ),
    Case(
        e.CampaignResumed,
        "forgets why it was paused",
        two_leads(World.pause),
        World.resume,
        {"campaigns": {"status": "running", "status_since": NOW, "status_reason": None}},
    ),
    Case(
        e.CampaignCancelled,
        "skips the one who waits, not the one being mailed",
        two_leads(h.lock),
        World.cancel,
        {
            "campaigns": {"status": "cancelled", "status_since": NOW, "queued": 0, "skipped": 1},
            "leads": {"state": "skipped", "reason": "cancelled"},
        },
    ),
    Case(
        e.CampaignCompleted,
        "comes with the last outcome, by nobody's hand",
        h.last_one_is_locked,
        h.accept,
        {
            "campaigns": {"status": "completed", "status_since": NOW, "status_actor": None, "locked": 0, "sent": 1},
            "leads": {
                "state": "sent",
                "v1_status": "sent",
                "awaited_attempt": None,
                "last_code": 250,
                "last_enhanced": "2.0.0",
            },
            "send_log": {"outcome": "sent", "outcome_position": 7, "finished_at": NOW, **ACCEPTED},
        },
    ),
    # --- one mail ---
    Case(
        e.EmailQueued,
        "adds a lead that waits",
        two_leads(),
        lambda world: world.queue(3, v1_status="planned"),
        {
            "campaigns": {"leads": 3, "queued": 3},
            "leads": {
                **QUEUED_LEAD,
                "position": 2,
                "lead_id": 102,
                "v1_status": "planned",
                "priority": 3,
                "queued_at": NOW,
            },
        },
    ),
    Case(
        e.EmailQueued,
        "reopens a completed campaign",
        h.completed,
        lambda world: world.queue(5),
        {
            "campaigns": {"status": "running", "status_since": NOW, "leads": 2, "queued": 1},
            "leads": {**QUEUED_LEAD, "position": 1, "lead_id": 101, "priority": 5, "queued_at": NOW},
        },
    ),
    Case(e.ContactChanged, "counts revisions", two_leads(), h.change_contact, {"leads": {"revision": 1}}),
    Case(
        e.EmailSkipped,
        "says why",
        two_leads(lambda world: world.refused_before_lock(0, GREYLISTED)),
        lambda world: world.skip(0, reason="erased"),
        {
            "campaigns": {"queued": 1, "skipped": 1},
            "leads": {"state": "skipped", "reason": "erased", "next_attempt_at": None},
        },
    ),
    Case(
        e.EmailRequeued,
        "lets one that failed wait again",
        two_leads(h.refuse),
        lambda world: world.requeue(0),
        {
            "campaigns": {"failed": 0, "queued": 2},
            "leads": {"state": "queued", "v1_status": "queued", "next_attempt_at": NOW, "reason": None},
        },
    ),
    Case(
        e.EmailLocked,
        "is an attempt without outcome",
        two_leads(),
        h.lock,
        {
            "campaigns": {"queued": 1, "locked": 1, "last_mail_at": NOW},
            "leads": {"state": "locked", "v1_status": "sending", "attempts": 1, "awaited_attempt": 1},
            "send_log": {
                **BY_V1,
                "position": 0,
                "lead_id": 100,
                "token": "campaign-1-token-1",
                "message_id": "<0@example.com>",
                "digest": digest(7),
                "content_version": 1,
                "revision": 0,
                "commitment": digest(0),
                "due_at": NOW,
                "date": NOW,
                "locked_at": NOW,
                "lock_position": 6,
                "outcome": "locked",
                "duplicate": 0,
            },
            "campaign_days": {"campaign_id": 1, "date": DATE, "mails": 1},
            "mailboxes": {"last_mail_at": NOW},
            "mailbox_days": {"mailbox": "sales", "date": DATE, "mails": 1},
        },
    ),
    Case(
        e.EmailSent,
        "shows the server's answer",
        two_leads(h.lock),
        h.accept,
        {
            "campaigns": {"locked": 0, "sent": 1},
            "leads": {
                "state": "sent",
                "v1_status": "sent",
                "awaited_attempt": None,
                "last_code": 250,
                "last_enhanced": "2.0.0",
            },
            "send_log": {"outcome": "sent", "outcome_position": 8, "finished_at": NOW, **ACCEPTED},
        },
    ),
    Case(
        e.EmailFailed,
        "before a lock has no lock to show",
        two_leads(),
        lambda world: world.refused_before_lock(0, GREYLISTED),
        {
            "campaigns": {"last_mail_at": NOW},
            "leads": {
                "attempts": 1,
                "awaited_attempt": 1,
                "next_attempt_at": NOW,
                "last_code": 450,
                "last_enhanced": "4.7.1",
            },
            "send_log": {
                **BY_V1,
                "position": 0,
                "lead_id": 100,
                "outcome": "failed",
                "outcome_position": 6,
                "finished_at": NOW,
                "phase": "rcpt",
                "code": 450,
                "enhanced": "4.7.1",
                "permanent": 0,
                "next_attempt_at": NOW,
                "duplicate": 0,
            },
        },
    ),
    Case(
        e.EmailFailed,
        "for good after a lock ends the lead's waiting",
        two_leads(h.lock),
        lambda world: world.failed(h.held(world), PERMANENT),
        {
            "campaigns": {"locked": 0, "failed": 1},
            "leads": {
                "state": "failed",
                "v1_status": "failed",
                "last_code": 554,
                "last_enhanced": "5.6.0",
                "reason": "dot",
            },
            "send_log": {
                "outcome": "failed",
                "outcome_position": 8,
                "finished_at": NOW,
                "phase": "dot",
                "code": 554,
                "enhanced": "5.6.0",
                "permanent": 1,
            },
        },
    ),
    Case(
        e.EmailInDoubt,
        "says what put it in doubt",
        two_leads(h.lock),
        h.put_in_doubt,
        {
            "campaigns": {"locked": 0, "in_doubt": 1},
            "leads": {"state": "in doubt", "reason": "runner gone"},
            "send_log": {"outcome": "in doubt", "outcome_position": 8, "finished_at": NOW, "cause": "runner gone"},
        },
    ),
    Case(
        e.InDoubtResolved,
        "as sent names the person and the evidence",
        two_leads(h.lock, h.put_in_doubt),
        lambda world: world.resolve(0, "sent"),
        {
            "campaigns": {"in_doubt": 0, "sent": 1},
            "leads": {"state": "sent", "v1_status": "sent", "reason": None},
            "send_log": {
                "outcome": "resolved sent",
                "outcome_position": 9,
                "finished_at": NOW,
                "evidence": "relay log",
                "resolved_by": "anna",
            },
        },
    ),
    Case(
        e.InDoubtResolved,
        "as not sent lets the lead wait again",
        two_leads(h.lock, h.put_in_doubt),
        h.queue_again,
        {
            "campaigns": {"in_doubt": 0, "queued": 2},
            "leads": {"state": "queued", "v1_status": "queued", "next_attempt_at": NOW, "reason": None},
            "send_log": {
                "outcome": "resolved not sent",
                "outcome_position": 9,
                "finished_at": NOW,
                "evidence": "relay log",
                "resolved_by": "anna",
            },
        },
    ),
    Case(
        e.InDoubtResolved,
        "as not sent reopens a completed campaign",
        h.last_one_is_in_doubt,
        h.queue_again,
        {
            "campaigns": {"status": "running", "status_since": NOW, "in_doubt": 0, "queued": 1},
            "leads": {"state": "queued", "v1_status": "queued", "next_attempt_at": NOW, "reason": None},
            "send_log": {
                "outcome": "resolved not sent",
                "outcome_position": 9,
                "finished_at": NOW,
                "evidence": "relay log",
                "resolved_by": "anna",
            },
        },
    ),
    Case(
        e.DuplicateDetected,
        "marks the attempt whose acceptance came to light",
        two_leads(h.lock, h.put_in_doubt, h.queue_again, lambda world: world.delivered(0)),
        h.accept,
        {"send_log": {"outcome": "sent", "outcome_position": 13, "finished_at": NOW, **ACCEPTED, "duplicate": 1}},
    ),
    Case(e.TestMailSent, "is only counted", two_leads(), h.try_out, {}),
    *CUTOVER_CASES,
    Case(e.PersonErased, "is only counted", two_leads(lambda world: world.skip(0, reason="erased")), h.erase, {}),
    # --- a mailbox ---
    Case(
        e.MailboxAdded,
        "shows its settings",
        two_leads(),
        h.add_office,
        {
            "mailboxes": {
                "name": "office",
                "daily_limit": 9,
                "zone": "UTC",
                "identity_digest": digest(2),
                "failures": 0,
                "added_at": NOW,
                "changed_at": NOW,
                "changed_by": "anna",
            }
        },
    ),
    Case(
        e.MailboxChanged,
        "shows its settings and who changed them",
        two_leads(),
        h.change_mailbox,
        {
            "mailboxes": {
                "daily_limit": 9,
                "zone": "UTC",
                "identity_digest": digest(2),
                "changed_at": NOW,
                "changed_by": "berta",
            }
        },
    ),
    Case(
        e.MailboxPaused,
        "says who and why",
        two_leads(),
        h.pause_mailbox,
        {"mailboxes": {"paused_reason": "login refused", "changed_at": NOW, "changed_by": "berta"}},
    ),
    Case(
        e.MailboxResumed,
        "ends a pause",
        two_leads(h.pause_mailbox),
        h.resume_mailbox,
        {"mailboxes": {"paused_reason": None, "changed_at": NOW, "changed_by": "clara"}},
    ),
    Case(
        e.MailboxResumed,
        "ends a delay, and what failed before is forgiven",
        two_leads(h.delay_mailbox),
        h.resume_mailbox,
        {"mailboxes": {"delayed_until": None, "failures": 0, "changed_at": NOW, "changed_by": "clara"}},
    ),
    Case(
        e.MailboxDelayed,
        "says until when and what the server said",
        two_leads(),
        h.delay_mailbox,
        {
            "mailboxes": {
                "delayed_until": time_text(LATER),
                "failures": 1,
                "last_phase": "mail",
                "last_code": 421,
                "last_enhanced": "4.7.0",
                "changed_at": NOW,
                "changed_by": None,
            }
        },
    ),
    Case(
        e.MailboxSlotTaken,
        "counts the mail and forgives the mailbox",
        two_leads(lambda world: world.delivered(0), h.delay_mailbox),
        h.take_slot,
        {"mailboxes": {"failures": 0, "last_mail_at": NOW}, "mailbox_days": {"mails": 2}},
    ),
    # --- runners and ticks ---
    Case(
        e.RunnerStarted,
        "names the process",
        two_leads(),
        h.START_RUNNER,
        {"runners": {"runner": "runner-1", "host": "one", "pid": 7, "version": "0.1.0", "started_at": NOW}},
    ),
    Case(
        e.RunnerStopped,
        "says when",
        two_leads(h.START_RUNNER),
        h.says(e.RunnerStopped, runner="runner-1"),
        {"runners": {"stopped_at": NOW}},
    ),
    Case(
        e.RunnerRegistered,
        "is only counted",
        two_leads(),
        h.says(e.RunnerRegistered, host="one", restored=False, actor="anna", reason="a new machine"),
        {},
    ),
    Case(
        e.TickStarted,
        "says how many campaigns are due",
        two_leads(),
        h.START_TICK,
        {"ticks": {**TICK, "kind": "tick", "tick_at": BEFORE, "log_position": 6, "count": 1, "due": 3}},
    ),
    Case(
        e.TickFinished,
        "says what the tick did",
        two_leads(h.START_TICK),
        h.says(
            e.TickFinished,
            **TICK,
            tick_at=NOON,
            considered=3,
            sent=1,
            failed=0,
            in_doubt=0,
            deferred={"window": 3, "delay": 1},
        ),
        {
            "ticks": {
                "considered": 3,
                "sent": 1,
                "failed": 0,
                "in_doubt": 0,
                "deferred": '{"delay": 1, "window": 3}',
                "finished_at": NOW,
            }
        },
    ),
    Case(
        e.TicksIdle,
        "is one row for all of the run",
        two_leads(h.START_TICK),
        h.says(e.TicksIdle, **TICK, count=9, first_at=NOON, last_at=LATER, over_us=(0, 9, 2, 2, 0, 7, 1, 3)),
        {
            "ticks": {
                **TICK,
                "kind": "idle",
                "tick_at": BEFORE,
                "until": time_text(LATER),
                "log_position": 7,
                "count": 9,
            }
        },
    ),
    Case(
        e.TicksMissed,
        "is one row for all of the gap",
        two_leads(h.START_TICK),
        h.says(e.TicksMissed, **TICK, count=4, after=NOON, before=LATER),
        {
            "ticks": {
                **TICK,
                "kind": "missed",
                "tick_at": BEFORE,
                "until": time_text(LATER),
                "log_position": 7,
                "count": 4,
            }
        },
    ),
    # --- comparisons: no view shows them ---
    *(
        Case(kind, "is only counted", two_leads(h.START_SHADOW), h.says(kind, h.SHADOW, **said), {})
        for kind, said in (
            (e.DifferenceAccepted, h.ACCEPTED_DIFFERENCE),
            (
                e.ShadowSummarised,
                {"log_position": 9, "judged": 2, "equal": 1, "differences": {"SHIFT": 1}, "cut_short": 0},
            ),
        )
    ),
    # --- a shadow ---
    Case(
        e.ShadowStarted,
        "begins to count",
        two_leads(),
        h.START_SHADOW,
        {"shadows": {"campaign_id": 1, "since": NOW, "due": 0, "tried": 0}},
    ),
    Case(
        e.ShadowStarted,
        "again counts from there",
        two_leads(h.START_SHADOW, h.decides("v2"), h.STOP_SHADOW),
        h.START_SHADOW,
        {"shadows": {"since": NOW, "stopped_at": None, "due": 0}},
    ),
    Case(e.ShadowStopped, "ends it", two_leads(h.START_SHADOW), h.STOP_SHADOW, {"shadows": {"stopped_at": NOW}}),
    Case(e.ShadowDecided, "is a mail due", two_leads(h.START_SHADOW), h.decides("v2"), {"shadows": {"due": 1}}),
    Case(
        e.ShadowDecided,
        "by the sender that owns it since is none",
        two_leads(h.START_SHADOW),
        h.decides("v1"),
        {},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_event_changes_exactly_these_cells(engine: Engine, case: Case) -> None:
    world = case.given()
    projected(engine, world.history)
    before, told = all_rows(engine), len(world.history)

    world.now += MINUTE
    case.when(world)
    projected(engine, world.history)

    assert case.event in {type(event) for event in world.history[told:]}
    after = all_rows(engine)
    changed = [name for name in after if name not in COUNTED and before[name] != after[name]]
    assert {name: cells(before[name], after[name]) for name in changed} == case.then
    assert after["progress"] == [{"id": 1, "position": len(world.history)}]
    counted = Counter({row["topic"]: row["events"] for row in after["event_counts"]})
    assert counted == Counter(e.TOPICS[type(event)] for event in world.history)


def test_there_is_a_case_for_every_event() -> None:
    assert {case.event for case in CASES} == set(e.EVENT_TYPES.values())


def cells(before: Rows, after: Rows) -> dict[str, Any]:
    """What differs in the one row that was changed or added."""
    [row] = [row for row in after if row not in before]
    old = next((old for old in before if old not in after), dict.fromkeys(row))
    assert len(after) - len(before) == (0 if any(old.values()) else 1)
    return {column: value for column, value in row.items() if value != old[column]}
