"""Given any life of a campaign that an old system mailed, then nobody is mailed by us who may have been mailed by it,
and every second mail to a lead is an alarm.
"""

from __future__ import annotations

from collections import Counter, defaultdict

from hypothesis import HealthCheck, example, given, settings

from domain import events as e
from domain.leads import LeadState
from domain.snapshot import freeze
from tests.domain.given import refolded
from tests.projections.lives import (
    CROSSED_AND_BACK,
    OLD_ATTEMPTS,
    OLD_MAIL_AFTER_A_PERSONS_WORD,
    OLD_MAIL_WHILE_LOCKED,
    SOME_OLD_STEPS,
    Life,
    Step,
)

MAILED = ("sent", "replied")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(steps=SOME_OLD_STEPS)
@example(steps=CROSSED_AND_BACK)
@example(steps=OLD_ATTEMPTS)
@example(steps=OLD_MAIL_AFTER_A_PERSONS_WORD)
@example(steps=OLD_MAIL_WHILE_LOCKED)
def test_nobody_is_mailed_who_may_have_been_and_no_second_mail_is_hidden(steps: list[Step]) -> None:
    life = Life(observed=True).live(steps)
    campaign = life.worlds[0].campaign
    told = Told()
    for event in life.history:
        if event.originator_id == campaign.stream:
            told.take(event)
    for position, accepted in told.accepted.items():
        assert told.alarms[position] >= accepted - 1
        assert campaign.roll.state(position) in (LeadState.SENT, LeadState.LOCKED, LeadState.IN_DOUBT)
    for position, alarms in told.alarms.items():
        assert alarms < told.accepted[position] + told.called_sent[position]
    for position, unknown in told.unknown.items():
        assert not unknown or campaign.roll.state(position) not in (LeadState.QUEUED, LeadState.FAILED)
    assert freeze(refolded(life.history, campaign.stream)) == freeze(campaign)


class Told:
    """What the events say of each lead, in the plainest form; each lock of ours is judged by it."""

    def __init__(self) -> None:
        self.observed = True
        self.owner: tuple[e.Sender, int] = ("v1", 1)
        self.accepted = Counter[int]()
        self.alarms = Counter[int]()
        self.called_sent = Counter[int]()
        self.unknown: dict[int, set[int | str]] = defaultdict(set)

    def take(self, event: e.Event) -> None:
        match event:
            case e.EmailQueued() if self.observed:
                self._status(event.position, event.v1_status)
            case e.StatusObserved() | e.StatusFixed():
                self._status(event.position, event.after)
            case e.EmailInDoubt():
                self.unknown[event.position] -= {"sending"}
                self.unknown[event.position] |= {event.attempt}
            case e.InDoubtResolved():
                self.unknown[event.position] -= {event.attempt}
                self.called_sent[event.position] += event.outcome == "sent"
            case e.EmailLocked():
                self._judge(event)
                self.unknown[event.position] |= {event.attempt}
            case e.EmailFailed():
                self.unknown[event.position] -= {event.attempt}
            case e.EmailSent():
                self.accepted[event.position] += 1
                self.unknown[event.position] -= {event.attempt}
                self.unknown[event.position] -= {"sending"} if event.imported else set()
            case e.DuplicateDetected():
                self.alarms[event.position] += 1
            case e.TakenOver():
                self.observed = False
                self.owner = ("v1", event.epoch)
            case e.MigratedToV2() | e.RolledBack():
                assert event.before == event.after
                self.owner = ("v2" if isinstance(event, e.MigratedToV2) else "v1", event.epoch)
            case _:
                pass

    def _status(self, position: int, status: e.V1Status) -> None:
        """A status of the old system: what was under way is over when it says so."""
        if status == "sending" and not self.accepted[position] and not self.called_sent[position]:
            self.unknown[position] |= {"sending"}
        elif status in (*MAILED, "failed"):
            self.unknown[position].clear()
            self.called_sent[position] += status in MAILED

    def _judge(self, lock: e.EmailLocked) -> None:
        position = lock.position
        assert not self.observed
        assert (lock.sender, lock.epoch) == self.owner
        assert not self.unknown[position]
        assert not self.accepted[position]
        assert not self.called_sent[position]
