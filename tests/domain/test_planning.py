"""The plan of a campaign: compared with a walk over every single tick, and what binds each of its days."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain import mailbox as mailboxes
from domain.calendar import WEEK, Schedule
from domain.errors import CommandRefused
from domain.events import Sender
from domain.planning import ALL_MAILED, NO_TICK, TICKS, Plan, make_plan
from domain.policies import Send
from domain.rehearsal import Rehearsal, copy_of
from domain.rules import Limits, Rule, Wait
from domain.snapshot import freeze
from tests.domain.given import ALWAYS, GREYLISTED, NO_DELAY, NOON, World, digest, running

CADENCE: dict[Sender, timedelta] = {"v1": timedelta(seconds=60), "v2": timedelta(seconds=30)}
SLOW: dict[Sender, timedelta] = {"v1": timedelta(minutes=10), "v2": timedelta(minutes=5)}
MORNINGS = Schedule(zone="Europe/Warsaw", start="09:00", end="10:00", holidays_of=("PL",))
DAYS = 9
SENDERS = st.sampled_from(["v1", "v2"])
SCHEDULES = st.builds(
    Schedule,
    zone=st.sampled_from(["Europe/Warsaw", "America/New_York"]),
    weekdays=st.sets(st.sampled_from(WEEK), min_size=2).map(tuple),
    start=st.sampled_from(["00:00", "02:15", "09:00"]),
    end=st.sampled_from(["10:00", "24:00"]),
    holidays_of=st.sampled_from([(), ("PL",)]),
)
LIMITS = st.builds(Limits, daily_limit=st.integers(1, 6), delay_s=st.sampled_from([0, 500, 4000, 30 * 3600]))
STARTS = st.sampled_from(
    [datetime.fromisoformat(f"{day}T10:20Z") for day in ("2025-03-27", "2025-10-23", "2026-11-09")]
)


def planned(world: World, *others: World, cadence: dict[Sender, timedelta] = CADENCE, **more: Any) -> Plan:
    """The plan of this world's campaign, made on copies, with the other worlds' beside it."""
    copies = [copy_of(each.campaign) for each in (world, *others)]
    return make_plan(copies[0], copies, world.mailbox, cadence, world.now, **more)


def mailbox_limit(world: World, limit: int, zone: str = "Europe/Warsaw") -> None:
    world.save(
        mailboxes.change(
            world.mailbox, daily_limit=limit, zone=zone, identity_digest=digest(1), actor="anna", now=world.now
        )
    )


def bound(plan: Plan) -> list[tuple[str, int, str]]:
    """Each day, its mails and what binds it."""
    return [(f"{day.date:%a}", day.mails, str(day.bound_by)) for day in plan.days]


# --- the plan comes true ---


def whole_hours(mails: Counter[datetime], end: datetime) -> Counter[datetime]:
    """The walk ends within an hour, the plan with it."""
    return Counter({hour: count for hour, count in mails.items() if hour + timedelta(hours=1) <= end})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(SENDERS, SCHEDULES, LIMITS, st.integers(1, 12)), min_size=1, max_size=3),
    st.integers(1, 9),
    STARTS,
)
def test_a_plan_is_what_a_walk_over_every_single_tick_sends(
    campaigns: list[tuple[Sender, Schedule, Limits, int]], limit: int, now: datetime
) -> None:
    worlds: list[World] = []
    for number, (owner, schedule, limits, leads) in enumerate(campaigns, start=1):
        shared = worlds[0].mailbox if worlds else None
        worlds.append(
            running(
                *range(leads), owner=owner, schedule=schedule, limits=limits, now=now, mailbox=shared, number=number
            )
        )
    mailbox_limit(worlds[0], limit)
    worlds[0].refused_before_lock(0, GREYLISTED)
    plan = planned(*worlds, cadence=SLOW)

    end = now + timedelta(days=DAYS)
    sent = walked(worlds, end)

    foreseen = Counter({hour: mails for day in plan.days for hour, mails in day.hours.items()})
    assert whole_hours(sent, end) == whole_hours(foreseen, end)


def walked(worlds: list[World], until: datetime) -> Counter[datetime]:
    """Every tick of both senders on the real states, campaigns in turns: how many mails of the first in each hour."""
    now, sent = worlds[0].now, Counter[datetime]()
    grid = sorted(
        (now + nth * every, sender) for sender, every in SLOW.items() for nth in range((until - now) // every)
    )
    for at, sender in grid:
        turns = [world for world in worlds if world.campaign.owner == sender]
        for world in turns:  # grows at its end while it is walked
            world.now = at
            send = world.next()
            if isinstance(send, Send):
                world.delivered(send.position)
                sent[at.replace(minute=0)] += world is worlds[0]
                turns += [world] if sender == "v2" else []
    return +sent


@pytest.mark.parametrize("owner", ["v1", "v2"])
def test_planning_leaves_the_states_as_they_were(owner: Sender) -> None:
    world = running(5, 5, owner=owner)
    before = (freeze(world.campaign), world.mailbox.version, world.mailbox.mails.quarters())

    assert planned(world).mails == 2

    assert (freeze(world.campaign), world.mailbox.version, world.mailbox.mails.quarters()) == before


# --- what binds a day ---


def test_the_campaigns_limit_weekends_and_holidays_bind_and_the_last_day_ends_with_the_last_mail() -> None:
    friday = datetime(2026, 11, 6, 8, 30, tzinfo=UTC)  # half of the window is over; Wednesday is a holiday in Poland
    plan = planned(running(*[5] * 9, schedule=MORNINGS, limits=Limits(daily_limit=3, delay_s=90), now=friday))

    assert bound(plan) == [
        ("Fri", 3, "campaign's daily limit"),
        ("Sat", 0, "weekday"),
        ("Sun", 0, "weekday"),
        ("Mon", 3, "campaign's daily limit"),
        ("Tue", 3, ALL_MAILED),
    ]
    assert (plan.days[0].note, plan.days[-1].note) == ("3 a day", "")
    assert (plan.mails, plan.left, plan.held_by) == (9, 0, None)
    assert plan.ends_at == datetime(2026, 11, 10, 8, 4, tzinfo=UTC)


def test_a_holiday_is_told_by_its_name() -> None:
    tuesday = datetime(2026, 11, 10, 9, tzinfo=UTC)
    plan = planned(running(schedule=MORNINGS, now=tuesday))
    assert bound(plan) == [("Tue", 0, "window"), ("Wed", 0, "holiday"), ("Thu", 1, ALL_MAILED)]
    assert plan.days[1].note == "National Independence Day, PL"


@pytest.mark.parametrize(
    ("owner", "delay_s", "rule", "note", "mails"),
    [
        ("v1", 600, "delay", "600 s", 8),  # 0.8 x delay falls on the tick
        ("v2", 600, "delay", "600 s", 6),  # 0.8 to 1.2 x delay, as drawn
        ("v1", 60, TICKS, "one mail in 60 s", 60),
    ],
)
def test_where_no_limit_is_reached_the_pace_binds(
    owner: Sender, delay_s: int, rule: str, note: str, mails: int
) -> None:
    limits = Limits(daily_limit=1000, delay_s=delay_s)
    monday = datetime(2026, 10, 5, 6, tzinfo=UTC)
    day = planned(running(*[5] * 100, owner=owner, schedule=MORNINGS, limits=limits, now=monday)).days[0]
    assert (day.mails, day.bound_by, day.note) == (mails, rule, note)


def test_v2_without_delay_sends_all_that_the_limit_lets_in_one_tick_of_the_first_hour() -> None:
    monday = datetime(2026, 10, 5, 6, 10, tzinfo=UTC)
    limits = Limits(daily_limit=40, delay_s=0)
    day = planned(running(*[5] * 100, owner="v2", schedule=MORNINGS, limits=limits, now=monday)).days[0]
    nine = datetime(2026, 10, 5, 7, tzinfo=UTC)
    assert (day.mails, day.first_at, day.last_at, dict(day.hours)) == (40, nine, nine, {nine: 40})


def test_the_mailboxs_limit_binds_and_is_shared_with_the_other_campaigns_that_run() -> None:
    world = running(*[5] * 6, limits=NO_DELAY)
    other = running(*[5] * 6, limits=NO_DELAY, mailbox=world.mailbox, number=2)
    mailbox_limit(world, 4)

    alone, beside = planned(world), planned(world, other)

    assert bound(alone) == [("Tue", 4, "mailbox's daily limit"), ("Wed", 2, ALL_MAILED)]
    assert bound(beside) == [
        ("Tue", 2, "mailbox's daily limit"),
        ("Wed", 2, "mailbox's daily limit"),
        ("Thu", 2, ALL_MAILED),
    ]


def test_campaigns_that_may_send_all_at_once_share_a_mailboxs_limit_mail_by_mail() -> None:
    world = running(*[5] * 6, owner="v2", limits=NO_DELAY)
    other = running(*[5] * 6, owner="v2", limits=NO_DELAY, mailbox=world.mailbox, number=2)
    mailbox_limit(world, 4)
    assert [day.mails for day in planned(world, other).days] == [2, 2, 2]


def test_a_back_off_binds_where_only_retries_are_left() -> None:
    world = running(owner="v2")
    world.refused_before_lock(0, GREYLISTED)
    world.now += timedelta(seconds=1)
    plan = planned(world)
    assert (plan.first, plan.ends_at) == (Send(0, 100, NOON + timedelta(minutes=15)), world.now + timedelta(minutes=15))
    late = running(owner="v2", now=datetime(2025, 3, 4, 22, 50, tzinfo=UTC))
    late.refused_before_lock(0, GREYLISTED)
    assert bound(planned(late)) == [("Tue", 0, "back-off"), ("Wed", 1, ALL_MAILED)]


def test_a_mailbox_that_is_delayed_holds_the_mails_back_for_so_long() -> None:
    world = running(5, 5, owner="v2")
    world.save(mailboxes.delay(world.mailbox, phase="mail", code=421, enhanced=None, now=world.now))
    plan = planned(world)
    assert plan.days[0].first_at == NOON + timedelta(minutes=1)


def test_ticks_that_never_meet_the_window_send_nothing_for_three_years() -> None:
    daily: dict[Sender, timedelta] = {"v1": timedelta(days=1), "v2": timedelta(days=1)}
    world = running(5, 5, 5, schedule=MORNINGS, now=datetime(2026, 10, 5, 8, tzinfo=UTC))
    world.now = datetime(2026, 10, 5, 10, tzinfo=UTC)
    plan = planned(world, cadence=daily)
    assert (plan.mails, plan.left, plan.held_by) == (0, 3, None)
    assert {day.bound_by for day in plan.days} == {Rule.WINDOW, Rule.WEEKDAY, Rule.HOLIDAY}


def test_a_day_that_the_ticks_pass_over_is_told_as_one() -> None:
    rare: dict[Sender, timedelta] = {"v1": timedelta(days=2), "v2": timedelta(days=2)}
    plan = planned(running(5, 5, limits=NO_DELAY), cadence=rare)
    assert bound(plan) == [("Tue", 1, TICKS), ("Wed", 0, NO_TICK), ("Thu", 1, ALL_MAILED)]


@pytest.mark.parametrize("day", ["2025-03-30", "2025-10-26"])
def test_on_a_clock_change_day_each_hour_of_the_wall_clock_has_its_own_mails(day: str) -> None:
    midnight = datetime.fromisoformat(f"{day}T00:00Z") - timedelta(hours=2)
    limits = Limits(daily_limit=1000, delay_s=1200)
    plan = planned(running(*[5] * 120, schedule=ALWAYS, limits=limits, now=midnight))
    hours = next(found for found in plan.days if found.date == date.fromisoformat(day)).hours
    assert len(hours) == (23 if "03" in day[5:7] else 25)
    assert len(set(hours.values())) <= 2


# --- what ends it ---


def test_a_draft_and_a_paused_campaign_are_planned_as_if_set_going_now() -> None:
    draft = World(schedule=ALWAYS)
    draft.queue(5, 5)
    assert (planned(draft).mails, planned(draft).days[0].first_at) == (2, NOON)
    draft.start()
    draft.pause()
    assert planned(draft).mails == 2


def test_a_draft_without_leads_is_refused_as_a_start_would_be() -> None:
    with pytest.raises(CommandRefused, match="has no leads"):
        planned(World())


def test_what_time_alone_does_not_mend_ends_the_plan_and_is_named() -> None:
    world = running(5, 5)
    world.save(mailboxes.pause(world.mailbox, actor="anna", reason="login refused", now=world.now))
    plan = planned(world)
    assert (plan.mails, plan.left, plan.held_by) == (0, 2, Wait(Rule.MAILBOX_PAUSED, note="login refused"))
    assert bound(plan) == [("Tue", 0, "mailbox paused")]
    stuck = running(5, limits=NO_DELAY)
    stuck.queue(5, v1_status="replied")
    plan = planned(stuck)
    assert (plan.mails, plan.left, plan.held_by) == (1, 1, Wait(Rule.STUCK))


def test_a_plan_that_does_not_end_stops_after_three_years() -> None:
    plan = planned(running(*[5] * 1200, limits=Limits(daily_limit=1, delay_s=0)))
    assert (plan.mails, plan.left, plan.held_by) == (1099, 101, None)


def test_nobody_waits_nothing_is_planned() -> None:
    world = running()
    world.delivered(0)
    plan = planned(world)
    assert (list(plan.days), plan.mails, plan.left, plan.first, plan.ends_at) == ([], 0, 0, None, None)


@pytest.mark.parametrize(("owner", "order"), [("v1", [0, 1, 2]), ("v2", [1, 2, 0])])
def test_it_says_when_a_lead_that_is_asked_for_is_mailed(owner: Sender, order: Iterable[int]) -> None:
    world = running(9, 1, 5, owner=owner, limits=Limits(daily_limit=1, delay_s=0))
    plan = planned(world, asked_for=[0, 1, 2])
    assert sorted(plan.leaves_at, key=plan.leaves_at.__getitem__) == list(order)
    assert planned(world).leaves_at == {next(iter(order)): NOON}


# --- the counters of a rehearsal ---


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 4 * 24 * 60), st.sampled_from(["Europe/Warsaw", "Asia/Kathmandu"]))
    ),
    st.sampled_from([datetime(2025, 3, 28, tzinfo=UTC), datetime(2025, 10, 24, tzinfo=UTC)]),
)
def test_a_rehearsals_count_is_the_real_count(asked: list[tuple[bool, int, str]], start: datetime) -> None:
    world = World()
    world.mailbox.mails.add(start)
    tried = Rehearsal(world.mailbox).mailbox.mails
    for is_mail, minutes, zone in asked:
        at = start + timedelta(minutes=minutes)
        if is_mail:
            world.mailbox.mails.add(at)
            tried.add(at)
        assert tried.on_date_of(at, zone) == world.mailbox.mails.on_date_of(at, zone)
