"""A campaign of the old application on its whole way to V2 and back, in the order in which a person goes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cutover.office import WHY, Office
from tests.databases import on_postgresql
from tests.legacy.old_sample import Place

ZIMA = "Zima"


def test_the_whole_way(office: Office) -> None:
    goes_the_whole_way(office)


@on_postgresql
def test_the_whole_way_from_an_old_database_on_a_server(office_on_servers: Office) -> None:
    goes_the_whole_way(office_on_servers)


def goes_the_whole_way(office: Office) -> None:
    looks_before_taking_in(office)
    takes_in_and_follows(office)
    mends(office)
    office.takes_over(ZIMA)
    moves_back_and_forth_while_mails_leave(office)
    finds_that_all_is_well(office)
    sees_who_did_what(office)


def looks_before_taking_in(office: Office) -> None:
    before = office.desk.kept()
    [told] = office.imports(ZIMA, dry=True)
    assert (told["leads"], told["sends"], told["fixable"], told["blocks"]) == (26, 15, 6, 0)
    assert office.desk.kept() == before


def takes_in_and_follows(office: Office) -> None:
    [told] = office.imports(ZIMA)
    assert (told["leads"], told["sends"], told["alarms"], told["mailed_by"]) == (26, 15, 3, "old system")
    before = office.desk.kept()
    [again] = office.imports(ZIMA)
    assert (again["leads"], again["statuses"], again["sends"]) == (0, 0, 0)
    assert office.desk.kept() == before
    old, first = office.application(ZIMA), office.leads(ZIMA, Place.CLEAN_WAITING)[0]
    old.start_sending(first)
    old.finish(first, "<mail.old@nadawca.example>")
    told = office.desk.rows("legacy", "follow", office.url)
    assert [(row["statuses"], row["sends"]) for row in told["campaigns"]] == [(1, 1)]
    assert told["violations"] == []
    office.runs(1)
    assert office.delivered() == []


def mends(office: Office) -> None:
    number = office.number(ZIMA)
    said = office.desk.refused("legacy", "takeover", number, "--old-sender-stopped", "--settle", "0")
    assert "somebody waits who must not be mailed" in said
    office.fixes(ZIMA)
    assert office.desk.rows("cutover", "fix", number)["repairs"] == []
    doubts = {row["lead_id"] for row in office.desk.rows("in-doubt", "list")}
    assert doubts == {*office.leads(ZIMA, Place.IN_DOUBT), office.leads(ZIMA, Place.TWO_STATES)[0]}


def moves_back_and_forth_while_mails_leave(office: Office) -> None:
    number = office.number(ZIMA)
    office.runs(2)
    assert office.sent_by(number) == {"v1": 1}
    before = office.desk.kept()
    assert "Would make campaign 2 V2's, epoch 3" in office.desk.done("cutover", "migrate", number, *WHY, "--dry-run")
    assert office.desk.kept() == before
    assert office.moves("migrate", number)["owner"] == "v2, epoch 3"
    office.runs(4)
    assert office.moves("rollback", number)["owner"] == "v1, epoch 4"
    office.runs(6)
    assert office.moves("migrate", number)["owner"] == "v2, epoch 5"
    office.runs(60)


def finds_that_all_is_well(office: Office) -> None:
    number = office.number(ZIMA)
    waited = office.leads(ZIMA, Place.CLEAN_WAITING)[1:]
    assert office.delivered() == office.addresses(*waited)
    assert set(office.sent_by(number)) == {"v1", "v2"}
    answers = {row["question"]: row["verdict"] for row in verified(office, number)}
    assert "FAIL" not in answers.values()
    assert answers["is nobody mailed twice?"] == answers["does only the owner send?"] == "PASS"


def verified(office: Office, number: str) -> Any:
    said = office.desk.says("cutover", "verify", number)
    assert said.code == 0, said.out
    return office.desk.rows("cutover", "verify", number)


def sees_who_did_what(office: Office) -> None:
    number = office.number(ZIMA)
    steps = [row["step"] for row in office.desk.rows("cutover", "history", number)]
    assert [step for step in steps if "import" not in step] == [
        *("fixed", "taken over", "migrated", "rolled back", "migrated"),
    ]
    row = office.owner(number)
    assert (row["owner"], row["epoch"], row["by"], row["reason"]) == ("v2", 5, "anna", "as planned")


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_analysis_ends_with_1_where_a_finding_blocks_and_with_0_elsewhere(office: Office, form: str) -> None:
    office.imports(ZIMA, "Jesień")
    for name, code in ((ZIMA, 0), ("Jesień", 1)):
        said = office.desk.says("cutover", "analyze", office.number(name), "--format", form)
        assert said.code == code
        assert ("waits-though-completed" in said.out) == (name == "Jesień")
