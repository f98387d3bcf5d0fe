"""A desk beside the old application's database: what a person does there to move its campaigns."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL

from runner.legacy.old_database import open_old_database
from runner.sink import Sink
from tests.cli.desk import Desk
from tests.legacy.old_player import OldApplication
from tests.legacy.old_sample import WARSAW, Place, Sample
from tests.legacy.old_system import NOW, build

WHY = ("--reason", "as planned")
DAY = NOW.astimezone(WARSAW)
"""A Tuesday, one o'clock: where the simulated time of the ledger begins."""


@dataclass
class Office:
    """The desk, the old database with what is in it, and the server that the mailbox `sales` sends through."""

    desk: Desk
    old: URL
    sample: Sample
    sink: Sink

    @classmethod
    def opened(cls, desk: Desk, old: URL, sink: Sink) -> Office:
        """With a ledger and a mailbox."""
        made = build(old)
        desk.ledger(clock=NOW.isoformat())
        desk.mailbox(sink.port, "--daily-limit", "500")
        return cls(desk, old, made, sink)

    # --- given ---

    @property
    def url(self) -> str:
        return self.old.render_as_string(hide_password=False)

    def number(self, name: str) -> str:
        """Of a campaign, as a person writes it."""
        return str(self.sample.campaigns[name])

    def leads(self, name: str, place: Place) -> list[int]:
        return self.sample.leads[self.sample.campaigns[name]][place]

    def addresses(self, *leads: int) -> list[str]:
        return sorted(self.sample.address(lead) for lead in leads)

    def application(self, name: str, at: datetime = NOW - timedelta(hours=1)) -> OldApplication:
        """The old application at work on a campaign."""
        return OldApplication(self.old, self.sample.campaigns[name], at)

    # --- when ---

    def imports(self, *names: str, dry: bool = False) -> list[dict[str, Any]]:
        """These campaigns, or all."""
        only = [word for name in names for word in ("--campaign", self.number(name))]
        said: list[dict[str, Any]] = self.desk.rows(
            "legacy", "import", self.url, "--mailbox", "sales", *only, *(["--dry-run"] if dry else [])
        )
        return said

    def fixes(self, name: str) -> None:
        """Review, then apply."""
        plan = self.desk.rows("cutover", "fix", self.number(name))["plan"]
        self.desk.done("cutover", "fix", self.number(name), "--plan", plan)

    def takes_over(self, name: str, *options: str) -> str:
        """At once."""
        return self.desk.done(
            "legacy", "takeover", self.number(name), "--old-sender-stopped", "--settle", "0", *options
        )

    def makes_ours(self, name: str) -> str:
        """Imported, mended, taken over: the campaign's number."""
        self.imports(name)
        if self.desk.rows("cutover", "fix", self.number(name))["repairs"]:
            self.fixes(name)
        self.takes_over(name)
        return self.number(name)

    def moves(self, how: str, number: str) -> dict[str, str]:
        """`migrate` or `rollback`: what is read back."""
        kept = self.desk.rows("cutover", how, number, *WHY)
        assert {row["holds"] for row in kept} == {"yes"}
        return {row["what"]: row["read_back"] for row in kept}

    def runs(self, minutes: float) -> None:
        """Both senders, from where the clock stands to so many minutes after it began."""
        until = NOW + timedelta(minutes=minutes)
        self.desk.done("run", "--until", until.isoformat())

    # --- then ---

    def delivered(self) -> list[str]:
        """Recipients of all mails that the server has, sorted; twice where it has two."""
        files = (Path(self.desk.folder).parent / "mails" / "new").glob("*")
        mails = [message_from_bytes(file.read_bytes(), policy=policy.default) for file in files]
        return sorted(str(mail["To"].addresses[0].addr_spec) for mail in mails)

    def sent_by(self, number: str) -> Counter[str]:
        """Mails that left from here, by sender."""
        log = self.desk.rows("sendlog", number, "--limit", "1000")
        return Counter(row["sender"] for row in log if row["digest"])

    def owner(self, number: str) -> dict[str, Any]:
        """Its row in `cutover owners`."""
        [row] = [row for row in self.desk.rows("cutover", "owners") if str(row["id"]) == number]
        return dict(row)

    def use_v2(self, name: str) -> bool:
        """The flag in the old database."""
        with open_old_database(self.old) as old:
            return old.campaigns(self.sample.campaigns[name])[0].use_v2
