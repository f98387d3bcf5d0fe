"""One mail by the protocol, so that a lead never gets it twice: prepare, hold the dot, lock, dot, record.

Everything before the lock is definite: nothing was delivered. From the dot on only the server's reply is an answer.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from eventsourcing.persistence import PersistenceError

from domain import commands
from domain import mailbox as mailboxes
from domain.campaign import Campaign
from domain.commands import Failure
from domain.events import Event, Sender
from domain.gate import LockRequest, lock
from domain.mailbox import Mailbox
from domain.policies import next_send, sends_at_once
from domain.replies import NO_REPLY, Phase, Verdict, is_quota, judge, mailbox_measure
from domain.rules import LONGEST_HOLD, LockRefused, Rule, Wait
from projections.kept import KEEP_MAIL
from runner.clock import Clock
from runner.mail.errors import MessageBroken, RenderFailed
from runner.sending.journal import Outcome
from runner.sending.preparing import ContactMissing, Order, Prepared, Preparer, Suppressed
from runner.sending.recording import Recording, keep_reply
from runner.smtp.errors import DefiniteFailure, InDoubt, ServerUnavailable
from runner.smtp.reply import Reply
from runner.smtp.session import SmtpSession
from runner.store.ledger import Ledger
from runner.store.recorder import Kept

TOKEN_BYTES = 12
LOST_BODIES_A_LEAD = 2
"""So often a connection may be lost under one lead's body before that is taken for the mail's fault, not the
mailbox's: a filter that hangs up on one mail must not hold up all others for ever."""

CLOCKS_DIFFER = timedelta(seconds=5)
"""So much a clock that is corrected by the network may run apart from a steady one without having been set."""

RUNNER = "runner"
LOCK_PHASE = "lock"

log = structlog.get_logger()

OpenSession = Callable[[str], SmtpSession]
"""A usable session of this mailbox, new or kept from the last mail. Raises `ServerUnavailable`."""


@dataclass(frozen=True, slots=True)
class Done:
    """One mail was tried: what became of it."""

    kind: str  # "sent", "failed", "skipped" or "in doubt"


Step = Done | Wait


class Delivery:
    """Delivers mails of one runner. One object may serve all its workers."""

    def __init__(self, ledger: Ledger, runner: str, clock: Clock, recording: Recording) -> None:
        self._ledger = ledger
        self._runner = runner
        self._clock = clock
        self._recording = recording
        self._preparer = Preparer(ledger)
        self._lost_bodies: Counter[tuple[int, int]] = Counter()
        self._under_way: dict[int, set[int]] = {}
        self._locked_at: dict[int, timedelta] = {}

    def sends_at_once(self, number: int, sender: Sender) -> bool:
        """May several connections work on this campaign at a time?"""
        with self._ledger.campaign(number) as campaign:
            return sends_at_once(campaign, sender)

    def step(self, number: int, sender: Sender, open_session: OpenSession) -> Step:
        """The next mail of this campaign, if the sender's policy has one now; else why not yet."""
        under_way = self._under_way.setdefault(number, set())
        with self._ledger.campaign_and_mailbox(number) as (campaign, mailbox):
            now = self._clock.now()  # not before: another mail may have been locked while this one waited for its turn
            send = next_send(campaign, mailbox, sender, now, under_way)
            if isinstance(send, Wait):
                return send
            if (wait := self._paces(number, campaign.limits.least_gap, now)) is not None:
                return wait
            order = Order.of(campaign, mailbox, send, now)
            attempt = _Attempt(number, sender, campaign.epoch, order)
            under_way.add(send.position)
        try:
            return self._try(attempt, open_session)
        finally:
            under_way.discard(send.position)

    def _paces(self, number: int, gap: timedelta, now: datetime) -> Wait | None:
        """Where the wall clock was set back, the recorded time of the last mail says nothing; this process knows."""
        locked_at = self._locked_at.get(number)
        left = gap - (self._clock.steady() - locked_at) if locked_at is not None else timedelta()
        return Wait(Rule.DELAY, now + left) if left > CLOCKS_DIFFER else None

    def _try(self, attempt: _Attempt, open_session: OpenSession) -> Step:
        order = attempt.order
        try:
            prepared = self._preparer.prepare(order)
        except Suppressed:
            return self._skip(order)
        except (RenderFailed, MessageBroken, ContactMissing) as error:
            kind = type(error).__name__
            log.warning("mail cannot be made", campaign=order.campaign, lead=order.lead_id, problem=kind)
            return self._fail(attempt, Failure(Phase.LOCAL, permanent=True))
        try:
            session = open_session(order.mailbox)
        except ServerUnavailable as trouble:
            return self.blame_mailbox(order.mailbox, trouble.phase, trouble.code, trouble.enhanced)
        try:
            session.hold(prepared.envelope, prepared.message)
        except DefiniteFailure as failure:
            return self._failed_before_lock(attempt, failure)
        return self._lock_and_send(attempt, prepared, session)

    def blame_mailbox(self, name: str, phase: Phase, code: int, enhanced: str | None) -> Wait:
        """The mailbox's own trouble: it waits or is paused by an event; the lead stays queued, no attempt is spent."""
        now = self._clock.now()
        reply = None if code == NO_REPLY else code

        def decide(mailbox: Mailbox) -> list[Event]:
            if mailbox_measure(phase, code, enhanced) == "pause":
                reason = f"{phase} refused" + (f" with {reply}" if reply else "") + (f" {enhanced}" if enhanced else "")
                return mailboxes.pause(mailbox, actor=RUNNER, reason=reason, now=now)
            return mailboxes.delay(mailbox, phase=phase, code=reply, enhanced=enhanced, now=now)

        self._ledger.on_mailbox(name, decide)
        log.warning("mailbox in trouble", mailbox=name, phase=phase, code=reply, enhanced=enhanced)
        with self._ledger.mailbox(name) as mailbox:
            return mailbox.holds_back(now) or Wait(Rule.SERVER)

    def _failed_before_lock(self, attempt: _Attempt, failure: DefiniteFailure) -> Step:
        if failure.verdict is Verdict.MAILBOX_FAULT and not self._is_this_mail(attempt, failure):
            return self.blame_mailbox(attempt.order.mailbox, failure.phase, failure.code, failure.enhanced)
        permanent = failure.verdict is Verdict.PERMANENT
        code = None if failure.code == NO_REPLY else failure.code
        return self._fail(attempt, Failure(failure.phase, permanent, code, failure.enhanced), failure.text)

    def _is_this_mail(self, attempt: _Attempt, failure: DefiniteFailure) -> bool:
        if (failure.phase, failure.code) != (Phase.DATA, NO_REPLY):
            return False
        lead = (attempt.campaign, attempt.order.position)
        self._lost_bodies[lead] += 1
        return self._lost_bodies[lead] > LOST_BODIES_A_LEAD

    def _fail(self, attempt: _Attempt, failure: Failure, reply: str = "") -> Step:
        """Record a definite failure through the fence; refused, it is dropped: somebody else decided first."""
        try:
            self._ledger.on_campaign(
                attempt.campaign,
                lambda campaign: commands.fail_before_lock(
                    campaign,
                    attempt.order.position,
                    failure,
                    sender=attempt.sender,
                    epoch=attempt.epoch,
                    runner=self._runner,
                    mailbox=attempt.order.mailbox,
                    content_version=attempt.order.content_version,
                    revision=attempt.order.revision,
                    now=self._clock.now(),
                ),
                keep_reply(reply),
            )
        except LockRefused as refused:
            return refused.wait
        return Done("failed")

    def _skip(self, order: Order) -> Done:
        """Suppressing skips whoever waits; this one waits again since, after a failure or by a person's word."""
        self._ledger.on_campaign(
            order.campaign,
            lambda campaign: commands.skip(campaign, [order.position], "suppressed", now=self._clock.now()),
        )
        log.warning("mail skipped: suppressed", campaign=order.campaign, lead=order.lead_id)
        return Done("skipped")

    def _lock_and_send(self, attempt: _Attempt, prepared: Prepared, session: SmtpSession) -> Step:
        token = secrets.token_hex(TOKEN_BYTES)
        held_since = time.monotonic()
        try:
            self._lock(attempt, prepared, token)
        except LockRefused as refused:
            session.drop()
            return refused.wait
        except PersistenceError:
            if not self._stands(attempt.campaign, token):
                session.drop()
                self._recording.record(self._expired(attempt, token))
                raise  # the database is in trouble: trying again at once would bring the server body after body
        if time.monotonic() - held_since > LONGEST_HOLD.total_seconds():
            session.drop()
            self._recording.record(self._expired(attempt, token))
            return Done("failed")
        return self._send(attempt, token, session)

    def _lock(self, attempt: _Attempt, prepared: Prepared, token: str) -> None:
        def decide(campaign: Campaign, mailbox: Mailbox) -> list[Event]:
            request = LockRequest(
                attempt.order.position,
                attempt.sender,
                attempt.epoch,
                self._runner,
                token,
                attempt.order.due_at,
                attempt.order.mailbox,
                prepared.message_id,
                prepared.date,
                attempt.order.content_version,
                prepared.revision,
                prepared.commitment,
                prepared.digest,
            )
            return lock(campaign, mailbox, request, self._clock.now())

        def keep(_events: object) -> list[Kept]:
            row = {"campaign_id": attempt.campaign, "lead_id": attempt.order.lead_id}
            return [(KEEP_MAIL, [{"token": token, "message": prepared.compressed, **row}])]

        self._ledger.on_both(attempt.campaign, attempt.order.mailbox, decide, keep)
        self._locked_at[attempt.campaign] = self._clock.steady()

    def _stands(self, number: int, token: str) -> bool:
        """After an append whose answer was lost: does our lock stand, with nothing after it?"""
        try:
            self._ledger.refresh()
            with self._ledger.campaign(number) as campaign:
                return any(attempt.token == token for attempt in campaign.locked())
        except PersistenceError:
            return False

    def _send(self, attempt: _Attempt, token: str, session: SmtpSession) -> Done:
        try:
            reply = session.dot()
        except InDoubt as doubt:
            outcome, words = self._outcome(attempt, token, kind="in doubt", cause=str(doubt.cause)), ""
        except DefiniteFailure as failure:
            outcome, words = self._hung_up(attempt, token, failure), failure.text
        else:
            outcome, words = self._answered(attempt, token, reply), reply.text
        self._recording.record(outcome, words)
        if outcome.kind == "failed" and is_quota(outcome.enhanced):
            self.blame_mailbox(attempt.order.mailbox, Phase.DOT, outcome.code or NO_REPLY, outcome.enhanced)
        return Done(outcome.kind)

    def _answered(self, attempt: _Attempt, token: str, reply: Reply) -> Outcome:
        verdict = judge(Phase.DOT, reply.code, reply.enhanced)
        said = {"phase": Phase.DOT, "code": reply.code, "enhanced": reply.enhanced}
        if verdict is Verdict.ACCEPTED:
            return self._outcome(attempt, token, kind="sent", queue_id=reply.queue_id, **said)
        return self._outcome(attempt, token, kind="failed", permanent=verdict is Verdict.PERMANENT, **said)

    def _hung_up(self, attempt: _Attempt, token: str, failure: DefiniteFailure) -> Outcome:
        """The server ended the dialogue between the lock and the dot: definite, the dot was never written."""
        code = None if failure.code == NO_REPLY else failure.code
        permanent = failure.verdict is Verdict.PERMANENT
        said = {"phase": failure.phase, "code": code, "enhanced": failure.enhanced, "permanent": permanent}
        return self._outcome(attempt, token, kind="failed", **said)

    def _expired(self, attempt: _Attempt, token: str) -> Outcome:
        """The lock may not be used any more, and was not: definite, and worth another attempt."""
        return self._outcome(attempt, token, kind="failed", phase=LOCK_PHASE)

    def _outcome(self, attempt: _Attempt, token: str, **said: object) -> Outcome:
        values = {"campaign": attempt.campaign, "token": token, "at": self._clock.now(), **said}
        return Outcome.model_validate(values)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """Whose mail is being tried, by which sender, in which epoch."""

    campaign: int
    sender: Sender
    epoch: int
    order: Order
