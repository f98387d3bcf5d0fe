"""The old application's side: its real database, what it does with it, and what it truly mailed, which only we know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal, get_args

from sqlalchemy import select
from sqlalchemy.engine import URL

from tests.legacy.old_player import OldApplication
from tests.legacy.old_sample import Sample
from tests.legacy.old_schema import old_engine, old_schema
from tests.legacy.old_system import fill

NUMBER = 1
WAITS = ("queued", "planned")
MAILED = ("sent", "replied")
ADDRESS = "osoba.{}@firma.example"
WINDOW = {"allowedDays": "MON,TUE,WED,SUN", "startHour": 1, "startMinute": 30, "endHour": 15, "endMinute": 0}

TABLES = old_schema().tables

Kind = Literal[
    "waits",
    "planned",
    "sending",
    "sending, mailed",
    "sent",
    "sent, no row",
    "row, waits",
    "failed",
    "replied",
    "blocked",
    "twin",
    "queue says sent",
    "row without lead",
    "twice",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""How a lead stands there at the beginning."""
PLAIN: tuple[Kind, ...] = ("waits", "waits", "waits", "waits")
"""So stand four in any case."""

Deed = Literal[
    "takes",
    "mails",
    "logs",
    "marks",
    "mails and finishes",
    "resets",
    "fails",
    "hears",
    "pauses",
    "resumes",
    "completes",
    "adds",
    "adds a twin",
    "renames",
    "readdresses",
    "blocks",
    "limits",
]
DEEDS: tuple[Deed, ...] = get_args(Deed)


class OldSide:
    """One campaign there. `mailed`: how often each lead truly was. `evidence`: of whom an import has seen that it may
    have been."""

    def __init__(self, url: URL, now: datetime, odd: list[Kind], delay_s: int, daily_limit: int) -> None:
        self.mailed = Counter[int]()
        self.evidence: set[int] = set()
        self._late: set[int] = set()
        self._url = url
        self._engine = old_engine(url)
        self._added = 0
        self._app = OldApplication(url, NUMBER, now)
        self._fill(now, odd, {"delayBetweenEmails": delay_s, "maxEmailsPerDay": daily_limit})

    @property
    def url(self) -> str:
        return f"sqlite:///{self._url.database}"

    def close(self) -> None:
        self._engine.dispose()

    def do(self, deed: Deed, nth: int, now: datetime) -> datetime:
        """If it can; what its clock then says."""
        self._app.now = now
        leads = self._leads()
        candidates = [lead for lead, status in leads if self._fits(deed, lead, status)]
        if candidates:
            self._deeds()[deed](candidates[nth % len(candidates)])
        return self._app.now

    def mails_after_all(self, nth: int, now: datetime, names_lead: bool) -> datetime:
        """It was not stopped: it mails somebody, and writes it down, with the lead or with the address alone."""
        self._app.now = now
        leads = self._leads()
        lead = leads[nth % len(leads)][0]
        if not self.mailed[lead]:
            self.evidence.discard(lead)  # that was about a mail that never left; of this one no import has seen a word
        self._mail(lead)
        self._late.add(lead)
        if names_lead:
            self._app.finish(lead, f"<late.{lead}@old.example>")
        else:
            self._app.log(None, f"<late.{lead}@old.example>", address=self._addresses()[lead].upper())
        return self._app.now

    def blocks_after_all(self, nth: int, now: datetime) -> datetime:
        """Somebody wants no more mail, and says so there."""
        self._app.now = now
        leads = self._leads()
        self._app.block(leads[nth % len(leads)][0])
        return self._app.now

    def look(self) -> tuple[set[int], set[int]]:
        """Of whom its database now says that they may have been mailed; and that they certainly were not."""
        tables = TABLES
        log, rows, queue, people = (tables[name] for name in ("SendLog", "CampaignLead", "CampaignEmailQueue", "Lead"))
        with self._engine.connect() as connection:
            may = set(connection.scalars(select(rows.c.leadId).where(rows.c.status.in_(("sending", *MAILED)))))
            may |= set(
                connection.scalars(select(log.c.leadId).where(log.c.status == "sent", log.c.leadId.is_not(None)))
            )
            strays = set(connection.scalars(select(log.c.toEmail).where(log.c.leadId.is_(None))))
            to_whom = connection.execute(select(people.c.id, people.c.email))
            may |= {lead for lead, address in to_whom if address.lower() in {stray.lower() for stray in strays}}
            of_queue = select(rows.c.leadId).join(queue, queue.c.campaignLeadId == rows.c.id)
            may |= set(connection.scalars(of_queue.where(queue.c.status.in_(("sent", "sending")))))
            failed = set(connection.scalars(select(rows.c.leadId).where(rows.c.status == "failed")))
        return may, failed - may

    def seen_after_all(self) -> None:
        """An import has taken in what it mailed though it was to be stopped."""
        self.evidence |= self._late

    def seen(self, looked: tuple[set[int], set[int]]) -> None:
        """An import has taken this in."""
        may, failed = looked
        self.evidence = (self.evidence | may) - failed

    def mailed_by_what_is_seen(self) -> set[int]:
        """Whom it truly mailed, and an import has seen that it may have."""
        return {lead for lead in self.evidence if self.mailed[lead]}

    # --- the beginning ---

    def _fill(self, now: datetime, odd: list[Kind], limits: dict[str, int]) -> None:
        data = Sample(now)
        data.campaign("Zima", "IN_PROGRESS", **WINDOW, **limits, respectHolidays=False, sendingStartedAt=data.ago(9))
        for kind in (*PLAIN, *odd):
            self._person(data, kind)
        fill(self._url, data)

    def _person(self, data: Sample, kind: Kind) -> None:
        at = data.ago(5)
        statuses = {"planned": "planned", "failed": "failed", "replied": "replied", "sent": "sent", "twice": "sent"}
        status = statuses.get(kind, "queued")
        if kind.startswith("sending"):
            status = "sending"
        if kind == "sent, no row":
            status = "sent"
        twin = data.address(1).upper() if kind == "twin" else None
        lead = data.lead(NUMBER, status, address=twin, isBlocked=kind == "blocked")
        rows = {"sent": 1, "row, waits": 1, "replied": 1, "twice": 2, "row without lead": 1}.get(kind, 0)
        for _ in range(rows):
            by_address = {"toEmail": data.address(lead).upper()} if kind == "row without lead" else {}
            data.log(NUMBER, None if by_address else lead, at, **by_address)
        if kind == "queue says sent":
            data.queue(NUMBER, lead, "sent", at, at)
        truly = kind in ("sending, mailed", "sent, no row", "queue says sent")
        self.mailed[lead] += rows or int(truly)

    # --- what it does ---

    def _fits(self, deed: Deed, lead: int, status: str) -> bool:
        match deed:
            case "takes" | "mails and finishes":
                return status in WAITS
            case "mails" | "resets":
                return status == "sending"
            case "logs" | "marks":
                return status == "sending" and bool(self.mailed[lead])
            case "fails":
                return status == "sending" and not self.mailed[lead]
            case "hears":
                return status == "sent"
            case _:
                return True

    def _deeds(self) -> dict[Deed, Callable[[int], object]]:
        app = self._app
        return {
            "takes": app.start_sending,
            "mails": self._mail,
            "logs": lambda lead: app.log(lead, f"<{lead}@old.example>"),
            "marks": app.mark_sent,
            "mails and finishes": self._mail_and_finish,
            "resets": app.reset_to_queued,
            "fails": app.fail,
            "hears": app.replied,
            "pauses": lambda _: app.pause(),
            "resumes": lambda _: app.resume(),
            "completes": lambda _: app.complete(),
            "adds": lambda _: app.add_lead(self._new_address()),
            "adds a twin": lambda lead: app.add_lead(self._twin_of(lead)),
            "renames": lambda lead: app.change_lead(lead, firstName=self._new_address().partition("@")[0]),
            "readdresses": lambda lead: app.change_lead(lead, email=self._new_address()),
            "blocks": app.block,
            "limits": lambda lead: app.change(delayBetweenEmails=300 * (lead % 3), maxEmailsPerDay=2 + lead),
        }

    def _mail(self, lead: int) -> None:
        self.mailed[lead] += 1

    def _mail_and_finish(self, lead: int) -> None:
        self._app.start_sending(lead)
        self._mail(lead)
        self._app.finish(lead, f"<{lead}@old.example>")

    def _new_address(self) -> str:
        self._added += 1
        return ADDRESS.format(f"n{self._added}")

    def _twin_of(self, lead: int) -> str:
        """The column is unique, but for upper and lower case."""
        addresses = self._addresses()
        cased = (addresses[lead].upper(), addresses[lead].lower(), addresses[lead].title())
        return next((each for each in cased if each not in addresses.values()), self._new_address())

    def _addresses(self) -> dict[int, str]:
        people = TABLES["Lead"]
        with self._engine.connect() as connection:
            return {row.id: row.email for row in connection.execute(select(people.c.id, people.c.email))}

    def _leads(self) -> list[tuple[int, str]]:
        rows = TABLES["CampaignLead"]
        with self._engine.connect() as connection:
            found: Any = connection.execute(select(rows.c.leadId, rows.c.status).order_by(rows.c.leadId)).all()
        return [(lead, status) for lead, status in found]
