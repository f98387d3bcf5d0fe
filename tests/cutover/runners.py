"""A runner as the machine sees it: the real roster, delivery, recording, sweep and journal on a ledger of its own."""

from __future__ import annotations

from pathlib import Path
from threading import Event as Flag
from typing import cast

from sqlalchemy.engine import URL

from domain.events import Sender
from runner.cutover import migrate_flagged, reinstate_v1
from runner.sending.delivery import Delivery, OpenSession
from runner.sending.journal import Journal
from runner.sending.liveness import Liveness
from runner.sending.recording import replay_journals, sweep
from runner.sending.roster import Roster
from tests.cutover.dialogue import Dialogue, StoppedRecording
from tests.cutover.faults import SetClock, StruckLedger


class Living:
    """Which runners are alive: whoever is none of these is gone."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def is_gone_here(self, runner: str) -> bool:
        return runner not in self.names

    def is_gone(self, runner: str, *_since: object) -> bool:
        return runner not in self.names


class RunnerAtWork:
    """One process start, and the mails that it has under way."""

    def __init__(self, name: str, url: URL, folder: Path, clock: SetClock, living: Living, accepted: list[str]) -> None:
        self.name = name
        self.ledger = StruckLedger(url)
        self.dialogues: list[Dialogue] = []
        self.stopping = Flag()
        self._clock, self._living, self._accepted = clock, living, accepted
        recording = StoppedRecording(self.ledger, Journal(folder, name), clock, self.stopping)
        self._delivery = Delivery(self.ledger, name, clock, recording)
        self._roster = Roster(self.ledger)
        living.names.add(name)
        replay_journals(self.ledger, folder, self._alive, clock)

    def tick(self, sender: Sender, number: int) -> None:
        """As the daemon's, for one campaign: it goes as far as the body of a mail, if one is due."""
        self._roster.refresh()
        now = self._clock.now()
        due = self._roster.due(sender, now)[0]
        with self.ledger.senders() as senders:
            rests = sender == "v1" and senders.v1_retired
        if rests and due:
            reinstate_v1(self.ledger, due, now)
        elif rests:
            return
        if sender == "v2":
            for flagged in self._roster.flagged():
                migrate_flagged(self.ledger, flagged, now)
        if number in self._roster.due(sender, now)[0]:
            self.mail(sender, number)

    def mail(self, sender: Sender, number: int) -> None:
        """The next mail of a tick that goes on: nobody looks what others have done since."""

        def deliver(open_session: object) -> object:
            return self._delivery.step(number, sender, cast(OpenSession, open_session))

        self.dialogues.append(Dialogue(deliver, self._accepted))  # type: ignore[arg-type]
        self.forget_what_is_over()

    def sweep(self, number: int) -> None:
        """Put in doubt what runners that are gone left locked."""
        self._roster.refresh()
        sweep(self.ledger, number, self._alive, self._clock)

    def forget_what_is_over(self) -> None:
        self.dialogues = [dialogue for dialogue in self.dialogues if not dialogue.over]

    def crash(self) -> None:
        """All that it knew is gone; what it had locked stays locked."""
        self._living.names.discard(self.name)
        for dialogue in self.dialogues:
            dialogue.kill()
        self.dialogues.clear()
        self.ledger.close()

    @property
    def _alive(self) -> Liveness:
        return cast(Liveness, self._living)
