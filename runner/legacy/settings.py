"""An old campaign's settings as they are in force here. What our rules do not allow is named with its column."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import ValidationError

from domain.calendar import Schedule
from domain.errors import InvalidInput
from domain.observing import OldSettings
from domain.rules import Limits
from runner.campaign_file import content_digest
from runner.legacy.records import OldCampaign
from runner.mail.templates import Content

COLUMNS = {
    "weekdays": "allowedDays",
    "start": "startHour",
    "end": "endHour",
    "holidays_of": "targetCountries",
    "daily_limit": "maxEmailsPerDay",
    "delay_s": "delayBetweenEmails",
}
"""The old column of each of our fields."""


def content_of(old: OldCampaign) -> Content:
    """The old templates, word for word. Merge fields keep their old names: `{{ firstName }}`."""
    return Content(subject=old.subject, text=old.text)


def settings_of(old: OldCampaign, *, mailbox: str, domain: str, zone: str, source: str) -> OldSettings:
    """Raises `InvalidInput` naming the old row and column for what no campaign here may have."""
    try:
        schedule = Schedule(
            zone=zone,
            weekdays=old.weekdays,
            start=old.start,
            end=old.end,
            holidays_of=old.countries if old.respect_holidays else (),
        )
        limits = Limits(daily_limit=old.daily_limit, delay_s=old.delay_s)
    except ValidationError as error:
        raise _named(error, old, source) from None
    except InvalidInput as error:
        raise InvalidInput(error.problem, mend=error.mend, source=source, field=_place(old, error.field)) from None
    return OldSettings(
        name=old.name,
        mailbox=mailbox,
        content_digest=content_digest(content_of(old)),
        schedule=schedule,
        limits=limits,
        message_id_domain=domain,
        digest=_digest(old, schedule, limits),
    )


def _digest(old: OldCampaign, schedule: Schedule, limits: Limits) -> str:
    said: list[Any] = [old.subject, old.text, schedule.model_dump(mode="json"), limits.model_dump(mode="json")]
    return hashlib.sha256(json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


def _named(error: ValidationError, old: OldCampaign, source: str) -> InvalidInput:
    first = error.errors(include_input=False)[0]
    field = str(first["loc"][0]) if first["loc"] else None
    problem = first["msg"].removeprefix("Value error, ").rstrip(".") + "."
    return InvalidInput(problem, mend="Mend the row there, then import again.", source=source, field=_place(old, field))


def _place(old: OldCampaign, field: str | None) -> str:
    return f"Campaign {old.number}, {COLUMNS.get(field or '', field or 'row')}"
