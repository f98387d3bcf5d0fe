"""The events: everything that ever happened, in frozen pydantic models of past tense. They are the truth.
No event holds personal data: a lead is its number, a contact and a message are salted commitments.

Every time is an aware UTC datetime. `originator_id` (the stream) and `originator_version` (1-based) are columns of
the store, so they stay out of an event's JSON. A stored event is read for ever: to change a class, register a new
version with an upcast in `EVENT_TYPES` and add its golden line to the tests.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
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


class ImportedSend(BaseModel):
    """What an old system's SendLog says of a mail: the number of its row, and the Message-ID if it noted one."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    row: int
    message_id: str | None = None


class EmailSent(_AttemptEvent):
    """The server accepted it: its reply code, enhanced status code and queue id. `imported`: an old system sent it, by
    its own record, without a lock of ours; `occurred_at` is then the time of that record, and there is no code."""

    token: Token
    code: int | None = None
    enhanced: str | None = None
    queue_id: str | None = None
    imported: ImportedSend | None = None


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


# --- history of an old system, and the way to V2 ---


class Observation(BaseModel):
    """Something that only the old database shows: which rule it breaks, the leads it concerns (a group of leads that
    share an address is one observation, first come first), and the old rows, of the table that the rule speaks of."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    rule: str
    leads: tuple[int, ...] = ()
    rows: tuple[int, ...] = ()


class LegacyImported(Event):
    """What an old system has of this campaign was taken in. From the first of these on the campaign is only observed.

    `complete`: this import came to its end; one that did not is not. `settings_digest`: SHA-256 over the old settings
    that are in force here. `send_log` and `queue`: rows of the old tables by their status. `created_there`: when the
    old system made the campaign, which tells it from another of its number; `scheduled_there`: when it is to begin.
    """

    source: str
    complete: bool
    settings_digest: Digest
    send_log: dict[str, int]
    queue: dict[str, int]
    observations: tuple[Observation, ...] = ()
    actor: str
    created_there: Utc | None = None
    scheduled_there: Utc | None = None


class StatusObserved(_LeadEvent):
    """The old system gave this lead another status."""

    before: V1Status
    after: V1Status


class TakenOver(Event):
    """Our V1 goes on where the old system stopped, by the word of `actor` that it is stopped for this campaign.

    `settled_s`: seconds between that word and the last look at the old database. `in_doubt`: the leads that were
    `sending` then.
    """

    epoch: int
    settled_s: int
    in_doubt: tuple[int, ...]
    actor: str
    reason: str | None = None


class StatusFixed(_LeadEvent):
    """A lead's V1 status was repaired, by the rule that it broke."""

    before: V1Status
    after: V1Status
    rule: str


class FixApplied(Event):
    """A reviewed plan of repairs was carried out: `repairs` by rule. Its repairs follow in the same append."""

    plan: str
    repairs: dict[str, int]
    actor: str
    reason: str | None = None


class FlaggedForV2(_LifecycleEvent):
    """The next tick of V2 shall migrate it, under the same rules as a person would."""


class MigrationRefused(Event):
    """A tick of V2 found it flagged and could not migrate it. Recorded once for each reason."""

    reason: str


class _OwnerChanged(Event):
    """`before` and `after`: leads by state. `locked`: leads whose mail the sender before had under way: it ends them
    itself. `sent_digest`: SHA-256 over the numbers of all leads that are sent, ascending, one a line."""

    epoch: int
    before: dict[str, int]
    after: dict[str, int]
    locked: tuple[int, ...]
    in_doubt: tuple[int, ...]
    sent_digest: Digest
    actor: str
    reason: str


class MigratedToV2(_OwnerChanged):
    """From the next lock on it is V2's."""


class RolledBack(_OwnerChanged):
    """From the next lock on it is V1's; a flag for V2 is gone."""


class V1Retired(_LifecycleEvent):
    """No campaign is left on V1: its tick goes off."""


class V1Reinstated(_LifecycleEvent):
    """A campaign came to V1 again: its tick goes on."""


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
    """One mail of its daily limit was used, by the lock with this token; appended together with that lock. One that an
    old system used has the token of the imported send, and `occurred_at`."""

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
    """A run of ticks that found nothing to send. `over_us`: by how many microseconds each distance between two of them
    is longer than the shortest; empty where all are the same."""

    runner: str
    sender: Sender
    count: int
    first_at: Utc
    last_at: Utc
    over_us: tuple[int, ...] | None = None


class TicksMissed(Event):
    """Ticks that did not happen because no runner was there."""

    runner: str
    sender: Sender
    count: int
    after: Utc
    before: Utc


# --- comparisons ---


class DifferenceAccepted(Event):
    """A person accepts differences of a comparison: of this class, where these conditions hold, until a day, and so
    many at most."""

    difference: Literal["EXTRA", "MISSING", "CONTENT", "MAILBOX", "SHIFT"]
    where: str
    reason: str
    expires: date
    at_most: int
    actor: str


class ShadowStarted(Event):
    """The sender that does not own the campaign decides beside its owner from here on, and sends nothing."""

    actor: str


class ShadowStopped(Event):
    """It no longer does."""

    actor: str


class ShadowDecided(_AttemptEvent):
    """It would have sent this mail at `decided_at`. `log_position`: how far it had read the ledger."""

    sender: Sender
    decided_at: Utc
    log_position: int


class ShadowSummarised(Event):
    """What the shadow came to, up to a place in the log: mails judged, those on which both agree, differences by
    class, and how often its time was up before it was through."""

    log_position: int
    judged: int
    equal: int
    differences: dict[str, int]
    cut_short: int


CHANGED: dict[str, type[Event]] = {
    "EmailSent/2": EmailSent,
    "LegacyImported/2": LegacyImported,
    "TicksIdle/2": TicksIdle,
}
"""Newer versions of events. What an older version has is read as it is: `EmailSent/1` lacks `imported`,
`LegacyImported/1` the two times of the old system's own, `TicksIdle/1` the distances, which are not known then."""

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
        LegacyImported,
        StatusObserved,
        TakenOver,
        StatusFixed,
        FixApplied,
        FlaggedForV2,
        MigrationRefused,
        MigratedToV2,
        RolledBack,
        V1Retired,
        V1Reinstated,
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
        DifferenceAccepted,
        ShadowStarted,
        ShadowStopped,
        ShadowDecided,
        ShadowSummarised,
    )
} | CHANGED
"""Stored topic (name/version) to class: the whole vocabulary of a ledger. An event that changed stands here once a
version; each is read into the class of today."""

TOPICS: dict[type[Event], str] = {cls: topic for topic, cls in EVENT_TYPES.items()}
"""The topic that an event is stored under: its newest version."""


def stamped(at: datetime) -> datetime:
    """The instant in UTC, as events hold it; a naive time is a bug of the caller."""
    if at.tzinfo is None:
        raise ValueError("a time without zone reached the ledger")
    return at.astimezone(UTC)
