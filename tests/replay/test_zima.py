"""The sample's campaign Zima on its way to V2, compared at every stage by the command: its past is the old system's,
and what our senders did is theirs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.conftest import desk_on_each, environment, folder, fresh_logs  # noqa: F401 - fixtures of those who use a desk
from tests.cli.desk import Desk, Said
from tests.cutover.conftest import office, sink  # noqa: F401 - the same
from tests.cutover.office import Office
from tests.databases import on_sqlite
from tests.legacy.old_sample import Place

EQUIVALENT, INCONCLUSIVE = 0, 3
TAKEN_OVER = "2025-11-25T13:08"
OURS = "--from", TAKEN_OVER


def taken_in(at_work: Office) -> None:
    at_work.imports("Zima")


def observed(at_work: Office) -> None:
    """Both senders tick and leave it alone; the old system mails one more, which the next import brings."""
    taken_in(at_work)
    at_work.runs(90)
    [lead, *_] = at_work.leads("Zima", Place.CLEAN_WAITING)
    at_work.application("Zima").finish(lead, "<late@nadawca.example>")
    at_work.imports("Zima")


def ours(at_work: Office) -> None:
    """Some minutes later: both senders were started twice meanwhile, and had nothing to do."""
    taken_in(at_work)
    for minutes in (4, 8):
        at_work.runs(minutes)
    at_work.fixes("Zima")
    at_work.takes_over("Zima")


def mailed_by_v1(at_work: Office) -> None:
    ours(at_work)
    at_work.runs(30)


def mailed_by_v2(at_work: Office) -> None:
    """Then nobody is left, and both tick for hours; somebody is put back to V1."""
    ours(at_work)
    at_work.runs(11)
    at_work.moves("migrate", "2")
    at_work.runs(300)
    at_work.moves("rollback", "2")
    at_work.runs(330)


def compared(desk: Desk, *options: str) -> tuple[int, dict[str, Any]]:
    said = desk.says("compare", "run", "2", "--format", "json", *options)
    return said.code, json.loads(said.out)


def broken(report: dict[str, Any], column: str) -> dict[str, int]:
    return {one["name"]: one["cases"] for one in report["breaches"] if one["column"] == column}


def leads_of(report: dict[str, Any], name: str) -> set[int]:
    """Whom the examples of this broken rule name."""
    named = (words for one in report["breaches"] if one["name"] == name for words in one["examples"])
    return {int(words.removeprefix("lead ").split(",")[0]) for words in named}


def fidelity(report: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """By sender: how many mails are held against the record, and how many are the same."""
    return {one["sender"]: (one["mails"], one["same"]) for one in report["fidelity"] if one["mails"]}


@on_sqlite
@pytest.mark.parametrize("mode", ["locked", "free"])
@pytest.mark.parametrize(
    ("stage", "ours_then"),
    [
        (taken_in, {}),
        (observed, {}),
        (ours, {}),
        (mailed_by_v1, {"v1": (5, 5)}),
        (mailed_by_v2, {"v1": (2, 2), "v2": (3, 3)}),
    ],
)
def test_each_stage_is_compared(
    office: Office,  # noqa: F811
    stage: Callable[[Office], None],
    ours_then: dict[str, tuple[int, int]],
    mode: str,
) -> None:
    stage(office)

    code, report = compared(office.desk, "--mode", mode)

    of_old = fidelity(report).pop("old system")
    assert fidelity(report) == ours_then | {"old system": of_old}
    assert of_old[0] > of_old[1]
    assert (code, report["verdict"]) == (INCONCLUSIVE, "INCONCLUSIVE")
    assert report["why"].endswith("of what the old system did")
    assert broken(report, "R") == {"DUPLICATE": 3, "LIMIT": 1}
    assert broken(report, "A") == broken(report, "B") == {}
    assert leads_of(report, "DUPLICATE") == set(office.leads("Zima", Place.SENT_TWICE))
    assert "ticks of the old system, one in 60 s, from 2025-11-17 10:00 to 2025-11-2" in report["assumed"][0]
    proof = report["proof"]
    assert (proof["looked_ahead"], proof["same_twice"], proof["same_from_snapshot"]) == (0, True, True)
    assert (proof["identity_differences"], proof["mutants_missed"]) == (0, [])
    assert proof["looks"] >= 10


@on_sqlite
def test_our_part_alone_is_equivalent(office: Office) -> None:  # noqa: F811
    mailed_by_v1(office)

    code, report = compared(office.desk, *OURS)

    assert (code, fidelity(report)) == (EQUIVALENT, {"v1": (5, 5)})
    assert report["breaches"] == report["assumed"] == []


def test_a_mail_of_the_old_system_after_that_is_its_own_duplicate(office: Office) -> None:  # noqa: F811
    mailed_by_v1(office)
    mailed = office.desk.rows("sendlog", "2", "--limit", "1")[0]["lead_id"]
    office.application("Zima").log(mailed, "<again@nadawca.example>")
    assert office.desk.says("legacy", "follow", office.url).code == 1

    code, report = compared(office.desk)

    assert (code, broken(report, "R")) == (INCONCLUSIVE, {"DUPLICATE": 4, "LIMIT": 1})
    assert broken(report, "A") == broken(report, "B") == {}
    assert fidelity(report)["v1"] == (5, 5)


def test_a_campaign_of_ours_is_compared_as_if_no_past_lay_beside_it(office: Office) -> None:  # noqa: F811
    office.desk.campaign(("delay_s = 90", "delay_s = 60"))
    office.runs(2)
    mailed_by_v1(office)
    alone = office.desk.says("compare", "run", "1", "--format", "json")

    both = office.desk.says("compare", "run", "--all", "--format", "json")

    reports = {one["name"]: one for one in json.loads(both.out)}
    assert both.code == INCONCLUSIVE
    assert reports["Autumn 2026"] == json.loads(alone.out)
    assert reports["Zima"] == compared(office.desk)[1]
    assert alone.code == EQUIVALENT


@pytest.fixture
def on_its_way(office: Office) -> Office:  # noqa: F811
    mailed_by_v2(office)
    return office


@on_sqlite
def test_time_travel_shows_the_past_before_the_import_and_the_record_after_it(on_its_way: Office) -> None:
    def then(time: str) -> dict[str, Any]:
        seen: dict[str, Any] = on_its_way.desk.rows("replay", "at", "2", time)
        return seen

    before, after = then("2025-11-19T11:12"), then(TAKEN_OVER)

    assert (before["status"]["owner"], before["status"]["in_doubt"]) == ("old system", 0)
    assert {one["sender"] for one in before["send_log"]} == {"old system"}
    assert before["send_log"][0]["finished_at"] == "2025-11-19T10:10:00.000000+00:00"
    assert (after["status"]["owner"], after["status"]["in_doubt"]) == ("v1", 3)
    assert len(after["send_log"]) > len(before["send_log"])
    assert then("2025-11-01T09:00")["status"] is None


@on_sqlite
def test_a_check_blames_our_code_for_nothing_that_the_old_system_did(on_its_way: Office) -> None:
    said: Said = on_its_way.desk.says("replay", "check", "2", "--format", "json")

    rows = {row["sender"]: row for row in json.loads(said.out)}
    assert said.code == 0
    assert (rows["v1"]["differ"], rows["v2"]["differ"]) == (0, 0)
    assert rows["old system"]["causes"] == f"{rows['old system']['differ']} the old system's own way"


@on_sqlite
def test_one_lead_is_explained_from_its_first_mail_to_its_last(on_its_way: Office) -> None:
    [_, thrice] = on_its_way.leads("Zima", Place.SENT_TWICE)

    told = on_its_way.desk.rows("compare", "explain", "2", "--lead", str(thrice))

    mails = [row["at"][:16] for row in told if row["says"] == "EmailSent"]
    assert mails == ["2025-11-19T10:20", "2025-11-19T10:20", "2025-11-20T10:03"]
    assert {row["column"] for row in told} == {"R", "A", "B"}
