"""One old application, two runners and an operators' desk on one ledger, and a mail server that forgets nothing."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import TypeVar

from eventsourcing.persistence import PersistenceError
from sqlalchemy import Engine, select
from sqlalchemy.engine import URL

from domain import commands
from domain import events as e
from domain.attempts import Attempt, AttemptState
from domain.campaign import Campaign, Status, evolve
from domain.checks import check_campaign, check_mailbox
from domain.errors import CommandRefused
from domain.gate import earliest
from domain.leads import LeadState
from domain.legacy import OLD_SYSTEM
from domain.snapshot import freeze
from projections.database import engine_for, is_sqlite, reading, sqlite_url
from projections.kept import contacts, suppressed
from projections.projector import Projector
from runner import mailbox_identity as identities
from runner.legacy.importing import Imported, Source, import_campaign
from runner.legacy.old_database import open_old_database
from runner.legacy.taking_over import SETTLE, take_over, word
from runner.mailbox_identity import Identity, Tls
from runner.store.ledger import campaign_stream, mailbox_stream
from tests.cutover.dialogue import Dialogue, DotAnswer
from tests.cutover.faults import Fault, SetClock, StruckLedger
from tests.cutover.judge import Judge
from tests.cutover.old_side import NUMBER, OldSide
from tests.cutover.runners import Living, RunnerAtWork
from tests.databases import SECRET

MAILBOX = "sales"
STREAM = campaign_stream(NUMBER)
RUNNERS = (0, 1)
MAY_HAVE_IT = (LeadState.SENT, LeadState.LOCKED, LeadState.IN_DOUBT)

T = TypeVar("T")


class World:
    """All of it, and what must be true of it."""

    def __init__(self, url: URL, clock: SetClock, mailbox_limit: int) -> None:
        self.url, self.clock = url, clock
        self.folder = Path(mkdtemp(prefix="crossing-"))
        self.accepted: list[str] = []
        self.desk = StruckLedger(url)
        self.judge = Judge()
        self.living = Living()
        self.runners: dict[int, RunnerAtWork] = {}
        self.old_url = sqlite_url(self.folder / "old.db")
        self._starts = 0
        self._engine: Engine = engine_for(url)
        self.projector = Projector(self._engine, self.desk.read)
        identity = Identity("Anna", "anna@example.com", "127.0.0.1", 25, Tls.NONE)
        settings = {"daily_limit": mailbox_limit, "zone": "Europe/Warsaw"}
        identities.add(self.desk, MAILBOX, identity, actor="anna", now=clock.now(), **settings)  # type: ignore[arg-type]

    def close(self) -> None:
        for runner in self.runners.values():
            runner.crash()
        self.desk.close()
        self._engine.dispose()
        shutil.rmtree(self.folder)
        if is_sqlite(self.url):
            Path(self.url.database or "").unlink()

    # --- what is done ---

    def tried(self, command: Callable[[], T], fault: Fault | None = None) -> T | None:
        """What came of a person's command; None where it was refused, or its append was struck."""
        with self.desk.struck_by(fault):
            try:
                return command()
            except CommandRefused:
                return None
            except PersistenceError:
                assert fault is not None
                return None

    def runner(self, which: int) -> RunnerAtWork:
        """This one; started anew when it is gone."""
        if which not in self.runners:
            self._starts += 1
            name = f"runner-{which}-{self._starts}"
            self.runners[which] = RunnerAtWork(name, self.url, self.folder, self.clock, self.living, self.accepted)
        return self.runners[which]

    def crash(self, which: int) -> None:
        if which in self.runners:
            self.runners.pop(which).crash()

    def dialogues(self) -> list[tuple[int, Dialogue]]:
        """All that are under way, with their runners."""
        return [(which, dialogue) for which in sorted(self.runners) for dialogue in self.runners[which].dialogues]

    def go_on(self, which: int, dialogue: Dialogue, fault: Fault | None = None) -> None:
        """To its next stage. A fault that kills takes its runner with it."""
        runner = self.runners[which]
        with runner.ledger.struck_by(fault):
            dialogue.go_on()
        if dialogue.over and (dialogue.killed or runner.stopping.is_set()):
            self.crash(which)
        else:
            runner.forget_what_is_over()

    def end(self, which: int, dialogue: Dialogue, dot: DotAnswer) -> None:
        """To its end, with this answer to the dot."""
        dialogue.body_answer, dialogue.dot_answer = "taken", dot
        while not dialogue.over:
            self.go_on(which, dialogue)

    def begin(self, which: int) -> Dialogue | None:
        """A mail of the owner's, when one may leave: its body is held."""
        self.wait_until_a_mail_may_leave()
        runner = self.runner(which)
        before = list(runner.dialogues)
        runner.tick(self.judge.owner, NUMBER)
        return next((dialogue for dialogue in runner.dialogues if dialogue not in before), None)

    def deliver(self, which: int, dot: DotAnswer) -> None:
        """A mail of the owner's, from its tick to its end."""
        if (dialogue := self.begin(which)) is not None:
            self.end(which, dialogue, dot)

    def wait_until_a_mail_may_leave(self) -> None:
        campaign = self.campaign
        if campaign.exists:
            with self.desk.mailbox(MAILBOX) as mailbox:
                found = earliest(campaign, mailbox, self.clock.now())
            self.clock.pass_until(found or self.clock.now())

    def import_there(self, old: OldSide, fault: Fault | None = None) -> Imported | None:
        """What is new in the old database."""
        looked, observed = old.look(), self.judge.observed or not self.judge.events

        def run() -> Imported:
            with open_old_database(old.url) as there:
                return import_campaign(self.desk, there, there.campaigns(NUMBER)[0], self.source, _untold)

        imported = self.tried(run, fault)
        if imported is not None and observed:
            old.seen(looked)
        elif imported is not None:
            old.seen_after_all()
        return imported

    def take_over(self, old: OldSide, fault: Fault | None = None) -> None:
        """The old application is stopped, and this is told."""
        looked = old.look()
        said = self.tried(lambda: word(self.desk, NUMBER, old.url, self.source, _untold), None)
        if said is None:
            return
        self.clock.pass_by(SETTLE)

        def run() -> object:
            told = {"said": said, "settled": SETTLE, "reason": "cron removed", "renders": lambda: None}
            return take_over(self.desk, NUMBER, old.url, self.source, _untold, **told)  # type: ignore[arg-type]

        self.tried(run, fault)
        self.follow()
        if not self.judge.observed:
            old.seen(looked)

    @property
    def source(self) -> Source:
        return Source(MAILBOX, "Europe/Warsaw", SECRET, "anna", self.clock.now)

    def resolve(self, attempt: Attempt, old: OldSide) -> None:
        """By the mail server's log, or the old one's: a person tells the truth."""
        lead = attempt.lead_id
        was_sent = old.mailed[lead] if attempt.runner == OLD_SYSTEM else self.mails_of()[lead]
        outcome: e.Resolution = "sent" if was_sent else "not sent"
        said = {"evidence": "log", "actor": "anna", "now": self.clock.now()}
        self.desk.on_campaign(
            NUMBER,
            lambda campaign: commands.resolve_in_doubt(campaign, attempt.position, outcome, **said),  # type: ignore[arg-type]
            first_in_line=True,
        )

    # --- what there is ---

    @property
    def campaign(self) -> Campaign:
        """As it is stored."""
        self.desk.refresh()
        with self.desk.campaign(NUMBER) as campaign:
            return campaign

    def follow(self) -> None:
        """The judge reads what was appended."""
        self.judge.follow(self.desk.read(self.judge.position, 10_000))

    def doubtful(self) -> list[Attempt]:
        return [attempt for attempt in self.campaign.open.values() if attempt.state is AttemptState.IN_DOUBT]

    def mails_of(self) -> Counter[int]:
        """How often the server accepted a mail of each lead."""
        self.follow()
        return Counter(self.judge.lead_of[message_id] for message_id in self.accepted)

    def people(self) -> dict[int, str]:
        """The address of each lead, as it identifies a person."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(contacts.c.lead_id, contacts.c.address_key))
            return {row.lead_id: row.address_key for row in rows}

    def suppressed(self) -> set[int]:
        with reading(self._engine) as connection:
            on_list = select(contacts.c.lead_id).where(
                contacts.c.address_hmac.in_(select(suppressed.c.address_hmac)),
            )
            return set(connection.scalars(on_list))

    # --- what must be true ---

    def check(self, old: OldSide) -> None:
        """After every step."""
        self.follow()
        self.judge.suppressed, self.judge.mailed_there = self.suppressed(), old.mailed_by_what_is_seen()
        self._nobody_is_mailed_twice()
        campaign = self.campaign
        if not campaign.exists:
            return
        self._everybody_is_in_one_state(campaign)
        self._what_was_accepted_is_known(campaign)
        self._every_state_is_the_events()

    def _nobody_is_mailed_twice(self) -> None:
        """I1, for leads and for persons."""
        mails = self.mails_of()
        assert all(times == 1 for times in mails.values()), f"I1: {mails}"
        people = self.people()
        persons = Counter(people[lead] for lead in mails)
        assert all(times == 1 for times in persons.values()), f"I1: one person by two leads: {mails}"

    def _everybody_is_in_one_state(self, campaign: Campaign) -> None:
        """I2."""
        roll = campaign.roll
        states = Counter(roll.state(position) for position in range(len(roll)))
        assert roll.counts == [states[state] for state in LeadState], "I2: the counts"
        leads = {campaign.numbers.lead_id(position) for position in range(len(roll))}
        assert leads == set(self.people()), "I2: leads are lost, or nobody's"
        queued = set(roll.positions(LeadState.QUEUED))
        fresh = {position for position in range(len(roll)) if campaign.is_fresh(position)}
        assert fresh | set(campaign.retry_of) == queued, "I2: who waits stands in a line"
        assert sorted(a.position for a in campaign.locked()) == list(roll.positions(LeadState.LOCKED)), "I2: locked"
        for position in queued:
            lead = campaign.numbers.lead_id(position)
            assert not self.judge.may_have_been_accepted(lead), f"I2: {lead} waits, and may have its mail"
        if campaign.status is Status.RUNNING and not campaign.observed:
            assert campaign.waiting, "a running campaign has nobody who waits"

    def _what_was_accepted_is_known(self, campaign: Campaign) -> None:
        """I3 and I4."""
        mails = self.mails_of()
        for lead in mails:
            position = campaign.numbers.position(lead)
            assert position is not None
            assert campaign.roll.state(position) in MAY_HAVE_IT, f"I3: {lead} is {campaign.roll.state(position)!r}"
        for lead, sent in self.judge.sent.items():
            ours = [event for event in sent if event.imported is None]
            assert len(ours) <= mails[lead], f"I4: {lead} is sent and was never accepted"
            assert self.judge.alarms[lead] >= len(sent) - 1, f"{lead}: a second mail raised no alarm"

    def _every_state_is_the_events(self) -> None:
        """The desk's, and those of the runners, who may be behind."""
        folded: dict[int, bytes] = {}
        for ledger in (self.desk, *(runner.ledger for runner in self.runners.values())):
            held = ledger._held.get(STREAM)
            if held is not None and held.loaded and isinstance(held.state, Campaign) and held.state.exists:
                version = held.state.version
                if version not in folded:
                    folded[version] = self._folded(version)
                assert freeze(held.state) == folded[version], "a held state is not that of its events"

    def _folded(self, version: int) -> bytes:
        campaign = Campaign(STREAM)
        for event in self.judge.events[:version]:
            evolve(campaign, event)
        return freeze(campaign)

    def check_views(self) -> None:
        """I5."""
        assert not (differences := self.projector.check()), f"I5: {differences}"

    def check_by_the_program(self) -> None:
        """The program's own checks find nothing to blame our senders for: I1, I6 and I7 once more."""
        checks = [*check_campaign(STREAM, self.judge.events), check_mailbox(self.desk.stream(mailbox_stream(MAILBOX)))]
        failed = [f"{check.name}: {check.examples}" for check in checks if check.verdict == "FAIL"]
        assert not failed, failed


def _untold(_what: str, _done: int, _total: int) -> None:
    """Nobody wants to know."""
