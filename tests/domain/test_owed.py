"""Given what a shadow decided beside an owner, when the campaign is verified, then what was due is counted by both."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from domain import events as e
from domain import mailbox as mailboxes
from domain.emitting import Draft
from domain.rules import Limits
from domain.verifying import GRACE, Answer, verify
from tests.domain.given import running

MINUTE = timedelta(minutes=1)
SLOW = Limits(daily_limit=1000, delay_s=1800, max_attempts=4)


class Beside:
    """A world with a shadow, which is on from the start."""

    def __init__(self, *priorities: int, **settings: Any) -> None:
        self.world = running(*(priorities or (5, 5, 5)), **settings)
        self.said: list[tuple[int, e.Event]] = []
        self.says(e.ShadowStarted, actor="anna")

    def says(self, kind: type[e.Event], **said: Any) -> int:
        """The shadow's events have places of their own, between those of the world."""
        place = len(self.world.history) * 10 + len(self.said) % 10 + 1
        self.said.append((place, Draft("shadow-1", len(self.said), self.world.now).add(kind, **said)))
        return place

    def decides(self, position: int, **said: Any) -> int:
        """It would send this mail now; the place of that."""
        decided = {
            "sender": "v2" if self.world.campaign.owner == "v1" else "v1",
            "decided_at": self.world.now,
            "log_position": 10 * len(self.world.history),
        }
        return self.says(e.ShadowDecided, position=position, lead_id=position + 100, attempt=1, **{**decided, **said})

    def pauses_the_mailbox(self) -> None:
        """Which is no reason, unlike a pause of the campaign."""
        world = self.world
        world.save(mailboxes.pause(world.mailbox, actor="runner", reason="login refused", now=world.now))

    def resumes_the_mailbox(self) -> None:
        world = self.world
        world.save(mailboxes.resume(world.mailbox, actor="anna", reason=None, now=world.now))

    def passes(self, minutes: float) -> None:
        self.world.now += minutes * MINUTE

    def answer(self, since: datetime | None = None) -> Answer:
        log = [(10 * number, event) for number, event in enumerate(self.world.history, start=1)]
        stream = self.world.campaign.stream
        return verify(stream, log, shadow=self.said, suppressed={}, since=since, now=self.world.now)[0]

    def counts(self, since: datetime | None = None) -> tuple[str, int, int, int]:
        """The verdict, due, tried and behind."""
        answer = self.answer(since)
        told = answer.shadow
        assert told is not None
        return answer.verdict, told.due, told.tried, told.behind


def test_a_decision_that_is_written_down_after_the_mail_counts_at_its_own_time() -> None:
    beside = Beside()
    then = {"decided_at": beside.world.now, "log_position": 10 * len(beside.world.history)}
    beside.pauses_the_mailbox()
    beside.passes(30)
    beside.resumes_the_mailbox()
    beside.world.delivered(0)
    beside.decides(0, **then)
    assert beside.counts() == ("FAIL", 1, 1, 0)


def test_mails_of_another_order_pay_for_each_other() -> None:
    beside = Beside()
    for due, tried in ((2, 0), (0, 1), (1, 2)):
        beside.decides(due)
        beside.world.delivered(tried)
        beside.passes(5)
    assert beside.counts() == ("PASS", 3, 3, 0)


def test_who_is_skipped_after_the_shadow_decided_was_not_due() -> None:
    beside = Beside()
    beside.decides(2)
    beside.world.skip(2)
    assert beside.answer().shadow is None
    beside.decides(0)
    beside.world.delivered(0)
    assert beside.counts() == ("PASS", 1, 1, 0)


def test_what_was_skipped_is_taken_off_though_another_mail_had_paid_for_it() -> None:
    beside = Beside()
    beside.decides(2)
    beside.world.delivered(0)
    beside.decides(0)
    assert beside.counts() == ("PASS", 2, 1, 1)
    beside.world.skip(2)
    assert beside.counts() == ("PASS", 1, 1, 0)


def test_what_is_skipped_takes_its_own_time_along() -> None:
    beside = Beside()
    beside.decides(0)
    beside.pauses_the_mailbox()
    beside.passes(8)
    beside.decides(1)
    beside.world.skip(1)
    beside.passes(4)
    assert beside.counts() == ("FAIL", 1, 0, 1)


def test_a_pause_or_the_delay_of_the_owner_is_a_reason() -> None:
    paused, slow = Beside(), Beside(limits=SLOW)
    slow.world.delivered(0)
    for beside in (paused, slow):
        beside.decides(1)
    paused.world.pause()
    for beside in (paused, slow):
        beside.passes(23)
        assert (beside.answer().verdict, beside.answer().broken) in {("PASS", 0), ("NO DATA", 0)}
    assert paused.counts()[1:] == (1, 0, 1)
    slow.passes(GRACE / MINUTE + 2)
    assert slow.answer().verdict == "FAIL"


def test_a_mailbox_that_was_paused_is_none_and_the_mail_that_left_after_it_says_how_late() -> None:
    beside = Beside()
    beside.decides(0)
    beside.pauses_the_mailbox()
    beside.passes(30)
    beside.resumes_the_mailbox()
    beside.world.delivered(0)
    answer = beside.answer()
    assert (answer.verdict, answer.says) == ("FAIL", "due by the shadow for 0:30:00 of open time")
    [place] = answer.evidence
    assert isinstance(beside.world.history[place // 10 - 1], e.EmailLocked)


def test_an_owner_that_is_behind_and_mails_does_not_stand_still() -> None:
    beside = Beside(*[5] * 8)
    beside.decides(7)
    for position in range(6):
        beside.decides(position)
        beside.passes(6)
        beside.world.delivered(position)
    assert beside.counts() == ("PASS", 7, 6, 1)


def test_what_was_owed_when_the_shadow_stopped_is_missed_only_if_it_was_late() -> None:
    for minutes, verdict in ((12, "FAIL"), (8, "NO DATA")):
        beside = Beside()
        place = beside.decides(0)
        beside.pauses_the_mailbox()
        beside.passes(minutes)
        beside.says(e.ShadowStopped, actor="anna")
        beside.passes(30)
        assert beside.counts() == (verdict, 1, 0, 0)
        assert beside.answer().evidence == ([place] if verdict == "FAIL" else [])


def test_after_a_change_of_owner_only_the_other_shadow_counts() -> None:
    beside = Beside()
    beside.decides(1)
    beside.world.delivered(0)
    before = {"sender": "v2", "log_position": 10 * len(beside.world.history)}
    beside.world.migrate()
    beside.decides(2, **before)
    assert beside.answer().shadow is None
    beside.decides(1)
    beside.world.delivered(1)
    told = beside.answer().shadow
    assert told is not None
    assert (told.sender, told.owner, told.due, told.tried) == ("v1", "v2", 1, 1)


def test_a_mail_from_before_the_shadow_or_before_the_instant_asked_for_is_not_due() -> None:
    beside = Beside()
    beside.decides(0)
    beside.world.delivered(0)
    beside.passes(1)
    asked = beside.world.now
    beside.passes(1)
    beside.decides(1)
    beside.world.delivered(1)
    beside.decides(0)
    assert beside.counts(since=asked) == ("PASS", 1, 1, 0)
