"""`compare`, `replay` and `shadow` as a user runs them: what they say, and how they end."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.replay.report import Report
from runner.cli.comparing import worst
from runner.sink import Sink
from tests.cli.desk import DONE, FAILED, MONDAY, Desk

INCONCLUSIVE = 3
EVENING = f"{MONDAY}T18:00+02:00"
TUESDAY = "2026-10-06"


@pytest.fixture
def past(desk: Desk, sink: Sink) -> Desk:
    """A day of one campaign on V1; one address is refused for good, one at first."""
    desk.ledger()
    desk.mailbox(sink.port)
    desk.campaign()
    desk.done("run", "--until", EVENING)
    return desk


def test_a_campaign_is_compared_and_everything_a_person_wants_is_said(past: Desk) -> None:
    said = past.says("compare", "run", "1", "--tolerance", "1h")

    assert said.code == DONE, said
    of_v1 = "R vs A  100.00% of 5 by v1"
    for words in ("Self-check", "mutants 3/3", of_v1, "100.00% strict", "EQUIVALENT", "not seen:"):
        assert words in said.out


def test_what_differs_ends_with_1_and_as_json_with_all_there_is(past: Desk) -> None:
    said = past.says("compare", "run", "1", "--tolerance", "1m", "--format", "json")
    report = json.loads(said.out)

    assert said.code == FAILED
    assert report["verdict"] == "DIFFERENT"
    assert {one["name"] for one in report["classes"]} == {"SHIFT"}  # V2 backs off a quarter of an hour
    assert report["manifest"]["mode"] == "locked"


def test_what_if_says_mails_a_day_and_the_end(past: Desk) -> None:
    said = past.says("compare", "run", "1", "--set", "v2.every=30m")

    assert said.code == FAILED
    assert "B v2 (every 1800 s)" in said.out
    assert "mails a day" in said.out
    assert f"Ends B      {MONDAY} 11:00:00 Europe/Warsaw" in said.out


def test_nothing_sent_is_inconclusive(desk: Desk) -> None:
    desk.ledger()
    desk.mailbox()
    desk.campaign(started=False)

    said = desk.says("compare", "run", "1")

    assert said.code == INCONCLUSIVE
    assert "nothing was sent in this range" in said.out


def test_all_campaigns_are_listed_the_worst_first(past: Desk) -> None:
    past.campaign(
        ('name = "Autumn 2026"', 'name = "Never begun"'), people="email\nmia@customer.example\n", started=False
    )
    said = past.says("compare", "run", "--all", "--tolerance", "1m", "--format", "json")

    rows = json.loads(said.out)
    assert said.code == FAILED
    assert [row["verdict"] for row in rows] == ["DIFFERENT", "INCONCLUSIVE"]


@pytest.mark.parametrize(
    ("found", "code"),
    [
        ([("DIFFERENT", 5, 0), ("NOT DETERMINISTIC", 5, 0)], 4),
        ([("INCONCLUSIVE", 5, 0), ("DIFFERENT", 5, 0)], 1),
        ([("EQUIVALENT", 5, 0), ("DIFFERENT", 0, 1)], 1),  # nothing was sent, but a policy raised
        ([("EQUIVALENT", 5, 0), ("INCONCLUSIVE", 5, 0)], 3),
        ([("INCONCLUSIVE", 0, 0), ("EQUIVALENT", 5, 0)], 0),  # where nothing was sent, nothing is said
        ([("INCONCLUSIVE", 0, 0)], 3),
        ([], 3),
    ],
)
def test_the_worst_verdict_of_many_is_how_it_ends(found: list[tuple[str, int, int]], code: int) -> None:
    said: list[dict[str, Any]] = [dict(zip(("verdict", "judged", "critical"), one, strict=True)) for one in found]

    assert worst([Report.model_construct(**one) for one in said]) == code


def test_a_lead_is_explained_with_what_each_side_saw(past: Desk) -> None:
    rows = past.rows("compare", "explain", "1", "--lead", "2")

    says = {(row["column"], row["says"]) for row in rows}
    assert {("R", "EmailFailed"), ("A", "send lead 2"), ("B", "send lead 2")} <= says


def test_a_what_if_explains_a_lead_with_what_each_side_saw_of_its_own_mails(past: Desk) -> None:
    rows = past.rows("compare", "explain", "1", "--lead", "4", "--set", "v2.every=30m")

    seen = {
        (row["column"], row["says"]): (row["lead_is"], row["mails_today"], row["last_mail"][11:19]) for row in rows[1:]
    }
    assert seen["R", "EmailLocked"] == seen["A", "send lead 4"] == ("queued", 1, "07:04:00")
    assert seen["B", "send lead 4"] == ("queued", 2, "08:30:00")  # when the lead was sent, and three in all
    assert [row["at"] for row in rows] == sorted(row["at"] for row in rows)


def test_a_lead_that_came_later_is_explained(past: Desk) -> None:
    past.done("leads", "import", "1", past.write("more.csv", "email,first_name\nmia@customer.example,Mia\n"))
    past.done("run", "--until", f"{TUESDAY}T10:00+02:00")

    rows = past.rows("compare", "explain", "1", "--lead", "5")

    assert ("R", "EmailSent") in {(row["column"], row["says"]) for row in rows}


def test_accepted_differences_are_counted_apart(past: Desk) -> None:
    rule = ("--class", "SHIFT", "--where", "why=back-off", "--reason", "V2 backs off", "--expires", "2026-12-31")
    past.done("compare", "accept", "1", *rule, "--at-most", "5")

    said = past.says("compare", "run", "1", "--tolerance", "5m")

    assert said.code == DONE, said
    assert "100.00% with accepted" in said.out


def test_pictures_are_drawn(past: Desk, tmp_path: Path) -> None:
    past.says("compare", "run", "1", "--plot", str(tmp_path / "compare.svg"))

    assert (tmp_path / "compare.svg").read_text(encoding="utf-8").startswith("<?xml")


@pytest.mark.parametrize(
    "words",
    [
        ("compare", "run"),
        ("compare", "run", "1", "--all"),
        ("compare", "run", "7"),
        ("compare", "run", "1", "--set", "v2.colour=red"),
        ("compare", "run", "1", "--set", "v2.every=30m", "--mode", "locked"),
        ("compare", "run", "1", "--from", "yesterday"),
        ("compare", "run", "1", "--plot", "compare.gif"),
        ("compare", "run", "--all", "--plot", "compare.svg"),
        ("compare", "run", "--all", "--from", "2026-10-05T09:00"),
        ("compare", "run", "1", "--from", "2026-10-06T09:00", "--to", "2026-10-05T09:00"),
        ("compare", "explain", "1", "--lead", "99"),
        ("compare", "accept", "1", "--class", "WINDOW", "--reason", "r", "--expires", "2026-12-31", "--at-most", "1"),
        ("compare", "accept", "1", "--class", "SHIFT", "--reason", "r", "--expires", "soon", "--at-most", "1"),
        ("compare", "accept", "1", "--class", "SHIFT", "--reason", "r", "--expires", "2020-01-01", "--at-most", "1"),
        ("replay", "at", "7", MONDAY),
        ("replay", "at", "1", "noon"),
        ("replay", "at", "1", f"{MONDAY}T18:01"),
        ("replay", "check", "7"),
        ("shadow", "stop", "1"),
        ("shadow", "report", "1"),
        ("shadow", "start", "7"),
    ],
)
def test_what_cannot_be_done_changes_nothing_and_is_said(past: Desk, words: tuple[str, ...]) -> None:
    past.refused(*words)


def test_a_campaign_is_shown_as_it_was(past: Desk) -> None:
    then = past.rows("replay", "at", "1", f"{MONDAY}T09:03")
    early = past.done("replay", "at", "1", "2020-01-01T12:00")

    assert (then["status"]["sent"], then["status"]["queued"]) == (1, 2)
    assert then["send_log"][0]["lead_id"] == 2
    assert "There was no such campaign yet." in early


def test_up_to_now_nothing_more_has_happened_and_what_comes_then_is_not_known(desk: Desk) -> None:
    desk.done("init")
    desk.mailbox()
    desk.campaign()
    now = datetime.now(UTC)

    then = desk.rows("replay", "at", "1", now.isoformat())

    assert (then["status"]["status"], then["status"]["queued"]) == ("running", 4)
    assert "is still to come" in desk.refused("replay", "at", "1", (now + timedelta(days=1)).isoformat())


def test_todays_code_decides_as_was_recorded(past: Desk) -> None:
    said = past.says("replay", "check", "1")

    assert said.code == DONE
    assert "100.00%" in said.out


def test_a_shadow_decides_beside_the_owner(desk: Desk, sink: Sink) -> None:
    desk.ledger()
    desk.mailbox(sink.port)
    desk.campaign()
    desk.done("shadow", "start", "1")
    desk.done("run", "--until", EVENING)

    told = desk.rows("shadow", "report", "1")

    assert told["on"]
    assert told["decided"] == 5
    assert {row["shadow"] for row in told["decisions"]} == {"v2"}
    assert all(row["owner_sent"] for row in told["decisions"])
    [verified, *others] = desk.rows("cutover", "verify", "1")
    counted = {"sender": "v2", "owner": "v1", "due": 5, "tried": 5, "behind": 0, "held_by": "", "until": None}
    assert (verified["verdict"], {name: verified["shadow"][name] for name in counted}) == ("PASS", counted)
    assert {row["shadow"] for row in others} == {None}
    assert "5 due, 5 tried" in desk.done("cutover", "verify", "1")
    [row] = desk.rows("status")
    assert (row["shadow"], row["due"], row["tried"], row["behind"]) == ("v2", 5, 5, 0)
    assert row["shadow_since"] == verified["shadow"]["since"]
    watched = [line.split() for line in desk.done("status", "--watch").splitlines()]
    assert ["shadow", "since", "zone", "campaign", "due", "tried", "behind"] in watched
    assert ["5", "5", "0"] in [words[-3:] for words in watched]
    desk.done("shadow", "stop", "1")
    assert desk.rows("status")[0]["shadow"] is None
    assert "off" in desk.done("shadow", "report", "1")
