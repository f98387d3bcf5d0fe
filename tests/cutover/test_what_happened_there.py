"""The twenty things that went wrong in the old application, by their numbers, each as a test that fails where the
fault is still there. Real mail servers, both senders, and runners that are killed.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from multiprocessing.process import BaseProcess
from zoneinfo import ZoneInfo

import pytest

from domain import commands
from domain.calendar import Schedule
from domain.events import (
    CampaignPaused,
    DuplicateDetected,
    EmailInDoubt,
    EmailLocked,
    EmailSent,
    MigratedToV2,
    RolledBack,
    Sender,
)
from domain.rules import Limits
from runner import cutover
from runner.clock import SimulatedClock
from runner.sending.liveness import Liveness
from runner.store.ledger import campaign_stream
from tests.cutover.office import WHY, Office
from tests.databases import on_sqlite
from tests.faults.invariants import broken, duplicates
from tests.faults.processes import ended, wait_until
from tests.faults.steps import APPENDING, STEPS, Fault, Step, kill, lose, struck
from tests.faults.world import END, LATER, NO_DELAY, START, World
from tests.legacy.old_sample import Place

WARSAW = ZoneInfo("Europe/Warsaw")
OFFICE_HOURS = Schedule(zone="Europe/Warsaw", weekdays=("MON", "TUE", "WED", "THU", "FRI"), start="09:00", end="15:00")
PACED = Limits(daily_limit=1000, delay_s=90)

senders = pytest.mark.parametrize("sender", ["v1", "v2"])

STEPS["in the migration's transaction"] = Step(
    APPENDING, "insert", after=True, when=lambda _, stored, *__: any(e.topic.startswith("MigratedToV2") for e in stored)
)


def locks(world: World, number: int = 1) -> list[EmailLocked]:
    return [event for event in world.events(number) if isinstance(event, EmailLocked)]


def gaps(world: World, number: int = 1) -> Iterator[float]:
    times = [lock.recorded_at for lock in locks(world, number)]
    return ((later - before).total_seconds() for before, later in pairwise(times))


# --- nobody twice ---


@senders
def test_t1_of_two_overlapping_runs_with_the_same_list_the_database_lets_one_send(
    world: World, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Liveness, "claim", lambda *_: True)  # no flag in a process keeps them apart
    world.campaign(1, sender, ["lead"] * 3)
    with struck(Fault("after the body", 1, lambda: world.run(START))):
        world.run(START)
    assert world.accepted() == {(1, 1): 1, (1, 2): 1, (1, 3): 1}


@senders
def test_t2_the_lock_is_in_the_database_before_the_mail_is_anywhere(world: World, sender: Sender) -> None:
    seen: list[tuple[int, int]] = []
    world.campaign(1, sender, ["lead"])

    def look() -> None:
        accepted = world.accepted_file.read_text() if world.accepted_file.exists() else ""
        seen.append((len(locks(world)), len(accepted.splitlines())))

    with struck(Fault("before the dot", 1, look)):
        world.run(START)
    assert seen == [(1, 0)]
    assert world.accepted() == {(1, 1): 1}


@on_sqlite
def test_t3_a_second_mail_that_comes_to_light_is_an_alarm_and_no_success(office: Office) -> None:
    number = office.makes_ours("Targi")
    office.runs(24 * 60 + 60)
    [lead] = office.leads("Targi", Place.CLEAN_WAITING)
    assert office.delivered() == office.addresses(lead)
    office.application("Targi").log(lead, "<hidden@nadawca.example>")
    assert "mailed twice" in office.desk.says("legacy", "follow", office.url).out
    [alarm] = office.desk.events("DuplicateDetected")
    assert alarm["lead_id"] == lead
    assert "sent-more-than-once" in office.desk.says("cutover", "analyze", number).out
    assert office.desk.says("cutover", "verify", number).code == 1


@senders
def test_t4_a_database_that_fails_after_250_does_not_put_the_lead_back(world: World, sender: Sender) -> None:
    world.campaign(1, sender, ["lead"] * 2)
    with struck(Fault("before an outcome is stored", 1, lose)):
        world.run(START)
    world.run(LATER)
    assert world.accepted() == {(1, 1): 1, (1, 2): 1}
    assert world.states(1) == ["sent", "sent"]


@senders
def test_t5_t7_no_time_makes_a_lead_free_that_was_tried_and_nobody_waits_for_it(world: World, sender: Sender) -> None:
    world.campaign(1, sender, ["lead"] * 3)
    assert ended(world.victim(Fault("after the reply", 1, kill))) == -signal.SIGKILL
    for days in (0, 1, 30):
        world.run(LATER + timedelta(days=days), END + timedelta(days=days))
    assert world.states(1) == ["in doubt", "sent", "sent"]
    assert world.accepted() == {(1, 1): 1, (1, 2): 1, (1, 3): 1}
    assert broken(world) == []


@on_sqlite
def test_t6_who_was_sending_without_a_row_is_asked_about_and_never_queued(office: Office) -> None:
    office.imports("Zima")
    stuck, reset = office.leads("Zima", Place.IN_DOUBT)
    office.application("Zima").reset_to_queued(reset)  # its own repair
    office.desk.done("legacy", "follow", office.url)
    repairs = {row["lead"]: row["does"] for row in office.desk.rows("cutover", "fix", "2")["repairs"]}
    assert repairs[stuck].startswith("in doubt") is repairs[reset].startswith("in doubt") is True
    office.makes_ours("Zima")
    office.moves("migrate", "2")
    office.runs(3 * 24 * 60)
    assert not {*office.addresses(stuck, reset)} & {*office.delivered()}
    assert {stuck, reset} <= {row["lead_id"] for row in office.desk.rows("in-doubt", "list")}


@senders
def test_t8_a_pause_in_the_middle_of_a_mail_loses_nothing(world: World, sender: Sender) -> None:
    world.campaign(1, sender, ["lead"] * 4)

    def pause() -> None:
        world.ledger.on_campaign(1, lambda c: commands.pause(c, actor="anna", reason=None, now=START))

    with struck(Fault("after the lock", 2, pause)):
        world.run(START)
    assert world.told(CampaignPaused)
    assert Counter(world.states(1)) == {"sent": 2, "queued": 2}
    world.ledger.on_campaign(1, lambda c: commands.resume(c, actor="anna", reason=None, now=LATER))
    world.run(LATER)
    assert world.accepted() == {(1, lead): 1 for lead in range(1, 5)}


@on_sqlite
def test_t8_whom_a_pause_there_has_cancelled_in_the_queue_still_waits_here(office: Office) -> None:
    number = office.makes_ours("Wiosna")
    office.desk.done("campaign", "resume", number)
    office.runs(60)
    waited = [*office.leads("Wiosna", Place.TWO_STATES), *office.leads("Wiosna", Place.CLEAN_WAITING)]
    assert office.delivered() == office.addresses(*waited)


# --- the clock ---


@senders
def test_t9_t10_after_an_hour_without_a_runner_mail_goes_on_today_at_the_pace_of_every_day(
    world: World, sender: Sender
) -> None:
    world.campaign(1, sender, ["lead"] * 40, limits=PACED, schedule=OFFICE_HOURS)
    nine = START + timedelta(hours=1)
    world.run(nine, nine + timedelta(minutes=10))
    back = nine + timedelta(minutes=70)
    world.run(back, back + timedelta(minutes=20))
    after = [lock for lock in locks(world) if lock.recorded_at >= back]
    assert after[0].recorded_at - back <= timedelta(minutes=1)
    assert len(after) >= 10
    assert min(gaps(world)) >= 0.8 * PACED.delay_s


@senders
def test_t11_the_pace_does_not_drift(world: World, sender: Sender) -> None:
    world.campaign(1, sender, ["lead"] * 30, limits=PACED)
    world.run(START, START + timedelta(hours=2))
    assert len(locks(world)) == 30
    tick = {"v1": 60, "v2": 30}[sender]
    assert all(0.8 * PACED.delay_s <= gap < 1.2 * PACED.delay_s + tick for gap in gaps(world))


@senders
def test_t12_a_mail_that_was_prepared_in_time_does_not_leave_when_the_window_has_closed(
    world: World, sender: Sender
) -> None:
    world.campaign(1, sender, ["lead"], schedule=OFFICE_HOURS)
    three = START + timedelta(hours=7)
    clock = SimulatedClock(three - timedelta(seconds=1))
    with struck(Fault("after the body", 1, lambda: clock.move_to(three))):
        world.run(clock=clock, until=three + timedelta(hours=12))
    assert (world.accepted(), world.states(1)) == ({}, ["queued"])
    world.run(three + timedelta(hours=18), three + timedelta(hours=19))
    assert world.accepted() == {(1, 1): 1}


@on_sqlite
def test_t13_days_that_nobody_meets_are_refused_and_why_not_yet_is_always_told(office: Office) -> None:
    office.application("Targi").change(allowedDays="PON,WT")
    said = office.desk.refused("legacy", "import", office.url, "--mailbox", "sales", "--campaign", "3")
    assert "Campaign 3, allowedDays: names a day that the old application never meets" in said
    polish = office.desk.campaign_file(('"MON", "TUE", "WED", "THU", "FRI"', '"PON"'))
    assert "weekdays" in office.desk.refused("campaign", "create", polish)
    number = office.makes_ours("Zima")
    office.desk.done("campaign", "pause", number)
    assert office.desk.rows("why", number)["why"] == "paused"


@pytest.mark.parametrize("midnight", [datetime(2026, 10, 25, tzinfo=WARSAW), datetime(2026, 3, 29, tzinfo=WARSAW)])
def test_t14_today_begins_at_the_midnight_of_the_campaign_on_both_days_of_a_clock_change(
    world: World, midnight: datetime
) -> None:
    evening = midnight.astimezone(UTC) - timedelta(minutes=30)
    world.campaign(1, "v2", ["lead"] * 9, limits=Limits(daily_limit=2, delay_s=0), started_at=evening)
    next_day = (midnight + timedelta(days=1)).astimezone(UTC)
    world.run(evening, next_day + timedelta(minutes=5))
    days = Counter(lock.recorded_at.astimezone(WARSAW).date() - midnight.date() for lock in locks(world))
    assert days == {timedelta(days=-1): 2, timedelta(0): 2, timedelta(days=1): 2}


@on_sqlite
def test_t15_a_window_from_hour_zero_is_one_and_the_zone_of_the_server_is_nobodys(office: Office) -> None:
    office.application("Zima").change(startHour=0, endHour=6)
    number = office.makes_ours("Zima")
    with on_a_server_in("America/New_York"):
        office.runs(24 * 60)
    log = office.desk.rows("sendlog", number, "--limit", "99")
    at = [datetime.fromisoformat(row["locked_at"]).astimezone(WARSAW) for row in log if row["digest"]]
    assert (len(at), {each.hour for each in at}) == (5, {0})


@contextmanager
def on_a_server_in(zone: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        yield
    time.tzset()


# --- who is next, and how many ---


@on_sqlite
def test_t16_leads_that_wait_with_nobody_to_pick_them_are_an_alarm(office: Office) -> None:
    office.makes_ours("Jesień")
    stuck = office.leads("Jesień", Place.WAITS_FOR_EVER)
    found = office.desk.says("cutover", "analyze", "1")
    assert (found.code, "waits-though-completed" in found.out) == (1, True)
    told = office.desk.says("cutover", "verify", "1")
    [answer] = [line for line in told.out.splitlines() if "in vain" in line]
    assert (told.code, "FAIL" in answer, f"lead {stuck[0]} waits" in answer) == (1, True, True)


@senders
def test_t16_a_lead_that_never_gets_through_starves_nobody(world: World, sender: Sender) -> None:
    world.campaign(1, sender, ["nameless"] * 3 + ["lead"] * 20)
    world.run(START)
    assert Counter(world.states(1))["sent"] == 20


def test_t17_the_limit_of_a_mailbox_holds_exactly_while_both_senders_count(world: World) -> None:
    world.mailbox(daily_limit=5)
    world.campaign(1, "v1", ["lead"] * 10)
    world.campaign(2, "v2", ["lead"] * 2)

    def other_sender_takes_two() -> None:
        world.run(START, START + timedelta(seconds=1))

    with struck(Fault("after the body", 2, other_sender_takes_two)):
        world.run(START)
    assert world.accepted().total() == 5
    assert broken(world) == []


@on_sqlite
def test_t18_of_two_limits_the_one_that_binds_is_named(office: Office) -> None:
    number = office.makes_ours("Zima")
    office.desk.done("mailbox", "set", "sales", "--daily-limit", "2")
    office.runs(60)
    assert office.desk.rows("why", number)["why"].startswith("mailbox's daily limit (2 a day)")
    assert len(office.delivered()) == 2
    office.desk.done("mailbox", "set", "sales", "--daily-limit", "500")
    assert "limit" not in office.desk.rows("why", number)["why"]


@on_sqlite
def test_t19_v2_takes_the_campaigns_it_was_given_and_a_roll_back_is_one_command(office: Office) -> None:
    given, kept = office.makes_ours("Zima"), office.makes_ours("Targi")
    office.moves("migrate", given)
    office.runs(3)
    office.moves("rollback", given)
    office.runs(24 * 60 + 60)
    assert set(office.sent_by(given)) == {"v1", "v2"}
    assert set(office.sent_by(kept)) == {"v1"}
    assert "there is nothing to roll back" in office.desk.done("cutover", "rollback", given, *WHY)


@on_sqlite
def test_t20_a_migration_that_wrote_nothing_is_not_reported_as_done(office: Office) -> None:
    number = office.makes_ours("Targi")
    with struck(Fault("in the migration's transaction", 1, lose)):
        said = office.desk.says("cutover", "migrate", number, *WHY)
    assert said.code != 0
    assert "V2's" not in said.out
    assert office.desk.events(MigratedToV2.__name__) == []
    assert office.owner(number)["owner"] == "v1"
    read_back = office.moves("migrate", number)
    assert (read_back["owner"], office.owner(number)["owner"]) == ("v2, epoch 3", "v2")


# --- in the middle of sending ---


@pytest.mark.parametrize("step", ["after the body", "after the lock", "after the reply"])
def test_moved_at_each_step_of_each_mail_everybody_gets_it_once(world: World, step: str) -> None:
    """T19: whoever has locked a lead ends its mail; whoever has only prepared it is refused, and the other sends it."""
    world.campaign(1, "v1", ["lead"] * 12)
    turns = count()

    def move() -> None:
        if (turn := next(turns)) % 2 == 0:
            how = cutover.roll_back if turn % 4 else cutover.migrate
            how(world.ledger, 1, actor="anna", reason="to and fro", now=START)

    with struck(Fault(step, 1, move, always=True)):
        world.run(START)
    world.run(LATER)
    assert duplicates(world.accepted()) == []
    assert world.accepted() == {(1, lead): 1 for lead in range(1, 13)}
    assert {lock.sender for lock in locks(world)} == {"v1", "v2"}
    assert broken(world) == []


def test_moved_while_two_runners_send_the_union_is_what_one_sender_alone_sends(world: World) -> None:
    world.campaign(1, "v1", ["lead"] * 15, limits=Limits(daily_limit=1000, delay_s=60))
    runners = [world.victim(until=START + timedelta(hours=1)) for _ in range(2)]
    moves = 0

    def they_went_on() -> bool:
        return world.ledger.version(campaign_stream(1)) > moved_at or not any(map(BaseProcess.is_alive, runners))

    while any(map(BaseProcess.is_alive, runners)):
        how = cutover.roll_back if moves % 2 else cutover.migrate
        how(world.ledger, 1, actor="anna", reason="to and fro", now=START)
        moved_at, moves = world.ledger.version(campaign_stream(1)), moves + 1
        wait_until(they_went_on)
    assert [ended(runner) for runner in runners] == [0, 0]
    assert moves > 2
    world.run(START + timedelta(hours=1), START + timedelta(hours=2))
    assert world.accepted() == {(1, lead): 1 for lead in range(1, 16)}
    assert not world.told(DuplicateDetected, EmailInDoubt)
    assert len(world.told(EmailSent)) == 15
    assert broken(world) == []


def test_v1_dies_with_a_lock_and_the_migration_lists_it_and_does_not_wait(world: World) -> None:
    world.campaign(1, "v1", ["lead"] * 3, limits=NO_DELAY)
    assert ended(world.victim(Fault("after the lock", 1, kill))) == -signal.SIGKILL
    moved = cutover.migrate(world.ledger, 1, actor="anna", reason="now", now=LATER)
    assert moved.locked == (1,)
    world.run(LATER)
    assert world.states(1) == ["in doubt", "sent", "sent"]
    assert world.accepted() == {(1, 2): 1, (1, 3): 1}
    cutover.roll_back(world.ledger, 1, actor="anna", reason="back", now=END)
    [back] = [event for event in world.events(1) if isinstance(event, RolledBack)]
    assert back.in_doubt == (1,)
