"""Given any life of a campaign, when the facts allow a mail, then the right policy of its owner sends one: so whoever
holds a policy against the facts never calls a right one wrong. And they allow none sooner than each rule lets them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, example, given, settings

from domain import events as e
from domain import mailbox as mailboxes
from domain.calendar import Schedule
from domain.campaign import Campaign, evolve
from domain.checks import Standing
from domain.facts import allowed_from
from domain.mailbox import Mailbox
from domain.policies import Send, earliest_send, next_send
from domain.rules import Limits
from domain.verifying import RULES_IN_A_ROW
from tests.domain.given import NOON, World, running
from tests.projections.lives import (
    CLOCK_BEHIND,
    CROSSED_AND_BACK,
    OLD_MAIL_WHILE_LOCKED,
    SOME_OLD_STEPS,
    SOME_STEPS,
    Life,
    Step,
)

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


class Facts:
    """A campaign and its mailbox, followed event by event."""

    def __init__(self, stream: str) -> None:
        self.campaign, self.mailbox, self.standing = Campaign(stream), Mailbox("mailbox-sales"), Standing()

    def take(self, event: e.Event) -> None:
        if event.originator_id == self.mailbox.stream:
            mailboxes.evolve(self.mailbox, event)
        elif event.originator_id == self.campaign.stream:
            self.standing.take(event)
            if isinstance(event, e.EmailLocked):
                self.standing.count(event.recorded_at)
            elif isinstance(event, e.EmailSent) and event.imported is not None:
                self.standing.count_past(event.occurred_at or event.recorded_at)
            evolve(self.campaign, event)

    def allowed(self, now: datetime) -> datetime | None:
        return allowed_from(self.campaign, self.mailbox, self.standing, now) if self.campaign.exists else None

    def bear_out(self, now: datetime) -> None:
        """A right policy sends when the facts allow it, and says no later time before."""
        allowed = self.allowed(now)
        if allowed is None:
            return
        owner, at, named = self.campaign.owner, now, 0
        assert isinstance(next_send(self.campaign, self.mailbox, owner, allowed), Send)
        while not isinstance(answer := next_send(self.campaign, self.mailbox, owner, at), Send):
            later = earliest_send(self.campaign, self.mailbox, answer, at)
            assert later is not None
            assert at < later <= allowed
            at, named = later, named + 1
        assert named < RULES_IN_A_ROW


def followed(history: Iterable[e.Event], stream: str = "campaign-1") -> Facts:
    facts = Facts(stream)
    for event in history:
        facts.take(event)
    return facts


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(steps=SOME_STEPS, old=SOME_OLD_STEPS)
@example(steps=CLOCK_BEHIND, old=CROSSED_AND_BACK)
@example(steps=CLOCK_BEHIND, old=OLD_MAIL_WHILE_LOCKED)
def test_a_right_policy_is_never_called_wrong(steps: list[Step], old: list[Step]) -> None:
    for life in (Life().live(steps), Life(observed=True).live(old)):
        for stream in ("campaign-1", "campaign-2"):
            facts = Facts(stream)
            for event in life.history:
                facts.take(event)
                facts.bear_out(event.recorded_at)


def allowed(world: World) -> datetime | None:
    return followed(world.history).allowed(world.now)


def full_mailbox(world: World) -> None:
    box = world.mailbox
    said = {"zone": "Europe/Warsaw", "identity_digest": box.identity_digest, "actor": "anna", "now": world.now}
    world.save(mailboxes.change(box, daily_limit=1, **said))  # type: ignore[arg-type]
    world.delivered(0)


def away(world: World) -> None:
    world.save(mailboxes.delay(world.mailbox, phase="mail", code=421, enhanced=None, now=world.now))


def no_login(world: World) -> None:
    world.save(mailboxes.pause(world.mailbox, actor="runner", reason="login refused", now=world.now))


def everybody_is_put_off(world: World) -> None:
    for position in (0, 1):
        world.failed(world.lock(position))


MIDNIGHT = datetime.fromisoformat("2025-03-04T23:00Z")


@pytest.mark.parametrize(
    ("owner", "settings_of", "happens", "expected"),
    [
        ("v1", {}, lambda _: None, NOON),
        ("v1", {"schedule": Schedule(start="13:00")}, lambda _: None, NOON + 60 * MINUTE),
        ("v2", {"limits": Limits(daily_limit=1, delay_s=0)}, lambda world: world.delivered(0), MIDNIGHT),
        ("v2", {}, full_mailbox, MIDNIGHT),
        ("v1", {"limits": Limits(delay_s=600)}, lambda world: world.delivered(0), NOON + 8 * MINUTE),
        ("v2", {"limits": Limits(delay_s=600)}, lambda world: world.delivered(0), NOON + 12 * MINUTE),
        ("v2", {}, everybody_is_put_off, NOON + 15 * MINUTE),
        ("v1", {}, everybody_is_put_off, NOON),
        ("v2", {}, away, NOON + MINUTE),
        ("v2", {}, no_login, None),
        ("v2", {}, World.pause, None),
        ("v2", {}, lambda world: world.skip(0, 1), None),
    ],
)
def test_each_rule_holds_a_mail_back_for_just_as_long_as_it_may(
    owner: e.Sender, settings_of: dict[str, object], happens: object, expected: datetime | None
) -> None:
    world = running(5, 5, owner=owner, **settings_of)
    happens(world)  # type: ignore[operator]
    assert allowed(world) == expected
