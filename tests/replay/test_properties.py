"""Any history at all: a sender against itself never differs, in either mode, and the same is found twice."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from domain import events as e
from domain.replay.classes import Column
from domain.replay.past import Setup
from domain.replay.sides import Side
from tests.projections.lives import STEPS, Life
from tests.replay.given import Recorded, broken, found

MINUTE = timedelta(minutes=1)

lives = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from(sorted(STEPS)), st.integers(0, 4), st.integers(0, 5)), max_size=25
)
ticks = st.lists(st.tuples(st.integers(0, 200), st.sampled_from(["v1", "v2"]), st.booleans()), max_size=20)


def history(steps: list[Any], told: list[tuple[int, e.Sender, bool]]) -> Recorded:
    """A life with ticks strewn among it: some that found work, some idle runs that end there."""
    events: list[e.Event] = list(Life().live(steps).history)
    for place, sender, is_idle in sorted(told, key=lambda one: one[0], reverse=True):
        place = min(place, len(events))
        at = events[place - 1].recorded_at if place else events[0].recorded_at
        base: dict[str, Any] = {
            "originator_id": f"ticks-r1-{sender}",
            "recorded_at": at,
            "runner": "r1",
            "sender": sender,
        }
        if is_idle:
            events.insert(place, e.TicksIdle(**base, count=7, first_at=at - 9 * MINUTE, last_at=at))
        else:
            events.insert(place, e.TickStarted(**base, tick_at=at, due=1))
    return Recorded.of_events(events)


@settings(deadline=None, max_examples=60)
@given(lives, ticks, st.sampled_from(["v1", "v2"]), st.booleans())
def test_a_sender_against_itself_never_differs(
    steps: list[Any], told: list[tuple[int, e.Sender, bool]], sender: e.Sender, is_free: bool
) -> None:
    setup = Setup(Side(sender), Side(sender), is_free=is_free)
    findings = history(steps, told).compared(setup)

    assert found(findings) == {}
    assert broken(findings, Column.A) == broken(findings, Column.B) == {}
    assert set(findings.shifts) <= {0}


@settings(deadline=None, max_examples=40)
@given(lives, ticks, st.booleans())
def test_what_is_found_is_found_again_and_no_policy_breaks_a_rule(
    steps: list[Any], told: list[tuple[int, e.Sender, bool]], is_free: bool
) -> None:
    past = history(steps, told)
    findings = past.compared(is_free=is_free)

    assert past.compared(is_free=is_free).digest == findings.digest
    assert broken(findings, Column.A) == broken(findings, Column.B) == {}
    assert not findings.open
