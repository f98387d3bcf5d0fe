"""The report: the published schema, the same bytes for the same history, and verdicts that follow their rules."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

import jsonschema
import pytest
from matplotlib.figure import Figure

from domain.errors import InvalidInput
from domain.replay import slices
from domain.replay.accepting import Acceptance, accept, conditions
from domain.replay.classes import ACCEPTABLE, CRITICAL, DifferenceClass
from domain.replay.findings import A
from domain.replay.past import Setup
from domain.replay.report import Report
from domain.replay.reporting import About, report
from domain.replay.sides import Side, WhatIf
from runner.replaying import comparing, pictures
from runner.replaying.comparing import compare, compare_many, proved_of, shares
from runner.replaying.comparing import run as pass_over
from runner.replaying.history import History
from runner.replaying.isolation import NetworkInReplay, reading, replaying
from runner.replaying.what_if import sides
from tests.databases import on_sqlite
from tests.faults.world import World
from tests.replay.given import HOUR, MINUTE, MONDAY, OFFICE, PACED, Recorded, run

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
def test_a_replay_that_is_not_what_happened_is_inconclusive_whatever_it_finds(morning: World) -> None:
    report = compare(morning.ledger, 1, Setup(a=Side("v1", WhatIf(delay_s=600)), b=Side("v2", WhatIf(delay_s=600))))

    assert (report.verdict, report.exit_code) == ("INCONCLUSIVE", 3)


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
def test_a_policy_that_raises_where_nothing_is_sent_is_different(world: World) -> None:
    world.campaign(1, "v1", ["lead"], limits=PACED, schedule=OFFICE, v1_status="replied")
    run(world, MONDAY, MONDAY + 5 * MINUTE)
    history, setup = History(world.ledger.histories, [1]), Setup(b=Side("v2", policy=raising))
    cases, _ = pass_over(history, setup)
    about = About(1, 1, "", 1, 1, None, None, "", "")

    told = report(cases["campaign-1"], setup, about, None)

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


def test_an_expired_rule_accepts_nothing() -> None:
    from domain.replay.accepting import Rulebook
    from domain.replay.classes import Difference, Pattern

    shift = Difference(DifferenceClass.SHIFT, 1, 1, None, MONDAY, MONDAY + HOUR, "delay", True, Pattern.DIFFERENCE)
    known = Acceptance(DifferenceClass.SHIFT, "", "fine", "anna", date(2026, 10, 4), 9)

    assert Rulebook([known], date(2026, 10, 4)).accepts(shift)
    assert not Rulebook([known], date(2026, 10, 5)).accepts(shift)


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
        pictures.draw(None, tmp_path / "compare.gif")  # type: ignore[arg-type]


def test_no_socket_is_opened_while_a_replay_runs() -> None:
    import socket

    with replaying():
        with pytest.raises(NetworkInReplay):
            socket.socket()
        with reading(), socket.socket() as allowed:
            assert allowed.fileno() >= 0
    with socket.socket() as allowed:
        assert allowed.fileno() >= 0
