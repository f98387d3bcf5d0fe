"""The state of a campaign or a mailbox in compact form, so that a cold start need not read its whole stream.
A snapshot is a cache: it names the shape of the state it was made for, and one of another shape is ignored.
"""

from __future__ import annotations

import base64
import hashlib
import heapq
import inspect
import json
import sys
import zlib
from dataclasses import fields
from datetime import datetime
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from domain import attempts, counting, leads, legacy, rules
from domain import campaign as campaign_module
from domain import mailbox as mailbox_module
from domain.attempts import Attempt
from domain.calendar import Schedule
from domain.campaign import Campaign, Status
from domain.counting import MailCount
from domain.events import Observation
from domain.leads import LeadNumbers, LeadState, Line, Precedence, Retry, Roll
from domain.legacy import Legacy, RowNumbers
from domain.mailbox import Mailbox
from domain.rules import Limits

_ATTEMPTS = TypeAdapter(list[Attempt])
_OBSERVATIONS = TypeAdapter(tuple[Observation, ...])


@cache
def shape() -> str:
    """SHA-256 over the code that folds events into state and packs it: any change makes older snapshots unusable.
    The byte order too: arrays are packed as this machine has them."""
    modules = (campaign_module, mailbox_module, attempts, leads, legacy, counting, rules, sys.modules[__name__])
    sources = "".join(inspect.getsource(module) for module in modules)
    names = ",".join(field.name for field in fields(Attempt))
    return hashlib.sha256(f"{sources}{names}{sys.byteorder}{[state.name for state in LeadState]}".encode()).hexdigest()


def freeze(campaign: Campaign) -> bytes:
    """The state as compressed JSON: some kilobytes for 100,000 leads."""
    document: dict[str, Any] = {
        "version": campaign.version,
        "epoch": campaign.epoch,
        "status": campaign.status,
        "name": campaign.name,
        "owner": campaign.owner,
        "mailbox": campaign.mailbox,
        "schedule": campaign.schedule.model_dump(mode="json"),
        "limits": campaign.limits.model_dump(mode="json"),
        "message_id_domain": campaign.message_id_domain,
        "content": [campaign.content_version, campaign.content_digest],
        "started_at": _text(campaign.started_at),
        "last_mail_at": _text(campaign.last_mail_at),
        "refused_at": _text(campaign.refused_at),
        "roll": _packed(bytes(campaign.roll)),
        "numbers": campaign.numbers.runs(),
        "arrivals": campaign.arrivals.runs(),
        "precedence": [_packed(bytes(campaign.precedence)), campaign.precedence.ascending],
        "retries": [[_text(r.due_at), r.priority, r.position] for r in campaign.retry_of.values()],
        "attempts": list(campaign.attempts.items()),
        "attempts_forgiven": list(campaign.attempts_forgiven.items()),
        "revisions": list(campaign.revisions.items()),
        "open": _ATTEMPTS.dump_python(list(campaign.open.values()), mode="json"),
        "accepted_late": sorted(campaign.accepted_late),
        "mails": list(campaign.mails.quarters().items()),
        "legacy": _frozen_legacy(campaign.legacy),
        "flagged": campaign.flagged,
        "migration_refused": campaign.migration_refused,
    }
    return _compressed(document)


def thaw(stream: str, frozen: bytes) -> Campaign:
    """The state again. The caller has checked the shape."""
    document = _document(frozen)
    campaign = Campaign(stream)
    for name in (
        *("version", "epoch", "name", "owner", "mailbox", "message_id_domain"),
        "flagged",
        "migration_refused",
    ):
        setattr(campaign, name, document[name])
    campaign.status = Status(document["status"])
    campaign.schedule = Schedule.model_validate(document["schedule"])
    campaign.limits = Limits.model_validate(document["limits"])
    campaign.content_version, campaign.content_digest = document["content"]
    campaign.started_at, campaign.last_mail_at = _time(document["started_at"]), _time(document["last_mail_at"])
    campaign.refused_at = _time(document["refused_at"])
    campaign.roll = Roll(_unpacked(document["roll"]))
    campaign.numbers = LeadNumbers(document["numbers"], len(campaign.roll))
    campaign.arrivals = Line(document["arrivals"])
    packed, ascending = document["precedence"]
    campaign.precedence = Precedence(_unpacked(packed), ascending=ascending)
    for due_at, priority, position in document["retries"]:
        campaign.retry_of[position] = Retry(datetime.fromisoformat(due_at), priority, position)
    campaign.retries = list(campaign.retry_of.values())
    heapq.heapify(campaign.retries)
    campaign.attempts = dict(document["attempts"])
    campaign.attempts_forgiven = dict(document["attempts_forgiven"])
    campaign.revisions = dict(document["revisions"])
    campaign.open = {attempt.token: attempt for attempt in _ATTEMPTS.validate_python(document["open"])}
    campaign.accepted_late = set(document["accepted_late"])
    campaign.mails = MailCount(dict(document["mails"]))
    campaign.legacy = _thawed_legacy(document["legacy"])
    return campaign


def freeze_mailbox(mailbox: Mailbox) -> bytes:
    """The same of a mailbox: some hundred bytes, however many mails it has sent."""
    return _compressed(
        {
            "version": mailbox.version,
            "exists": mailbox.exists,
            "daily_limit": mailbox.daily_limit,
            "zone": mailbox.zone,
            "identity_digest": mailbox.identity_digest,
            "paused": mailbox.paused,
            "delayed_until": _text(mailbox.delayed_until),
            "failures": mailbox.failures,
            "mails": list(mailbox.mails.quarters().items()),
        }
    )


def thaw_mailbox(stream: str, frozen: bytes) -> Mailbox:
    """The state again. The caller has checked the shape."""
    document = _document(frozen)
    mailbox = Mailbox(stream)
    for name in ("version", "exists", "daily_limit", "zone", "identity_digest", "paused", "failures"):
        setattr(mailbox, name, document[name])
    mailbox.delayed_until = _time(document["delayed_until"])
    mailbox.mails = MailCount(dict(document["mails"]))
    return mailbox


def _frozen_legacy(past: Legacy | None) -> dict[str, Any] | None:
    if past is None:
        return None
    return {
        "source": past.source,
        "settings_digest": past.settings_digest,
        "created_at": _text(past.created_at),
        "scheduled_at": _text(past.scheduled_at),
        "observed": past.observed,
        "complete": past.complete,
        "send_log": past.send_log,
        "queue": past.queue,
        "observations": _OBSERVATIONS.dump_python(past.observations, mode="json"),
        "rows": past.rows.steps(),
        "newest_at": _text(past.newest_at),
        "newest_id": past.newest_id,
        "waited": None if past.waited is None else _packed(past.waited),
        "sends": _packed(bytes(past.sends)),
        "numbers": list(past.numbers.items()),
    }


def _thawed_legacy(frozen: dict[str, Any] | None) -> Legacy | None:
    if frozen is None:
        return None
    return Legacy(
        **frozen
        | {
            "created_at": _time(frozen["created_at"]),
            "scheduled_at": _time(frozen["scheduled_at"]),
            "newest_at": _time(frozen["newest_at"]),
            "waited": None if frozen["waited"] is None else bytes(_unpacked(frozen["waited"])),
            "observations": _OBSERVATIONS.validate_python(frozen["observations"], strict=False),
            "rows": RowNumbers.of_steps(frozen["rows"]),
            "sends": bytearray(_unpacked(frozen["sends"])),
            "numbers": dict(frozen["numbers"]),
        }
    )


def _compressed(document: dict[str, Any]) -> bytes:
    return zlib.compress(json.dumps(document, separators=(",", ":")).encode(), 1)


def _document(frozen: bytes) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(zlib.decompress(frozen))
    return document


def _packed(octets: bytes) -> str:
    return base64.b64encode(zlib.compress(octets, 1)).decode()


def _unpacked(packed: str) -> bytes:
    return zlib.decompress(base64.b64decode(packed))


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
