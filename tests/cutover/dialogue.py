"""One mail by the real `Delivery`, in a thread that stops before each step and waits to be told how it goes on.

So a machine can put anything it likes between two steps, and kill the process in any of them. Only one thread runs at
a time: what happens depends on nothing but the order in which they are told to go on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from threading import Semaphore, Thread, local
from typing import Literal

from eventsourcing.persistence import PersistenceError

from domain.replies import Phase, Verdict
from runner.sending.delivery import Step
from runner.sending.journal import Outcome
from runner.sending.recording import Recording
from runner.smtp.errors import Cause, DefiniteFailure, InDoubt
from runner.smtp.reply import Reply
from runner.smtp.session import Envelope
from tests.cutover.faults import Killed

Stage = Literal["body held", "locked", "answered", "over"]
"""What it stopped after: the body was handed over, the mail was locked, the dot was answered."""
BodyAnswer = Literal["taken", "refused", "greylisted", "going away", "lost"]
DotAnswer = Literal["accepted", "accepted unheard", "lost", "later", "never", "hung up", "accepted and killed"]

TIMEOUT_S = 60
_MESSAGE_ID = re.compile(rb"^message-id:\s*(<[^>]+>)", re.IGNORECASE | re.MULTILINE)
_here = local()


class Dialogue:
    """The thread, and where it stands."""

    def __init__(self, deliver: Callable[[Callable[[str], Session]], Step], accepted: list[str]) -> None:
        self.stage: Stage = "over"
        self.body_answer: BodyAnswer = "taken"
        self.dot_answer: DotAnswer = "accepted"
        self.step: Step | None = None
        self._deliver = deliver
        self._accepted = accepted
        self.killed = False
        self._error: BaseException | None = None
        self._go, self._stopped = Semaphore(0), Semaphore(0)
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()
        self._wait()

    @property
    def over(self) -> bool:
        """Did it come to its end?"""
        return self.stage == "over"

    def go_on(self) -> None:
        """Until the next stage. Raises what no worker expects."""
        self._go.release()
        self._wait()

    def kill(self) -> None:
        """Its process ends where it is."""
        if not self.over:
            self.killed = True
            self.go_on()

    def stop_after(self, stage: Stage) -> None:
        """The thread's own: wait here."""
        self.stage = stage
        self._stopped.release()
        self._go.acquire()
        if self.killed:
            raise Killed

    def _wait(self) -> None:
        assert self._stopped.acquire(timeout=TIMEOUT_S), "a dialogue hangs"
        if self.over:
            self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        _here.dialogue = self
        try:
            self.step = self._deliver(lambda _mailbox: Session(self, self._accepted))
        except Killed:
            self.killed = True
        except PersistenceError:
            pass  # a worker logs it, and goes on with the next mail
        except BaseException as error:  # noqa: BLE001 - raised again by whoever told it to go on
            self._error = error
        self.stage = "over"
        self._stopped.release()


class Session:
    """The far side of a dialogue: a server in memory that writes down whom it accepts."""

    usable = True

    def __init__(self, dialogue: Dialogue, accepted: list[str]) -> None:
        self._dialogue = dialogue
        self._accepted = accepted
        self._message_id = ""

    def hold(self, _envelope: Envelope, message: bytes) -> None:
        found = _MESSAGE_ID.search(message)
        self._message_id = found[1].decode() if found else ""
        self._dialogue.stop_after("body held")
        match self._dialogue.body_answer:
            case "refused":
                raise _failure(Phase.RCPT, 550, "5.1.1", Verdict.PERMANENT)
            case "greylisted":
                raise _failure(Phase.RCPT, 450, "4.7.1", Verdict.TEMPORARY)
            case "going away":
                raise _failure(Phase.RCPT, 421, "4.3.2", Verdict.MAILBOX_FAULT)
            case "lost":
                raise _failure(Phase.DATA, 0, None, Verdict.MAILBOX_FAULT)
            case "taken":
                return

    def dot(self) -> Reply:
        self._dialogue.stop_after("locked")
        answer = self._dialogue.dot_answer
        if answer.startswith("accepted"):
            self._accepted.append(self._message_id)
        match answer:
            case "accepted unheard" | "lost":
                raise InDoubt(Cause.CUT)
            case "accepted and killed":
                raise Killed
            case "hung up":
                raise _failure(Phase.DATA, 421, "4.3.2", Verdict.TEMPORARY)
            case "later":
                return Reply(451, "4.3.0", "Not now")
            case "never":
                return Reply(554, "5.6.0", "Never")
            case "accepted":
                return Reply(250, "2.0.0", "Ok: queued as 4F1B2C3D5E")

    def drop(self) -> None:
        """Without the dot."""

    def quit(self) -> None:
        """Nobody listens."""


class StoppedRecording(Recording):
    """Records what became of a mail when its dialogue is told to."""

    def record(self, outcome: Outcome, reply: str = "") -> bool:
        _here.dialogue.stop_after("answered")
        return super().record(outcome, reply)


def _failure(phase: Phase, code: int, enhanced: str | None, verdict: Verdict) -> DefiniteFailure:
    return DefiniteFailure(phase, code, enhanced, verdict=verdict, cause=Cause.REFUSED)
