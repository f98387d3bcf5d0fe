"""What the old application did comes into the ledger: once, whole, again and again, and whatever kills it."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

import runner.legacy.importing
from tests.cli.desk import Desk
from tests.cutover import victim
from tests.cutover.office import Office
from tests.databases import on_sqlite
from tests.faults.processes import ended, started
from tests.faults.steps import Fault, kill
from tests.legacy.old_sample import Place
from tests.legacy.old_system import NOW

ZIMA = "Zima"


def killed_at(office: Office, step: str, nth: int) -> None:
    words = ("legacy", "import", office.url, "--mailbox", "sales", "--campaign", office.number(ZIMA))
    ours = {name: value for name, value in os.environ.items() if name.startswith("SENDLEDGER_")}
    plan = victim.Plan(office.desk.folder, words, ours, Fault(step, nth, kill))
    assert ended(started(victim.run, plan)) == -signal.SIGKILL


def looked_at(office: Office) -> Any:
    """The campaign as an analysis sees it, and each lead."""
    number = office.number(ZIMA)
    found = office.desk.rows("cutover", "analyze", number)
    return found, office.desk.rows("leads", "list", number, "--limit", "100")


@pytest.mark.parametrize(("step", "nth"), [("before", 3), ("after", 9)])
def test_a_killed_import_is_not_taken_over_and_run_again_ends_like_one_that_was_not(
    office: Office, monkeypatch: pytest.MonkeyPatch, step: str, nth: int
) -> None:
    killed_at(office, f"{step} an append of an import", nth)
    number = office.number(ZIMA)
    said = office.desk.refused("legacy", "takeover", number, "--old-sender-stopped", "--settle", "0")
    assert f"the import of campaign-{number} was broken off; run `sendledger legacy import` again" in said
    assert "import-incomplete" in office.desk.says("cutover", "analyze", number).out

    monkeypatch.setattr(runner.legacy.importing, "AT_ONCE", victim.BATCH)
    office.imports(ZIMA)
    ends = looked_at(office)
    before = office.desk.kept()
    office.imports(ZIMA)
    assert office.desk.kept() == before
    assert ends == unbroken(office)


def unbroken(office: Office) -> Any:
    """What one whole import of the same database comes to, in a ledger of its own."""
    folder = office.desk.folder.parent / "beside"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("SENDLEDGER_DATABASE_URL", raising=False)
        desk = Desk(folder)
        desk.ledger(clock=NOW.isoformat())
        desk.mailbox(office.sink.port)
        other = Office(desk, office.old, office.sample, office.sink)
        other.imports(ZIMA)
        return looked_at(other)


@on_sqlite
def test_what_is_followed_is_what_happened_there(office: Office) -> None:
    office.imports(ZIMA)
    first, second, third, *_ = office.leads(ZIMA, Place.CLEAN_WAITING)
    old = office.application(ZIMA)
    old.start_sending(first)
    old.fail(second)
    old.block(third)
    new = old.add_lead("nowa@firma.example", status="planned")
    old.pause()
    told = office.desk.rows("legacy", "follow", office.url)["campaigns"][0]
    assert (told["leads"], told["statuses"], told["sends"], told["mailed_by"]) == (1, 2, 0, "old system")
    [campaign] = office.desk.rows("campaign", "list")
    assert campaign["status"] == "paused"
    states = {row["lead_id"]: row["state"] for row in office.desk.rows("leads", "list", "2", "--limit", "100")}
    assert (states[first], states[second], states[third], states[new]) == ("locked", "failed", "queued", "queued")
    blocked = office.desk.rows("cutover", "analyze", "2")["findings"]
    assert third in next(found["leads"] for found in blocked if found["rule"] == "blocked-but-waits")
    before = office.desk.kept()
    office.desk.done("legacy", "follow", office.url)
    assert office.desk.kept() == before


def test_addresses_that_wander_there_are_followed_and_nobody_is_mailed_twice(office: Office) -> None:
    office.imports(ZIMA)
    first, second, third, fourth, *_ = office.leads(ZIMA, Place.CLEAN_WAITING)
    mailed = office.leads(ZIMA, Place.CLEAN_SENT)[0]
    old = office.application(ZIMA)
    swapped = {first: office.sample.address(second), second: office.sample.address(first)}
    for lead, address in ((first, "na-chwile@firma.example"), (second, swapped[second]), (first, swapped[first])):
        old.change_lead(lead, email=address)
    old.change_lead(fourth, email="czwarta@firma.example")
    old.change_lead(third, email=office.sample.address(fourth))
    old.change_lead(mailed, email="przeniesiona@firma.example")
    again = old.add_lead(office.sample.address(mailed))
    for _ in range(2):
        office.desk.done("legacy", "follow", office.url)
        found = office.desk.rows("cutover", "analyze", office.number(ZIMA))["findings"]
        assert again in next(one["leads"] for one in found if one["rule"] == "one-address-two-leads")
    office.fixes(ZIMA)
    office.takes_over(ZIMA)
    office.runs(7 * 24 * 60)
    went = office.delivered()
    assert office.sample.address(mailed) not in went
    assert max(map(went.count, went)) == 1
    assert {*swapped.values(), office.sample.address(fourth), "czwarta@firma.example"} <= set(went)


@on_sqlite
def test_a_dry_run_of_everything_changes_nothing_and_says_what_the_import_says(office: Office) -> None:
    before = office.desk.everything()
    told = office.imports(dry=True)
    assert office.desk.everything() == before
    assert office.imports() == told


@on_sqlite
def test_what_cannot_be_taken_in_is_named(office: Office) -> None:
    desk = office.desk
    assert "there is no campaign 77 in" in desk.refused(
        "legacy", "import", office.url, "--mailbox", "sales", "--campaign", "77"
    )
    assert "there is no mailbox nobody" in desk.refused("legacy", "import", office.url, "--mailbox", "nobody")
    assert "there is no such file" in desk.refused("legacy", "import", "sqlite:///gone.db", "--mailbox", "sales")
    desk.campaign()
    said = desk.refused("legacy", "import", office.url, "--mailbox", "sales", "--campaign", "1")
    assert "campaign-1 was made here" in said
