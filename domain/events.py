"""The events: everything that ever happened, in frozen pydantic models of past tense. They are the truth.
No event holds personal data: a lead is its number, a contact and a message are salted commitments.

Every time is an aware UTC datetime. `originator_id` (the stream) and `originator_version` (1-based) are columns of
the store, so they stay out of an event's JSON. A stored event is read for ever: to change a class, register a new
version with an upcast in `EVENT_TYPES` and add its golden line to the tests.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from domain.calendar import Schedule
from domain.rules import Limits

Sender = Literal["v1", "v2"]
V1Status = Literal["planned", "queued", "sending", "sent", "failed", "replied"]
SkipReason = Literal["suppressed", "erased", "duplicate address", "unrenderable", "cancelled"]
Resolution = Literal["sent", "not sent"]


class _UtcTime:
    """A datetime with offset zero, checked in Rust: a Python validator would cost more than the whole event."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: type[Any], _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.datetime_schema(tz_constraint=0)


Utc = Annotated[datetime, _UtcTime]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 digest or HMAC, in lower-case hex."""
Token = Annotated[str, Field(min_length=8, max_length=64)]


class Event(BaseModel):
    """What all events share. `recorded_at`: when it was appended; `occurred_at`: when it happened, if it differs."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    originator_id: str = Field(default="", exclude=True)
    originator_version: int = Field(default=0, exclude=True)
    recorded_at: Utc
    occurred_at: Utc | None = None


# --- a campaign's settings ---


class CampaignCreated(Event):
    """A campaign came to be, with all its settings. `message_id_domain` is the right side of its Message-IDs."""

    name: str
    owner: Sender
    mailbox: str
    content_digest: Digest
    schedule: Schedule
    limits: Limits
    message_id_domain: str
    actor: str


class ContentChanged(Event):
    """New content. The text stands in a kept table under its version (1-based) and SHA-256 digest."""

    content_version: int
    content_digest: Digest
    actor: str


class ScheduleChanged(Event):
    """A new schedule, in force from here on."""

    schedule: Schedule
    actor: str


class LimitsChanged(Event):
    """New limits, in force from here on."""

    limits: Limits
    actor: str


class MailboxAssigned(Event):
    """The campaign sends through another mailbox from here on."""

    mailbox: str
    actor: str


# --- a campaign's life ---


class _LifecycleEvent(Event):
    actor: str
    reason: str | None = None


class CampaignStarted(_LifecycleEvent):
    """Its leads may be mailed."""


class CampaignPaused(_LifecycleEvent):
    """No further lock until it is resumed. Nothing is lost: waiting leads stay where they are."""


class CampaignResumed(_LifecycleEvent):
    """Its leads may be mailed again."""


class CampaignCancelled(_LifecycleEvent):
    """Every waiting lead is skipped, for good."""


class CampaignCompleted(Event):
    """Nothing is queued, locked or awaiting a retry. What is in doubt does not block it."""


# --- one mail ---


class _LeadEvent(Event):
    """`position`: 0-based place in the campaign; `lead_id`: the lead's number as people use it."""

    position: int
    lead_id: int


class EmailQueued(_LeadEvent):
    """This lead's mail waits. `priority`: lower goes first. `commitment`: HMAC of the contact under its own salt."""

    priority: int
    commitment: Digest
    v1_status: V1Status = "queued"


class ContactChanged(_LeadEvent):
    """A waiting lead's data changed. `revision` counts from 0, the one that was queued."""

    revision: int
    commitment: Digest


class EmailSkipped(_LeadEvent):
    """This lead gets no mail."""

    reason: SkipReason


class PersonErased(_LeadEvent):
    """Who this lead was is not kept any more. `reference`: drawn at random, one for all leads of a person."""

    reference: str
    reason: str
    actor: str


class EmailRequeued(_LeadEvent):
    """A person gave a lead that had definitely failed another chance; its attempts count anew."""

    reason: str
    actor: str


class _AttemptEvent(_LeadEvent):
    """`attempt`: 1-based, over all of a lead's attempts by either sender."""

    attempt: int


class EmailLocked(_AttemptEvent):
    """The point of no return: after this the final dot may be sent, once, by the runner that holds `token`.

    `date` is the message's Date, `digest` the HMAC of the very bytes under the contact's salt.
    """

    sender: Sender
    epoch: int
    runner: str
    token: Token
    due_at: Utc
    mailbox: str
    message_id: str
    date: Utc
    content_version: int
    revision: int
    commitment: Digest
    digest: Digest


class EmailSent(_AttemptEvent):
    """The server accepted it: its reply code, enhanced status code and queue id."""

    token: Token
    code: int
    enhanced: str | None = None
    queue_id: str | None = None


class EmailFailed(_AttemptEvent):
    """Definitely not delivered. Without a token it failed before any lock. Without `next_attempt_at` it is final."""

    token: Token | None = None
    sender: Sender
    epoch: int
    runner: str
    mailbox: str
    phase: str
    code: int | None = None
    enhanced: str | None = None
    permanent: bool
    next_attempt_at: Utc | None = None


class EmailInDoubt(_AttemptEvent):
    """Nobody knows whether the server took it. It is never sent again by itself."""

    token: Token
    cause: str


class InDoubtResolved(_AttemptEvent):
    """A person, or a record of the relay, settled what was in doubt."""

    token: Token
    outcome: Resolution
    evidence: str
    actor: str


class DuplicateDetected(_AttemptEvent):
    """Two acceptances of one lead came to light: an alarm. `token` is the later one's."""

    token: Token


class TestMailSent(Event):
    """A person sent a lead's mail to another address to look at it: it counts nowhere, and is none to the lead."""

    __test__ = False  # pytest takes a name that begins so for a class of tests

    lead_id: int
    mailbox: str
    content_version: int
    message_id: str
    code: int
    enhanced: str | None = None
    queue_id: str | None = None
    actor: str


# --- a mailbox ---


class _MailboxSettings(Event):
    """`daily_limit`: mails a local date of `zone`; `identity_digest`: SHA-256 of its kept SMTP settings."""

    daily_limit: int
    zone: str
    identity_digest: Digest
    actor: str


class MailboxAdded(_MailboxSettings):
    """A mailbox came to be."""


class MailboxChanged(_MailboxSettings):
    """All its settings, in force from here on."""


class MailboxPaused(Event):
    """No further mail through it until a person resumes it: something that waiting does not mend."""

    actor: str
    reason: str


class MailboxResumed(Event):
    """Mail may leave through it again; a delay ends too."""

    actor: str
    reason: str | None = None


class MailboxDelayed(Event):
    """Its server is in trouble: no mail through it before `until`. `failures` counts since the last success."""

    until: Utc
    phase: str
    code: int | None = None
    enhanced: str | None = None
    failures: int


class MailboxSlotTaken(Event):
    """One mail of its daily limit was used, by the lock with this token; appended together with that lock."""

    campaign: str
    position: int
    token: Token


# --- runners and ticks ---


class RunnerStarted(Event):
    """One process start of the daemon, or of a command that sends."""

    runner: str
    host: str
    pid: int
    version: str


class RunnerStopped(Event):
    """The process ended in good order."""

    runner: str


class RunnerRegistered(Event):
    """A person let a machine send from this ledger. `restored`: it is an older backup; every campaign was paused."""

    host: str
    restored: bool
    actor: str
    reason: str


class TickStarted(Event):
    """A tick found work. `tick_at` is the instant its decisions were made for."""

    runner: str
    sender: Sender
    tick_at: Utc
    due: int


class TickFinished(Event):
    """What that tick did. `deferred` counts what was not sent by the rule that held it back."""

    runner: str
    sender: Sender
    tick_at: Utc
    considered: int
    sent: int
    failed: int
    in_doubt: int
    deferred: dict[str, int]


class TicksIdle(Event):
    """A run of ticks that found nothing to send."""

    runner: str
    sender: Sender
    count: int
    first_at: Utc
    last_at: Utc


class TicksMissed(Event):
    """Ticks that did not happen because no runner was there."""

    runner: str
    sender: Sender
    count: int
    after: Utc
    before: Utc


EVENT_TYPES: dict[str, type[Event]] = {
    f"{cls.__name__}/1": cls
    for cls in (
        CampaignCreated,
        ContentChanged,
        ScheduleChanged,
        LimitsChanged,
        MailboxAssigned,
        CampaignStarted,
        CampaignPaused,
        CampaignResumed,
        CampaignCancelled,
        CampaignCompleted,
        EmailQueued,
        ContactChanged,
        EmailSkipped,
        PersonErased,
        EmailRequeued,
        EmailLocked,
        EmailSent,
        EmailFailed,
        EmailInDoubt,
        InDoubtResolved,
        DuplicateDetected,
        TestMailSent,
        MailboxAdded,
        MailboxChanged,
        MailboxPaused,
        MailboxResumed,
        MailboxDelayed,
        MailboxSlotTaken,
        RunnerStarted,
        RunnerStopped,
        RunnerRegistered,
        TickStarted,
        TickFinished,
        TicksIdle,
        TicksMissed,
    )
}
"""Stored topic (name/version) to class: the whole vocabulary of a ledger."""

TOPICS: dict[type[Event], str] = {cls: topic for topic, cls in EVENT_TYPES.items()}


def stamped(at: datetime) -> datetime:
    """The instant in UTC, as events hold it; a naive time is a bug of the caller."""
    if at.tzinfo is None:
        raise ValueError("a time without zone reached the ledger")
    return at.astimezone(UTC)
