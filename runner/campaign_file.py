"""Campaign files: the settings of a campaign in TOML, checked whole before anything is recorded.

name = "Jesień 2026"
mailbox = "sales"
owner = "v2"                     # or "v1"

[content]                        # text and html may also be files beside this one: text_file, html_file
subject = "Dzień dobry, {{ first_name }}"
text = "…"                       # without it the text part is derived from the html

[unsubscribe]                    # optional; then every mail has the headers, and templates {{ unsubscribe_url }}
mailto = "unsubscribe@sender.example"
url = "https://sender.example/u/{token}"

[schedule]                       # all optional
zone = "Europe/Warsaw"
weekdays = ["MON", "TUE", "WED", "THU", "FRI"]
start = "09:00"
end = "15:00"
holidays_of = ["PL"]

[limits]                         # all optional
daily_limit = 500
delay_s = 90
max_attempts = 4
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domain.calendar import Schedule
from domain.errors import InvalidInput
from domain.events import Sender
from domain.rules import Limits
from runner.free_text import check_free_text
from runner.mail.templates import Content, compile_content
from runner.mail.unsubscribe import NO_UNSUBSCRIBE, Unsubscribe

MAX_NAME_CHARACTERS = 200


class _ContentSection(BaseModel):
    model_config = ConfigDict(extra="forbid")

    subject: str
    text: str | None = None
    text_file: Path | None = None
    html: str | None = None
    html_file: Path | None = None


class _UnsubscribeSection(BaseModel):
    model_config = ConfigDict(extra="forbid")

    mailto: str | None = None
    url: str | None = None


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=MAX_NAME_CHARACTERS)
    mailbox: str = Field(min_length=1)
    owner: Sender = "v2"
    content: _ContentSection
    unsubscribe: _UnsubscribeSection | None = None
    schedule: Schedule = Schedule()
    limits: Limits = Limits()


class CampaignFile(BaseModel):
    """A campaign as it is described in a file."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    name: str
    mailbox: str
    owner: Sender
    content: Content
    schedule: Schedule
    limits: Limits

    @property
    def content_digest(self) -> str:
        """SHA-256 over the templates and the ways to unsubscribe; hex."""
        return content_digest(self.content)


def content_digest(content: Content) -> str:
    """SHA-256 over all of one content version; hex."""
    parts = json.dumps(list(content.row.values()), ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(parts.encode()).hexdigest()


def read_campaign_file(path: Path) -> CampaignFile:
    """Read and check a campaign file. Raises `InvalidInput` naming file and field."""
    values = _toml(path)
    try:
        parsed = _File.model_validate(values)
    except ValidationError as error:
        raise _named(error, path) from None
    name = _name(parsed.name, path)
    content = _content(parsed.content, _unsubscribe(parsed.unsubscribe, path), path)
    try:
        compile_content(content)
    except InvalidInput as error:
        raise InvalidInput(error.problem, mend=error.mend, field=f"content.{error.field}", source=str(path)) from None
    return CampaignFile(
        name=name,
        mailbox=parsed.mailbox,
        owner=parsed.owner,
        content=content,
        schedule=parsed.schedule,
        limits=parsed.limits,
    )


def _toml(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"is not TOML: {error}.", mend="Mend that line.", source=str(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot be read: {_why(error)}.", mend="Mend file or path.", source=str(path)) from None


def _name(text: str, path: Path) -> str:
    """The name goes into an event, so it is checked as an operator's free text is."""
    try:
        return check_free_text(text, field="name")
    except InvalidInput as error:
        mend = "Write it as one plain line without an address."
        raise InvalidInput(error.problem, mend=mend, field="name", source=str(path)) from None


def _unsubscribe(section: _UnsubscribeSection | None, path: Path) -> Unsubscribe:
    if section is None:
        return NO_UNSUBSCRIBE
    try:
        return Unsubscribe(section.mailto, section.url).checked()
    except InvalidInput as error:
        raise InvalidInput(error.problem, mend=error.mend, field=error.field, source=str(path)) from None


def _content(section: _ContentSection, unsubscribe: Unsubscribe, path: Path) -> Content:
    text = _part(section.text, section.text_file, "text", path)
    return Content(section.subject, text, _part(section.html, section.html_file, "html", path), unsubscribe)


def _part(inline: str | None, beside: Path | None, name: str, path: Path) -> str | None:
    if inline is not None and beside is not None:
        problem = f"both {name} and {name}_file are given."
        raise InvalidInput(problem, mend="Keep one of them.", field=f"content.{name}", source=str(path))
    if beside is None:
        return inline
    try:
        return (path.parent / beside).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        problem = f"{beside} cannot be read: {_why(error)}."
        raise InvalidInput(problem, mend="Mend file or path.", field=f"content.{name}_file", source=str(path)) from None


def _named(error: ValidationError, path: Path) -> InvalidInput:
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        return InvalidInput("is no field of a campaign file.", mend="Remove it.", field=field, source=str(path))
    problem = first["msg"].removeprefix("Value error, ")
    end = "" if problem.endswith((".", "?")) else "."
    return InvalidInput(f"{problem}{end}", field=field, source=str(path))


def _why(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or "unreadable" if isinstance(error, OSError) else "it is not UTF-8"
