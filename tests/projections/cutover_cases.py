"""What each event of an old system's history, and of the way to V2 and back, changes in the views."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from domain import cutover, senders
from domain import events as e
from domain.analysis import BLOCKED
from domain.errors import CommandRefused
from domain.senders import Senders
from projections.times import time_text
from tests.domain.given import NOON, World, digest, observed
from tests.projections.cases import DATE, NOW, Case
from tests.projections.happenings import LISBON, MINUTE, SLOWER, two_leads

AN_HOUR_AGO = time_text(NOON + MINUTE - timedelta(hours=1))
OLD = {"campaign_id": 1, "sender": "v1", "epoch": 1, "runner": "old system", "mailbox": "sales"}
BY_ANNA = {"campaign_id": 1, "at": NOW, "actor": "anna"}
STATES = {"queued": 2, "locked": 0, "sent": 0, "failed": 0, "skipped": 0, "in doubt": 0}
MOVED = {
    "before": STATES,
    "after": STATES,
    "in_doubt": [],
    "locked": [],
    "sent_digest": cutover.sent_digest(World().campaign),
}


def details(**said: Any) -> str:
    """What else the event says, as a view shows it."""
    return json.dumps(said, sort_keys=True)


# --- given ---


def old_leads(*statuses: e.V1Status) -> Any:
    """A running campaign of the old system with these leads."""
    return lambda: observed(*statuses)


def mailed_but_queued() -> World:
    """The old SendLog has a mail to the first lead; its status says that it waits."""
    world = observed("queued", "queued")
    world.add_sends((11, 0))
    return world


def blocked() -> World:
    world = observed("queued", "queued")
    world.end(e.Observation(rule=BLOCKED, leads=(100,)))
    return world


# --- when ---


def another_begins(world: World) -> None:
    another = World(schedule=LISBON, limits=SLOWER, now=world.now, mailbox=world.mailbox, number=2, observed=True)
    world.history += another.history


def refuse(world: World) -> None:
    refused = CommandRefused("leads wait though it is completed")
    world.save(cutover.refuse_flagged(world.campaign, refused, now=world.now))


def retire_v1(world: World) -> None:
    world.history += senders.retire_v1(Senders("senders"), [], actor="anna", reason=None, now=world.now)


def reinstate_v1(world: World) -> None:
    retired = Senders("senders")
    retired.v1_retired = True
    world.history += senders.reinstate_v1(retired, actor="anna", reason="a roll-back", now=world.now)


OF_THERE = {
    "source": "old.db",
    "settings_digest": digest(3),
    "created_there": "2025-01-07T09:00:00Z",
    "scheduled_there": None,
}

CUTOVER_CASES = [
    Case(
        e.LegacyImported,
        "makes a campaign an old system's",
        two_leads(),
        another_begins,
        {
            "campaigns": {
                "id": 2,
                "name": "Autumn",
                "status": "draft",
                "owner": "v1",
                "epoch": 1,
                "owner_since": NOW,
                "imported": 1,
                "observed": 1,
                "flagged": 0,
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
            },
            "cutovers": {
                **BY_ANNA,
                "campaign_id": 2,
                "log_position": 7,
                "step": "import begun",
                "owner": "v1",
                "epoch": 1,
                "details": details(complete=False, **OF_THERE, send_log={}, queue={}),
            },
        },
    ),
    Case(
        e.LegacyImported,
        "is a step that says what was there",
        old_leads("queued", "queued"),
        lambda world: world.end(
            e.Observation(rule=BLOCKED, leads=(100,)), send_log={"sent": 3}, queue_rows={"sent": 1}
        ),
        {
            "cutovers": {
                **BY_ANNA,
                "log_position": 8,
                "step": "imported",
                "owner": "v1",
                "epoch": 1,
                "details": details(complete=True, **OF_THERE, send_log={"sent": 3}, queue={"sent": 1}),
            }
        },
    ),
    Case(
        e.EmailQueued,
        "of a lead that the old system has under way is an attempt of its own",
        old_leads("queued", "queued"),
        lambda world: world.add_leads("sending"),
        {
            "campaigns": {"leads": 3, "locked": 1},
            "leads": {
                "campaign_id": 1,
                "position": 2,
                "lead_id": 102,
                "state": "locked",
                "v1_status": "sending",
                "priority": 5,
                "revision": 0,
                "attempts": 1,
                "awaited_attempt": 1,
                "accepted_late": 0,
                "queued_at": NOW,
            },
            "send_log": {
                **OLD,
                "position": 2,
                "lead_id": 102,
                "attempt": 1,
                "token": "observed-102-1",
                "locked_at": NOW,
                "lock_position": 8,
                "outcome": "locked",
                "duplicate": 0,
            },
        },
    ),
    Case(
        e.StatusObserved,
        "ends what the old system had under way",
        old_leads("sending", "queued"),
        lambda world: world.follow_statuses({0: "failed"}),
        {
            "campaigns": {"locked": 0, "failed": 1},
            "leads": {"state": "failed", "v1_status": "failed", "reason": "old system"},
            "send_log": {
                "outcome": "failed",
                "outcome_position": 8,
                "finished_at": NOW,
                "phase": "old system",
                "permanent": 1,
            },
        },
    ),
    Case(
        e.EmailSent,
        "by the old system counts on the date it happened",
        old_leads("queued", "queued"),
        lambda world: world.add_sends((11, 0), ago=timedelta(hours=1)),
        {
            "campaigns": {"queued": 1, "sent": 1, "last_mail_at": AN_HOUR_AGO},
            "leads": {"state": "sent", "attempts": 1},
            "send_log": {
                **OLD,
                "position": 0,
                "lead_id": 100,
                "attempt": 1,
                "token": "sendlog-11",
                "message_id": "<11@old.example>",
                "outcome": "sent",
                "outcome_position": 8,
                "finished_at": AN_HOUR_AGO,
                "duplicate": 0,
                "imported": 11,
            },
            "campaign_days": {"campaign_id": 1, "date": DATE, "mails": 1},
            "mailboxes": {"last_mail_at": AN_HOUR_AGO},
            "mailbox_days": {"mailbox": "sales", "date": DATE, "mails": 1},
        },
    ),
    Case(
        e.TakenOver,
        "is a step, and the campaign is ours",
        old_leads("queued", "queued"),
        World.take_over,
        {
            "campaigns": {"observed": 0, "epoch": 2, "owner_since": NOW},
            "cutovers": {
                **BY_ANNA,
                "log_position": 8,
                "step": "taken over",
                "owner": "v1",
                "epoch": 2,
                "reason": "cron removed",
                "details": details(settled_s=120, in_doubt=[]),
            },
        },
    ),
    Case(
        e.FixApplied,
        "is a step that counts its repairs",
        blocked,
        World.fix,
        {
            "campaigns": {"queued": 1, "skipped": 1},
            "leads": {"state": "skipped", "reason": "suppressed"},
            "cutovers": {
                **BY_ANNA,
                "log_position": 9,
                "step": "fixed",
                "owner": "v1",
                "epoch": 1,
                "reason": "reviewed",
                "details": details(plan=blocked().plan().id, repairs={"blocked-but-waits": 1}),
            },
        },
    ),
    Case(
        e.StatusFixed,
        "shows the status that is right",
        mailed_but_queued,
        World.fix,
        {
            "leads": {"v1_status": "sent"},
            "cutovers": {
                **BY_ANNA,
                "log_position": 10,
                "step": "fixed",
                "owner": "v1",
                "epoch": 1,
                "reason": "reviewed",
                "details": details(plan=mailed_but_queued().plan().id, repairs={"sent-not-marked": 1}),
            },
        },
    ),
    Case(
        e.FlaggedForV2,
        "is a step, and forgets why the last one was refused",
        two_leads(World.flag, refuse),
        World.flag,
        {
            "campaigns": {"migration_refused": None},
            "cutovers": {
                **BY_ANNA,
                "log_position": 8,
                "step": "flagged",
                "owner": "v1",
                "epoch": 1,
                "reason": "next one",
                "details": details(),
            },
        },
    ),
    Case(
        e.MigrationRefused,
        "is a step that nobody asked for",
        two_leads(World.flag),
        refuse,
        {
            "campaigns": {"migration_refused": "leads wait though it is completed"},
            "cutovers": {
                "campaign_id": 1,
                "log_position": 7,
                "step": "migration refused",
                "at": NOW,
                "owner": "v1",
                "epoch": 1,
                "reason": "leads wait though it is completed",
                "details": details(),
            },
        },
    ),
    Case(
        e.MigratedToV2,
        "gives it to V2 and takes its flag away",
        two_leads(World.flag, refuse),
        World.migrate,
        {
            "campaigns": {"owner": "v2", "epoch": 2, "owner_since": NOW, "flagged": 0, "migration_refused": None},
            "cutovers": {
                **BY_ANNA,
                "log_position": 8,
                "step": "migrated",
                "owner": "v2",
                "epoch": 2,
                "reason": "test week",
                "details": details(**MOVED),
            },
        },
    ),
    Case(
        e.RolledBack,
        "gives it to V1 again",
        two_leads(World.migrate),
        World.roll_back,
        {
            "campaigns": {"owner": "v1", "epoch": 3, "owner_since": NOW},
            "cutovers": {
                **BY_ANNA,
                "log_position": 7,
                "step": "rolled back",
                "owner": "v1",
                "epoch": 3,
                "reason": "to be sure",
                "details": details(**MOVED),
            },
        },
    ),
    Case(e.V1Retired, "is only counted", two_leads(), retire_v1, {}),
    Case(e.V1Reinstated, "is only counted", two_leads(retire_v1), reinstate_v1, {}),
]
