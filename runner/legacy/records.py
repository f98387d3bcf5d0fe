"""What the old application knows, row by row: its own words, with times in UTC and nothing repaired.
All but its codes and numbers is personal data or may hold some.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple

from domain.calendar import Weekday

CampaignStatus = Literal["DRAFT", "SCHEDULED", "IN_PROGRESS", "PAUSED", "COMPLETED", "CANCELLED"]
LeadStatus = Literal["planned", "queued", "sending", "sent", "failed", "replied"]
SendStatus = Literal["queued", "sent", "error"]
QueueStatus = Literal["pending", "sending", "sent", "failed", "cancelled"]


class OldCampaign(NamedTuple):
    """A row of `Campaign`. `start` and `end` are local times such as "09:00"; `end` may be "24:00"."""

    number: int
    name: str
    subject: str
    text: str
    status: CampaignStatus
    scheduled_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    delay_s: int
    daily_limit: int
    weekdays: tuple[Weekday, ...]
    start: str
    end: str
    respect_holidays: bool
    countries: tuple[str, ...]
    use_v2: bool
    created_at: datetime


class OldLead(NamedTuple):
    """A row of `CampaignLead` with its `Lead`. `fields` has firstName, lastName, company, language, greetingForm."""

    row_id: int
    lead_id: int
    address: str
    fields: dict[str, str]
    v1_status: LeadStatus
    priority: int
    sent_at: datetime | None
    created_at: datetime
    is_blocked: bool


class OldSend(NamedTuple):
    """A row of `SendLog`: what the old sender wrote down about one mail."""

    row_id: int
    lead_id: int | None
    address: str
    message_id: str | None
    status: SendStatus
    has_error: bool
    created_at: datetime


class OldQueueRow(NamedTuple):
    """A row of `CampaignEmailQueue`, which names a row of `CampaignLead`."""

    row_id: int
    campaign_lead_row_id: int
    status: QueueStatus
    scheduled_at: datetime
    sent_at: datetime | None


class OldMailbox(NamedTuple):
    """A row of `Mailbox`, without its passwords."""

    id: int
    address: str
    display_name: str
    host: str
    port: int
    user: str
    secure: bool
    daily_limit: int
    is_active: bool


class OldCounts(NamedTuple):
    """How many rows there are to read of one campaign."""

    leads: int
    sends: int
    queue: int
