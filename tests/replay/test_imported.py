"""The past of a campaign that came from an old system: laid out as it happened, held against our V1, and its violations
shown as its own; what our V1 did after it took over is replayed in its very ticks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta

import pytest

from domain.campaign import Campaign, evolve
from domain.replay.imported import fold
from domain.replay.past import Setup
from domain.replay.report import Report
from domain.replay.travel import laid_out_at
from domain.snapshot import freeze
from projections.database import sqlite_url
from runner.replaying import checking
from runner.replaying.comparing import compare
from runner.replaying.history import History
from runner.sink import Sink
from runner.store.ledger import Ledger
from tests.cli.conftest import desk_on_each, environment, folder, fresh_logs  # noqa: F401 - fixtures of those who use a desk
from tests.cli.desk import Desk
from tests.cutover.conftest import office, sink  # noqa: F401 - the same
from tests.cutover.office import Office
from tests.databases import on_sqlite
from tests.legacy.old_sample import WARSAW, Sample
from tests.legacy.old_system import NOW, fill

pytestmark = on_sqlite

MINUTE = timedelta(minutes=1)
THURSDAY = datetime(2025, 11, 20, 9, tzinfo=WARSAW)
A_DAY, WAITING = 12, 4


def well_behaved() -> Sample:
    """Two days of an old system by its rules: from nine o'clock on, oldest first, every other minute, to the limit."""
    old = Sample(NOW)
    number = old.campaign("Porządna", "IN_PROGRESS", sendingStartedAt=THURSDAY, maxEmailsPerDay=A_DAY)
    for nth in range(2 * A_DAY):
        day, mail = divmod(nth, A_DAY)
        old.sent(number, THURSDAY + timedelta(days=day) + 2 * mail * MINUTE)
    for _ in range(WAITING):
        old.lead(number, "queued")
    old.mailbox("anna@nadawca.example")
    return old


@pytest.fixture
def tidy(desk_on_each: Desk, sink: Sink) -> Office:  # noqa: F811
    """An office whose old database has that campaign alone."""
    url, made = sqlite_url(desk_on_each.folder.parent / "old.db"), well_behaved()
    fill(url, made)
    desk_on_each.ledger(clock=NOW.isoformat())
    desk_on_each.mailbox(sink.port)
    return Office(desk_on_each, url, made, sink)


@pytest.fixture
def zima(office: Office) -> Office:  # noqa: F811
    """Everything that can be wrong, mended and taken over; and half an hour of our V1."""
    office.makes_ours("Zima")
    office.runs(30)
    return office


@contextmanager
def ledger(at_work: Office) -> Iterator[Ledger]:
    with closing(Ledger(sqlite_url(at_work.desk.folder / "sendledger.db"))) as opened:
        yield opened


def compared(at_work: Office, number: int = 2, setup: Setup | None = None) -> Report:
    with ledger(at_work) as opened:
        return compare(opened, number, setup or Setup())


def shares(report: Report) -> dict[str, float | None]:
    return {one.sender: one.share for one in report.fidelity if one.mails}


def test_an_old_system_that_kept_the_rules_is_replayed_by_our_v1(tidy: Office) -> None:
    number = int(tidy.makes_ours("Porządna"))
    tidy.runs(30)

    report = compared(tidy, number)

    assert shares(report) == {"old system": 1.0, "v1": 1.0}
    assert report.columns[0].mails == 2 * A_DAY + WAITING
    assert report.breaches == []
    assert report.proof is not None
    assert report.proof.mutants_missed == []
    assert report.proof.same_twice
    assert "one in 60 s, from 2025-11-20 08:00 to 2025-11-21 08:22 UTC" in report.assumed[0]


@pytest.mark.parametrize("is_free", [False, True])
def test_what_an_old_system_broke_is_shown_as_its_own_and_our_v1_is_faithful(zima: Office, is_free: bool) -> None:
    report = compared(zima, setup=Setup(is_free=is_free))

    assert shares(report)["v1"] == 1.0
    assert (shares(report)["old system"] or 0) < 0.995
    assert {(one.column, one.name): one.cases for one in report.breaches} == {("R", "DUPLICATE"): 3, ("R", "LIMIT"): 1}
    assert report.verdict == "INCONCLUSIVE"
    assert "of what the old system did" in report.why


def test_a_check_blames_our_code_for_nothing_that_an_old_system_did(zima: Office) -> None:
    with ledger(zima) as opened:
        checked = checking.decided_again(opened, 2, Setup())

    ours, old = checked.senders
    assert (ours.sender, ours.mails, ours.same) == ("v1", 5, 5)
    assert old.sender == "old system"
    assert old.same < old.mails
    assert checked.unexplained == 0


def test_time_travel_goes_back_behind_the_import(zima: Office) -> None:
    """By the Monday evening three had been mailed; the import is of the week after."""
    monday = datetime(2025, 11, 17, 20, tzinfo=WARSAW)

    with ledger(zima) as opened:
        then = laid_out_at("campaign-2", History(opened.histories, [2]).rows(), monday)

    assert [(one.sender, one.outcome) for one in then.attempts.values()] == [("old system", "sent")] * 3
    assert then.campaign.mails.on_date_of(monday, "Europe/Warsaw") == 3
    assert len(then.waiting()) > 15


def test_in_the_end_the_campaign_is_what_the_ledger_has_of_it(zima: Office) -> None:
    with_past, raw = Campaign("campaign-2"), Campaign("campaign-2")
    with ledger(zima) as opened:
        for _, event in History(opened.histories, [2]).rows():
            if event.originator_id == with_past.stream:
                fold(with_past, event)
        for event in opened.stream(raw.stream):
            evolve(raw, event)

    assert freeze(with_past) == freeze(raw)


def test_one_lead_is_explained_across_the_import(zima: Office) -> None:
    said = zima.desk.done("compare", "explain", "2", "--lead", "6")

    assert "2025-11-17 11:00" in said


def test_a_campaign_that_is_still_observed_is_compared_too(office: Office) -> None:  # noqa: F811
    """Its mails of two imports; nobody here ticked for it."""
    office.imports("Zima")
    lead = office.desk.rows("leads", "list", "2")[0]["lead_id"]
    office.application("Zima").finish(lead, "<late@nadawca.example>")
    office.imports("Zima")
    office.runs(5)

    report = compared(office)

    assert set(shares(report)) == {"old system"}
    assert report.columns[0].mails == 16
