"""The report: the published schema, the same bytes for the same history, and verdicts that follow their rules."""

from __future__ import annotations

import json
import re
from datetime import date, datetime
from pathlib import Path
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

import jsonschema
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch

from domain import commands
from domain import events as e
from domain.campaign import Campaign
from domain.errors import InvalidInput
from domain.mailbox import Mailbox
from domain.policies import Send
from domain.replay import slices
from domain.replay.accepting import Acceptance, Rulebook, accept, conditions
from domain.replay.classes import ACCEPTABLE, CRITICAL, Difference, DifferenceClass, Pattern
from domain.replay.findings import A
from domain.replay.past import Setup
from domain.replay.report import Report
from domain.replay.reporting import About, report
from domain.replay.sides import Side, WhatIf, as_owner
from domain.rules import Limits, Wait
from runner.replaying import comparing, pictures
from runner.replaying.comparing import compare, compare_many, proved_of, shares
from runner.replaying.comparing import run as pass_over
from runner.replaying.history import History
from runner.replaying.isolation import NetworkInReplay, reading, replaying
from runner.replaying.what_if import sides
from tests.databases import on_sqlite
from tests.faults.world import World
from tests.replay.given import DAY, HOUR, MINUTE, MONDAY, OFFICE, PACED, SPARSE, Recorded, run

SCHEMA = Path(__file__).parents[2] / "docs" / "comparison.schema.json"


def written_all(reports: list[Report]) -> list[str]:
    return [report.model_dump_json() for report in reports]


def written(report: Report) -> Any:
    return json.loads(report.model_dump_json(by_alias=True))


@pytest.fixture
def morning(world: World) -> World:
    """V1 and V2, a campaign each, an hour long."""
    for number, owner in ((1, "v1"), (2, "v2")):
        world.campaign(number, owner, ["lead", "busy", *["lead"] * 5], limits=PACED, schedule=OFFICE)  # type: ignore[arg-type]
    run(world, MONDAY, MONDAY + HOUR)
    return world


def test_the_published_schema_is_that_of_the_report() -> None:
    """Written anew by: json.dumps(Report.model_json_schema(by_alias=True, mode="serialization"), indent=2)."""
    assert json.loads(SCHEMA.read_text()) == Report.model_json_schema(by_alias=True, mode="serialization")


def test_a_report_fits_the_schema_and_is_the_same_on_each_run(morning: World) -> None:
    report = compare(morning.ledger, 1, Setup())

    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(written(report))
    assert compare(morning.ledger, 1, Setup()).model_dump_json() == report.model_dump_json()
    assert report.proof is not None
    assert report.proof.other_process


def test_workers_share_events_evenly_not_campaigns() -> None:
    assert shares({1: 60, 2: 10, 3: 50, 4: 20, 5: 40}, 2) == [(1, 2, 4), (3, 5)]


@on_sqlite
def test_workers_say_what_one_process_says(morning: World) -> None:
    one = compare_many(morning.database, [1, 2], Setup(), workers=1, prove_all=False)
    two = compare_many(morning.database, [1, 2], Setup(), workers=2, prove_all=False)

    assert [report.judged for report in one] == [8, 7]  # one lead was tried twice
    assert written_all(one) == written_all(two)


@on_sqlite
def test_each_of_many_campaigns_is_proved_whatever_came_before(morning: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "LEAST_PROVED", 9)
    monkeypatch.setattr(slices, "SIZE", 12)

    reports = compare_many(morning.database, [1, 2], Setup(), workers=1, prove_all=False)

    assert [report.proof and (report.proof.events, report.proof.whole) for report in reports] == [(9, False)] * 2
    assert [report.verdict for report in reports] == ["EQUIVALENT"] * 2


def test_many_campaigns_share_the_events_of_the_proof() -> None:
    assert [proved_of(campaigns) for campaigns in (1, 10, 1_000)] == [20_000, 2_000, 500]


@on_sqlite
def slow(campaign: Campaign, mailbox: Mailbox, sender: e.Sender, now: datetime) -> Send | Wait:
    return as_owner(campaign, mailbox, sender, now - 10 * MINUTE)


def test_a_replay_that_is_not_what_happened_is_inconclusive_whatever_it_finds(morning: World) -> None:
    report = compare(morning.ledger, 1, Setup(a=Side("v1", policy=slow)))

    assert (report.verdict, report.exit_code) == ("INCONCLUSIVE", 3)


def test_a_what_if_of_the_owners_own_settings_goes_by_what_its_policy_gives_without_it(morning: World) -> None:
    slower = WhatIf(delay_s=600)

    both = compare(morning.ledger, 1, Setup(a=Side("v1", slower), b=Side("v2", slower), is_free=True))
    one = compare(morning.ledger, 2, Setup(b=Side("v2", WhatIf(every=30 * MINUTE)), is_free=True))

    plain = [compare(morning.ledger, number, Setup(is_free=True)) for number in (1, 2)]
    assert [both.fidelity, one.fidelity] == [report.fidelity for report in plain]
    assert (one.verdict, one.exit_code) == ("DIFFERENT", 1)
    assert both.verdict in ("DIFFERENT", "EQUIVALENT")


def raising(*_: object) -> NoReturn:
    raise ValueError


@on_sqlite
@pytest.mark.parametrize("is_free", [False, True])
def test_mails_for_which_both_policies_raise_are_not_known_to_be_equal(morning: World, is_free: bool) -> None:
    both = Setup(a=Side("v1", policy=raising), b=Side("v2", policy=raising), is_free=is_free)
    found = Recorded.of(morning).compared(both)

    assert (found.judged, found.equal, found.held_against[A], found.faithful[A]) == (0, 0, 8, 0)
    assert found.classes[DifferenceClass.UNKNOWN].root == found.unanswered == 8


@on_sqlite
def test_what_only_the_other_sender_would_mail_is_different(world: World) -> None:
    world.campaign(1, "v1", ["lead"] * 3, limits=PACED, schedule=OFFICE, v1_status="replied")
    run(world, MONDAY, MONDAY + HOUR)

    told = compare(world.ledger, 1, Setup())

    assert [one.share for one in told.fidelity] == [None, None]
    assert (told.verdict, told.roots) == ("DIFFERENT", 3)


@on_sqlite
def test_ticks_are_of_the_manifest_too(world: World) -> None:
    """Where only they went on, more is known: other bytes, another manifest."""
    world.campaign(1, "v1", ["lead"] * 4, limits=PACED, schedule=OFFICE)
    run(world, MONDAY, MONDAY + 19 * MINUTE)
    before = compare(world.ledger, 1, Setup())
    run(world, MONDAY + 19 * MINUTE, MONDAY + HOUR)

    assert compare(world.ledger, 1, Setup()).manifest.history != before.manifest.history


def test_what_was_seen_before_a_range_is_not_seen_in_it(morning: World) -> None:
    whole, late = (compare(morning.ledger, 1, Setup(start=start)) for start in (None, MONDAY + HOUR / 2))

    assert whole.seen == ["failure"]
    assert late.seen == []


@on_sqlite
def test_a_policy_that_raises_where_nothing_is_sent_is_different(world: World) -> None:
    world.campaign(1, "v1", ["lead"], limits=PACED, schedule=OFFICE, v1_status="replied")
    run(world, MONDAY, MONDAY + 5 * MINUTE)
    history, setup = History(world.ledger.histories, [1]), Setup(b=Side("v2", policy=raising))
    case = pass_over(history, setup)["campaign-1"]
    about = About(1, 1, "", 1, 1, None, None, "", "")

    told = report(case, case, setup, about, None)

    assert (told.judged, told.verdict, told.exit_code) == (0, "DIFFERENT", 1)
    assert told.critical


@on_sqlite
def test_accepted_differences_stay_in_the_strict_count_up_to_their_ceiling(morning: World) -> None:
    setup = Setup(b=Side("v2", WhatIf(window=(9 * 60 + 30, 15 * 60))), on=date(2026, 10, 5))
    strict = compare(morning.ledger, 1, setup)
    shifted = next(one for one in strict.classes if one.name == "SHIFT")
    rule(morning, where="why=window", at_most=shifted.root - 1)

    accepted = compare(morning.ledger, 1, setup)

    [counts] = [one for one in accepted.classes if one.name == "SHIFT"]
    assert (strict.verdict, accepted.verdict) == ("DIFFERENT", "DIFFERENT")
    assert (counts.accepted, counts.root) == (shifted.root - 1, 1)
    assert accepted.parity_strict == strict.parity_strict
    rule(morning, where="shift<=1h", at_most=100)
    assert compare(morning.ledger, 1, setup).verdict == "EQUIVALENT"


def rule(world: World, **said: Any) -> None:
    stream = "comparison-1"
    usual = {"difference": "SHIFT", "reason": "fine", "expires": date(2026, 12, 31), "actor": "anna", "now": MONDAY}
    world.ledger.append(accept(stream, world.ledger.version(stream), **{**usual, **said}))


@pytest.mark.parametrize("kind", sorted(CRITICAL))
def test_a_broken_rule_can_never_be_accepted(kind: DifferenceClass) -> None:
    said = {"where": "", "reason": "r", "expires": date(2026, 12, 31), "at_most": 1, "actor": "anna", "now": MONDAY}
    with pytest.raises(InvalidInput, match="can not be accepted"):
        accept("comparison-1", 0, difference=kind, **said)  # type: ignore[arg-type]
    assert kind not in ACCEPTABLE


def shift(why: str) -> Difference:
    return Difference(DifferenceClass.SHIFT, 1, 1, None, MONDAY, MONDAY + HOUR, why, True, Pattern.DIFFERENCE)


def test_an_expired_rule_accepts_nothing() -> None:
    known = Acceptance(DifferenceClass.SHIFT, "", "fine", "anna", date(2026, 10, 4), 9)

    assert Rulebook([known], date(2026, 10, 4)).accepts(shift("delay"))
    assert not Rulebook([known], date(2026, 10, 5)).accepts(shift("delay"))


@pytest.mark.parametrize(
    ("where", "why", "accepted"),
    [
        ("why=mailbox's daily limit", "mailbox's daily limit", True),
        ("why=mailbox", "mailbox's daily limit", False),
        ("why=mailbox*", "mailbox's daily limit", True),
        ("why=mailbox*", "the mailbox", False),
    ],
)
def test_a_reason_is_the_whole_reason_unless_it_ends_with_a_star(where: str, why: str, accepted: bool) -> None:
    known = Acceptance(DifferenceClass.SHIFT, where, "fine", "anna", date(2026, 12, 31), 9)

    assert Rulebook([known], date(2026, 10, 4)).accepts(shift(why)) is accepted


@pytest.mark.parametrize("where", ["lead", "lead=x", "shift<=10", "why<=delay", "colour=red"])
def test_what_is_no_condition_is_said(where: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape("--where")):
        conditions(where)


@pytest.mark.parametrize(
    "text", ["v2.every", "v3.every=1m", "v2.colour=red", "v2.every=90x", "b.window=15:00-09:00", "a.limit=0"]
)
def test_what_is_no_setting_is_said(text: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape("--set")):
        sides("v1", "v2", [text])


def test_settings_reach_the_sides_they_name() -> None:
    a, b = sides("v1", "v2", ["campaign.delay=60s", "v2.every=30m", "a.window=08:00-16:00", "b.limit=5"])

    assert a == Side("v1", WhatIf(delay_s=60, window=(480, 960)))
    assert b == Side("v2", WhatIf(every=30 * MINUTE, delay_s=60, daily_limit=5))


@on_sqlite
@pytest.mark.parametrize("name", ["compare.svg", "compare.png"])
def test_pictures_are_drawn_and_the_same_each_time(morning: World, tmp_path: Path, name: str) -> None:
    report = compare(morning.ledger, 1, Setup())
    pictures.draw(report, tmp_path / name)
    first = (tmp_path / name).read_bytes()
    pictures.draw(report, tmp_path / name)

    assert (tmp_path / name).read_bytes() == first
    assert len(first) > 10_000


@pytest.fixture
def fewer(world: World) -> World:
    """Two days of V1: six mails, and from then on three a day."""
    world.campaign(1, "v1", ["lead"] * 12, limits=Limits(daily_limit=6, delay_s=600), schedule=OFFICE)
    run(world, MONDAY, MONDAY + DAY - HOUR, SPARSE)
    changed = Limits(daily_limit=3, delay_s=1200)
    night = MONDAY + DAY - HOUR
    world.ledger.on_campaign(1, lambda c: commands.edit(c, actor="anna", limits=changed, now=night))
    run(world, night, MONDAY + DAY + 7 * HOUR, SPARSE)
    return world


@on_sqlite
def test_a_report_says_which_limits_were_in_force_on_each_day_and_each_sides_own(fewer: World) -> None:
    report = compare(fewer.ledger, 1, Setup(b=Side("v2", WhatIf(daily_limit=2)), is_free=True))

    monday, tuesday = date(2026, 10, 5), date(2026, 10, 6)
    recorded = [(monday, 6, 600), (tuesday, 3, 1200)]
    assert [column.limits for column in report.columns] == [recorded, recorded, [(monday, 2, 600), (tuesday, 2, 1200)]]
    axes = Figure().subplots()
    pictures._days(axes, report)
    drawn = {
        str(patch.get_label()): list(patch.get_data()[0]) for patch in axes.patches if isinstance(patch, StepPatch)
    }
    assert {label: steps for label, steps in drawn.items() if "limit" in label} == {
        "limit": [6, 3],
        "limit of B": [2, 2],
    }
    axes = Figure().subplots()
    pictures._gaps(axes, report)
    assert [text.get_text() for text in axes.texts] == ["600 s RAB", "1200 s RAB"]


@on_sqlite
def test_days_and_windows_are_those_of_the_range_that_is_judged(fewer: World) -> None:
    tuesday = MONDAY + DAY
    report = compare(fewer.ledger, 1, Setup(start=tuesday + HOUR, end=tuesday + 2 * HOUR))

    assert report.windows == [(tuesday + HOUR, report.last_at)]
    assert report.columns[0].limits == [(date(2026, 10, 6), 3, 1200)]


def test_its_axis_shows_the_time_of_the_campaigns_zone(morning: World) -> None:
    report = compare(morning.ledger, 1, Setup())
    figure = Figure()
    axes = figure.subplots()
    pictures._over_time(axes, report)
    figure.draw_without_rendering()
    shown = [label.get_text() for label in axes.get_xticklabels()]
    first = min(at for column in report.columns for at, _ in column.hours)
    assert any(f"{first.astimezone(ZoneInfo(report.zone)):%H:}" in text for text in shown)
    assert not any(f"{first:%H:}" in text for text in shown)


def test_a_picture_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"FILE\.svg or FILE\.png"):
        pictures.require_drawable(tmp_path / "compare.gif")
    with pytest.raises(InvalidInput, match="can not be written"):
        pictures.require_drawable(tmp_path / "nowhere" / "compare.svg")


def test_no_socket_is_opened_while_a_replay_runs() -> None:
    import socket

    with replaying():
        with pytest.raises(NetworkInReplay):
            socket.socket()
        with reading(), socket.socket() as allowed:
            assert allowed.fileno() >= 0
    with socket.socket() as allowed:
        assert allowed.fileno() >= 0
