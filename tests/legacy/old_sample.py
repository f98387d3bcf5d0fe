"""A sample of the old application's data: seven campaigns of invented people, with everything in them that goes wrong.

Each inconsistency has a place by name: `sample.leads[sample.campaigns["Zima"]][Place.IN_DOUBT]` are the leads of which
the old application does not know whether they got their mail.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

from tests.legacy.old_schema import Moment, iso, iso_z

WARSAW = ZoneInfo("Europe/Warsaw")
FIRST_ID = {"CampaignLead": 501, "SendLog": 701, "CampaignEmailQueue": 901}
"""So that nobody can take the id of one table for that of another, and be right by chance."""
SUBJECT = "Nowości dla firmy {{company}}"
TEXT = "{{greetingForm}},\n\nchętnie opowiemy, co z naszych nowości przyda się firmie {{company}}.\n"


class Place(StrEnum):
    """Where what is to be found. What is no inconsistency stands last."""

    SENT_IN_LOG_ONLY = "SendLog says sent, the status does not"
    SENT_WITHOUT_LOG = "the status says sent, SendLog has no row"
    IN_DOUBT = "sending, and no outcome"
    SENT_TWICE = "several SendLog rows for one lead"
    TWO_STATES = "CampaignLead and the queue disagree"
    UNKNOWN_IN_QUEUE = "queue rows of leads that do not exist (ids of queue rows)"
    WAITS_FOR_EVER = "waits, though the campaign is over"
    ONE_ADDRESS = "two leads with one address"
    BLOCKED = "blocked, and waits"
    LOG_WITHOUT_LEAD = "SendLog rows without a lead (ids of SendLog rows)"
    LOG_BY_ADDRESS = "SendLog has a row without a lead, to the lead's address"
    LIMIT_EXCEEDED = "mailed today, more than the limit allows"

    CLEAN_SENT = "sent, and everything agrees"
    CLEAN_WAITING = "waits, and everything agrees"
    FAILED = "failed"
    REPLIED = "replied"
    TIME_AS_TEXT = "its times are ISO text"
    TIME_AS_TEXT_Z = "its times are ISO text with T and Z"


@dataclass(frozen=True)
class Sample:
    """Rows by table; and of each campaign, by name and number, what is in which place."""

    now: datetime
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    campaigns: dict[str, int] = field(default_factory=dict)
    leads: dict[int, dict[Place, list[int]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    people: Iterator[int] = field(default_factory=lambda: count(1))

    # --- rows, each with its id ---

    def campaign(self, name: str, status: str, **settings: Any) -> int:
        """A campaign, by the settings in which it differs."""
        row = {
            "name": name,
            "subject": SUBJECT,
            "text": TEXT,
            "status": status,
            "scheduledAt": None,
            "sendingStartedAt": None,
            "sendingCompletedAt": None,
            "delayBetweenEmails": 90,
            "maxEmailsPerDay": 500,
            "allowedDays": "MON,TUE,WED,THU,FRI",
            "startHour": 9,
            "startMinute": 0,
            "endHour": 15,
            "endMinute": 0,
            "respectHolidays": True,
            "targetCountries": "PL",
            "useV2": False,
            "createdAt": self.ago(30),
            "jobDescription": None,
        }
        number = self._add("Campaign", {**row, **settings})
        self.campaigns[name] = number
        return number

    def lead(
        self,
        campaign: int,
        status: str,
        *places: Place,
        address: str | None = None,
        priority: int = 999,
        sent_at: Moment | None = None,
        created_at: Moment | None = None,
        standing: str = "ACTIVE",
        **person: Any,
    ) -> int:
        """A person in a campaign. `standing` is the person's own status, `status` the one in the campaign."""
        number = next(self.people)
        row = {
            "email": address or f"osoba.{number}@firma{number}.example",
            "firstName": ("Bożena", "Kazimierz", "Łucja", "Przemysław")[number % 4],
            "lastName": ("Żuraw", "Wróbel", "Ćwikła")[number % 3],
            "company": f"Młyn {number}",
            "language": "pl",
            "greetingForm": "Dzień dobry",
            "status": standing,
            "isBlocked": False,
            "linkedinUrl": None,
        }
        lead = self._add("Lead", {**row, **person})
        self._add(
            "CampaignLead",
            {
                "campaignId": campaign,
                "leadId": lead,
                "status": status,
                "priority": priority,
                "sentAt": sent_at,
                "createdAt": self.ago(20, lead) if created_at is None else created_at,
            },
        )
        for place in places:
            self.leads[campaign][place].append(lead)
        return lead

    def log(self, campaign: int | None, lead: int | None, at: Moment, *, status: str = "sent", **more: Any) -> int:
        """What the old sender wrote down about a mail."""
        number = FIRST_ID["SendLog"] + len(self.rows["SendLog"])
        row = {
            "campaignId": campaign,
            "leadId": lead,
            "toEmail": self.address(lead) if lead else "probny@nadawca.example",
            "messageId": f"<mail.{number}@nadawca.example>" if status == "sent" else None,
            "subject": "Nowości",
            "content": "Dzień dobry, chętnie opowiemy.",
            "status": status,
            "error": None,
            "createdAt": at,
        }
        return self._add("SendLog", {**row, **more})

    def queue(self, campaign: int, lead: int | None, status: str, at: Moment, sent_at: Moment | None = None) -> int:
        """The lead's row in the queue; without a lead, that of one that does not exist."""
        row = {
            "campaignId": campaign,
            "campaignLeadId": 9_999 if lead is None else self._of_campaign(campaign, lead),
            "scheduledAt": at,
            "status": status,
            "sentAt": sent_at,
            "error": None,
        }
        return self._add("CampaignEmailQueue", row)

    def mailbox(self, address: str, **settings: Any) -> int:
        """A mailbox, with passwords that nobody may read."""
        row = {
            "email": address,
            "displayName": "Anna Łęcka",
            "smtpHost": "smtp.nadawca.example",
            "smtpPort": 587,
            "smtpUser": address,
            "smtpPass": "tajne-hasło",
            "imapPassword": "tajne-hasło",
            "smtpSecure": False,
            "dailyEmailLimit": 50,
            "isActive": True,
        }
        return self._add("Mailbox", {**row, **settings})

    def sent(self, campaign: int, at: datetime, *places: Place, **more: Any) -> int:
        """A lead whose mail was sent and written down."""
        lead = self.lead(campaign, "sent", *places, sent_at=at, **more)
        self.log(campaign, lead, at)
        return lead

    # --- and what they need ---

    def ago(self, days: int, minutes: int = 0) -> datetime:
        """So many days before, from ten o'clock in UTC on."""
        day = (self.now - timedelta(days=days)).replace(hour=10, minute=0, second=0, microsecond=0)
        return day + timedelta(minutes=minutes)

    def address(self, lead: int) -> str:
        return str(self.rows["Lead"][lead - 1]["email"])

    def _of_campaign(self, campaign: int, lead: int) -> int:
        [row] = (row for row in self.rows["CampaignLead"] if (row["campaignId"], row["leadId"]) == (campaign, lead))
        return int(row["id"])

    def _add(self, table: str, row: dict[str, Any]) -> int:
        number = FIRST_ID.get(table, 1) + len(self.rows[table])
        self.rows[table].append({"id": number, **row})
        return number


def sample(now: datetime) -> Sample:
    """All of it, as it is at this instant."""
    old = Sample(now)
    _completed(old)
    _zima(old)
    _targi(old)
    _paused(old)
    _not_begun(old)
    _cancelled(old)
    old.mailbox("anna@nadawca.example")
    old.mailbox("biuro@nadawca.example", displayName=None, smtpPort=465, smtpSecure=True, isActive=False)
    return old


def _completed(old: Sample) -> None:
    """Jesień is over, and two leads wait for ever."""
    times = {"sendingStartedAt": old.ago(19), "sendingCompletedAt": old.ago(12)}
    jesien = old.campaign("Jesień", "COMPLETED", **times)
    for number in range(3):
        old.sent(jesien, old.ago(18, number * 2), Place.CLEAN_SENT)
    old.lead(jesien, "queued", Place.WAITS_FOR_EVER)
    old.lead(jesien, "planned", Place.WAITS_FOR_EVER)


def _zima(old: Sample) -> None:
    """Zima runs, and everything that can be inconsistent in a campaign is."""
    zima = old.campaign("Zima", "IN_PROGRESS", sendingStartedAt=iso_z(old.ago(9)))
    for number in range(3):
        old.sent(zima, old.ago(8, number * 2), Place.CLEAN_SENT)
    for priority in (999, 1, 10):
        lead = old.lead(zima, "queued", Place.CLEAN_WAITING, priority=priority)
        old.queue(zima, lead, "pending", old.ago(-1))
    old.lead(zima, "planned", Place.CLEAN_WAITING)
    _disagreeing(old, zima)
    _unknown_outcomes(old, zima)
    _people(old, zima)
    _nobody(old, zima)
    _texts(old, zima)


def _disagreeing(old: Sample, zima: int) -> None:
    for minute, status in enumerate(("queued", "planned")):
        lead = old.lead(zima, status, Place.SENT_IN_LOG_ONLY)
        old.log(zima, lead, old.ago(7, minute * 2))
    old.lead(zima, "sent", Place.SENT_WITHOUT_LOG, sent_at=old.ago(7, 10))
    waits = old.lead(zima, "queued", Place.TWO_STATES)
    old.queue(zima, waits, "sent", old.ago(7, 12), old.ago(7, 12))
    sent = old.sent(zima, old.ago(7, 14), Place.TWO_STATES)
    old.queue(zima, sent, "pending", old.ago(7, 14))


def _unknown_outcomes(old: Sample, zima: int) -> None:
    locked = old.lead(zima, "sending", Place.IN_DOUBT)
    old.queue(zima, locked, "sending", old.ago(6))
    begun = old.lead(zima, "sending", Place.IN_DOUBT)
    old.log(zima, begun, old.ago(6, 2), status="queued")
    twice = old.sent(zima, old.ago(6, 10), Place.SENT_TWICE)
    old.log(zima, twice, old.ago(6, 14))
    thrice = old.sent(zima, old.ago(6, 20), Place.SENT_TWICE)
    old.log(zima, thrice, old.ago(6, 20))
    old.log(zima, thrice, iso(old.ago(5, 3)))
    failed = old.lead(zima, "failed", Place.FAILED)
    old.log(zima, failed, old.ago(6, 30), status="error", error="550 5.1.1 <osoba@firma.example>: unknown user")
    replied = old.lead(zima, "replied", Place.REPLIED, sent_at=old.ago(6, 32))
    old.log(zima, replied, old.ago(6, 32))


def _people(old: Sample, zima: int) -> None:
    old.sent(zima, old.ago(5), Place.ONE_ADDRESS, address="Jozef.Nowak@zaklad.example")
    old.lead(zima, "queued", Place.ONE_ADDRESS, address="jozef.nowak@zaklad.example")
    old.lead(zima, "queued", Place.BLOCKED, isBlocked=True)
    old.lead(zima, "planned", Place.BLOCKED, standing="BLOKADA")
    bare: dict[str, Any] = dict.fromkeys(("firstName", "lastName", "company", "language", "greetingForm"))
    old.lead(zima, "queued", Place.CLEAN_WAITING, **bare)


def _nobody(old: Sample, zima: int) -> None:
    rows = old.leads[zima]
    for days in (4, -2):
        rows[Place.UNKNOWN_IN_QUEUE].append(old.queue(zima, None, "pending", old.ago(days)))
    rows[Place.LOG_WITHOUT_LEAD].append(old.log(zima, None, old.ago(10)))
    old.log(None, None, old.ago(10, 1))
    lead = old.lead(zima, "queued", Place.LOG_BY_ADDRESS)
    rows[Place.LOG_WITHOUT_LEAD].append(old.log(zima, None, old.ago(4), toEmail=old.address(lead).upper()))


def _texts(old: Sample, zima: int) -> None:
    """They came to the campaign first, so they show whether times of all kinds are put in order."""
    early = old.ago(21)
    plain = old.lead(zima, "sent", Place.TIME_AS_TEXT, sent_at=iso(old.ago(4, 6)), created_at=iso(early))
    old.log(zima, plain, iso(old.ago(4, 6)))
    at = iso_z(old.ago(4, 8))
    with_z = old.lead(zima, "sent", Place.TIME_AS_TEXT_Z, sent_at=at, created_at=iso_z(early + timedelta(minutes=1)))
    old.log(zima, with_z, at)


def _targi(old: Sample) -> None:
    """Targi runs, and more was sent today than its limit of three."""
    settings: dict[str, Any] = {"maxEmailsPerDay": 3, "targetCountries": "PL,DE", "allowedDays": "MON,TUE,WED"}
    targi = old.campaign("Targi", "IN_PROGRESS", sendingStartedAt=old.ago(2), **settings)
    midnight = old.now.astimezone(WARSAW).replace(hour=0, minute=0, second=0, microsecond=0)
    for number in range(1, 5):
        at = midnight + (old.now - midnight) * number / 5
        old.sent(targi, at.replace(microsecond=0), Place.LIMIT_EXCEEDED)
    old.lead(targi, "queued", Place.CLEAN_WAITING)


def _paused(old: Sample) -> None:
    """Wiosna is paused; whom the pause met in the queue is cancelled there."""
    wiosna = old.campaign("Wiosna", "PAUSED", sendingStartedAt=old.ago(6), startHour=0, endHour=24, useV2=True)
    old.sent(wiosna, old.ago(5), Place.CLEAN_SENT)
    waits = old.lead(wiosna, "queued", Place.TWO_STATES)
    old.queue(wiosna, waits, "cancelled", old.ago(5, 2))
    old.lead(wiosna, "queued", Place.CLEAN_WAITING)


def _not_begun(old: Sample) -> None:
    szkic = old.campaign("Szkic", "DRAFT", subject=None, text=None, targetCountries=None, respectHolidays=False)
    old.lead(szkic, "planned", Place.CLEAN_WAITING)
    times = {"scheduledAt": iso_z(old.ago(-3)), "startHour": 8, "startMinute": 30, "endHour": 16, "endMinute": 45}
    lato = old.campaign("Lato", "SCHEDULED", delayBetweenEmails=0, **times)
    for _ in range(2):
        old.lead(lato, "planned", Place.CLEAN_WAITING)


def _cancelled(old: Sample) -> None:
    odwolana = old.campaign("Odwołana", "CANCELLED", sendingStartedAt=old.ago(15), sendingCompletedAt=old.ago(14))
    old.sent(odwolana, old.ago(15, 2), Place.CLEAN_SENT)
    old.lead(odwolana, "queued", Place.WAITS_FOR_EVER)
