"""Plans, moves and their end: what is refused and stays as it is, what is flagged, and when V1 goes."""

from __future__ import annotations

import pytest

from tests.cutover.office import WHY, Office
from tests.databases import on_sqlite
from tests.legacy.old_sample import Place

pytestmark = on_sqlite

NO_DATA = 3


def test_a_plan_is_applied_as_it_was_reviewed_or_not_at_all(office: Office) -> None:
    office.imports("Zima")
    plan = office.desk.rows("cutover", "fix", "2")["plan"]
    old, doubtful = office.application("Zima"), office.leads("Zima", Place.IN_DOUBT)[0]
    old.finish(doubtful, "<so.it.was@nadawca.example>")
    office.desk.done("legacy", "follow", office.url)
    assert f"has moved on since plan {plan} was made" in office.desk.refused("cutover", "fix", "2", "--plan", plan)
    office.fixes("Zima")
    [fixed] = office.desk.events("FixApplied")
    assert sum(fixed["repairs"].values()) == 8


def test_a_migration_is_refused_while_it_is_observed_or_a_finding_blocks(office: Office) -> None:
    office.imports("Jesień", "Zima")
    assert "is only observed: the old system mails it" in office.desk.refused("cutover", "migrate", "2", *WHY)
    assert "is only observed" in office.desk.refused("cutover", "use-v2", "2")
    office.takes_over("Jesień")
    assert "waits-though-completed" in office.desk.refused("cutover", "migrate", "1", *WHY)
    assert "--reason" in office.desk.refused("cutover", "migrate", "1", "--reason", "")


def test_a_flagged_campaign_is_migrated_by_the_next_tick_of_v2(office: Office) -> None:
    number = office.makes_ours("Targi")
    office.desk.done("cutover", "use-v2", number, *WHY)
    assert (office.owner(number)["owner"], office.owner(number)["flagged"]) == ("v1", "yes")
    office.desk.done("tick", "v1")
    assert office.owner(number)["owner"] == "v1"
    office.desk.done("tick", "v2")
    row = office.owner(number)
    assert (row["owner"], row["by"], row["reason"], row["flagged"]) == ("v2", "V2's tick", "flagged for V2", "")


def test_a_flagged_campaign_that_cannot_be_migrated_says_why_and_says_it_once(office: Office) -> None:
    office.makes_ours("Jesień")
    office.desk.done("cutover", "use-v2", "1")
    for minute in (1, 5):
        office.runs(minute)
    [refused] = office.desk.events("MigrationRefused")
    assert "waits-though-completed" in refused["reason"]
    assert office.owner("1")["flagged"] == refused["reason"]
    office.desk.done("campaign", "cancel", "1")
    office.desk.done("cutover", "rollback", "1", *WHY)
    assert office.owner("1")["flagged"] == ""


def test_a_verification_without_data_ends_with_3_and_says_where_it_begins(office: Office) -> None:
    number = office.makes_ours("Wiosna")
    said = office.desk.says("cutover", "verify", number)
    assert said.code == NO_DATA
    assert "NO DATA" in said.out
    assert "FAIL" not in said.out
    office.imports("Zima")
    since_ever = office.desk.says("cutover", "verify", "2", "--since", "2020-01-01T00:00Z")
    assert (since_ever.code, "FAIL" in since_ever.out) == (1, True)  # it was mailed twice, there


def test_v1_retires_when_nothing_is_left_on_it_and_comes_back_with_a_roll_back(office: Office) -> None:
    number = office.makes_ours("Targi")
    assert f"V1 still has campaigns: {number}" in office.desk.refused("cutover", "retire-v1")
    office.runs(2)
    office.moves("migrate", number)
    assert "Nothing was changed" in office.desk.done("cutover", "retire-v1", "--dry-run")
    office.desk.done("cutover", "retire-v1", "--reason", "all on V2")
    assert "V1 is retired already" in office.desk.refused("cutover", "retire-v1")
    assert "V1 is retired: its tick is off." in office.desk.done("cutover", "owners")
    office.runs(10)
    office.runs(15)
    assert {row["kind"] for row in office.desk.rows("ticks", "--sender", "v1")} <= {"work", "idle"}, "none is missed"
    ticks = len(office.desk.rows("ticks", "--sender", "v1"))
    said = office.desk.done("cutover", "rollback", number, *WHY)
    assert "V1 was retired: its tick goes on again." in said
    office.runs(20)
    assert len(office.desk.rows("ticks", "--sender", "v1")) > ticks
    assert "there is nothing to roll back" in office.desk.done("cutover", "rollback", number, *WHY)


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_each_listing_can_be_read_in_each_form(office: Office, form: str) -> None:
    number = office.makes_ours("Targi")
    for words in ("owners", f"history {number}", f"fix {number}"):
        assert office.desk.done("cutover", *words.split(), "--format", form)
    assert "epoch" in office.desk.done("cutover", "migrate", number, *WHY, "--format", form) or form == "csv"
    assert office.owner(number)["owner"] == "v2"
