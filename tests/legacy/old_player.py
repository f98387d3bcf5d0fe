"""Plays the old application while it runs: each call is one of its transactions, as its code makes them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import MetaData, Table, Update, delete, insert, update
from sqlalchemy.engine import URL

from tests.legacy.old_schema import Moment, Times, old_connection, old_schema

BETWEEN_STEPS = timedelta(seconds=1)


@dataclass
class OldApplication:
    """On one campaign. `now` is its clock, which each call moves on."""

    url: URL
    campaign: int
    now: datetime
    times: Times = "timestamp"

    def start_sending(self, lead: int) -> None:
        """It takes the lead, and then its mail."""
        self._change(lead, status="sending")

    def finish(self, lead: int, message_id: str | None) -> None:
        """The server took the mail: written down, and the lead is sent."""
        self.log(lead, message_id)
        self._change(lead, status="sent", sentAt=self.now)

    def log(self, lead: int | None, message_id: str | None, *, address: str = "osoba@firma.example") -> None:
        """Written down that a mail was sent, and nothing else."""
        self._run(
            insert(self._table("SendLog")).values(
                campaignId=self.campaign,
                leadId=lead,
                toEmail=address,
                messageId=message_id,
                subject="Nowości",
                status="sent",
                createdAt=self.now,
            )
        )

    def mark_sent(self, lead: int) -> None:
        """The lead is sent, and no row says so."""
        self._change(lead, status="sent", sentAt=self.now)

    def fail(self, lead: int) -> None:
        """The server refused the mail."""
        self._change(lead, status="failed")

    def reset_to_queued(self, lead: int) -> None:
        """Its repair takes every lead that stays in `sending` for one that was not sent."""
        self._change(lead, status="queued")

    def replied(self, lead: int) -> None:
        """An answer came in."""
        self._change(lead, status="replied")

    def block(self, lead: int) -> None:
        """The person wants no more mail."""
        leads = self._table("Lead")
        self._run(update(leads).where(leads.c.id == lead).values(isBlocked=True))

    def change_lead(self, lead: int, **values: Any) -> None:
        """A person's own data, by the names of their columns."""
        leads = self._table("Lead")
        self._run(update(leads).where(leads.c.id == lead).values(**values))

    def remove_lead(self, lead: int) -> None:
        """A person takes somebody out of the campaign."""
        leads = self._table("CampaignLead")
        self._run(delete(leads).where(leads.c.campaignId == self.campaign, leads.c.leadId == lead))

    def pause(self) -> None:
        """Paused; locked mails become `cancelled` in the queue, and stay so."""
        queue = self._table("CampaignEmailQueue")
        locked = queue.c.status.in_(("pending", "sending"))
        self._run(
            self._setting(status="PAUSED"),
            update(queue).where(queue.c.campaignId == self.campaign, locked).values(status="cancelled"),
        )

    def resume(self) -> None:
        """Goes on."""
        self._run(self._setting(status="IN_PROGRESS"))

    def complete(self) -> None:
        """The campaign is over."""
        self._run(self._setting(status="COMPLETED", sendingCompletedAt=self.now))

    def change(self, **settings: Any) -> None:
        """A person changes settings of the campaign, by the names of their columns."""
        self._run(self._setting(**settings))

    def add_lead(
        self, address: str, *, status: str = "queued", priority: int = 999, created_at: Moment | None = None
    ) -> int:
        """A new person in the campaign; the id of the lead."""
        people = self._table("Lead")
        person = {"firstName": "Zofia", "lastName": "Kos", "company": "Kuźnia", "status": "ACTIVE", "isBlocked": False}
        with old_connection(self.url) as connection:
            [lead] = connection.execute(insert(people).values(email=address, **person).returning(people.c.id)).one()
            connection.execute(
                insert(self._table("CampaignLead")).values(
                    campaignId=self.campaign,
                    leadId=lead,
                    status=status,
                    priority=priority,
                    createdAt=created_at or self.now,
                )
            )
        self.now += BETWEEN_STEPS
        return int(lead)

    def _change(self, lead: int, **values: Any) -> None:
        leads = self._table("CampaignLead")
        mine = (leads.c.campaignId == self.campaign) & (leads.c.leadId == lead)
        self._run(update(leads).where(mine).values(**values))

    def _setting(self, **values: Any) -> Update:
        campaigns = self._table("Campaign")
        return update(campaigns).where(campaigns.c.id == self.campaign).values(**values)

    def _table(self, name: str) -> Table:
        return self._schema.tables[name]

    @property
    def _schema(self) -> MetaData:
        return old_schema(times=self.times)

    def _run(self, *statements: Any) -> None:
        with old_connection(self.url) as connection:
            for each in statements:
                connection.execute(each)
        self.now += BETWEEN_STEPS
