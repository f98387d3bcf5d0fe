"""The number of a campaign is not enough: another old database, an older copy, or the same one in another place."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from projections.database import sqlite_url
from tests.cutover.office import Office
from tests.databases import on_sqlite
from tests.legacy.old_sample import Place
from tests.legacy.old_system import NOW, build

ZIMA = "Zima"

pytestmark = on_sqlite


def another(office: Office) -> str:
    """A database of the same kind, with campaigns of the same numbers."""
    build(sqlite_url(beside(office)), now=NOW - timedelta(days=1))
    return f"sqlite:///{beside(office)}"


def copied(office: Office) -> str:
    """The database as it is at this moment."""
    shutil.copy(str(office.old.database), beside(office))
    return f"sqlite:///{beside(office)}"


def beside(office: Office) -> Path:
    return office.desk.folder.parent / "beside.db"


def takes_in(url: str) -> list[str]:
    return ["legacy", "import", url, "--mailbox", "sales", "--campaign", "2"]


def follows(url: str) -> list[str]:
    return ["legacy", "follow", url]


def takes_over(url: str, *more: str) -> list[str]:
    return ["legacy", "takeover", "2", "--old-sender-stopped", "--settle", "0", "--old-database", url, *more]


WAYS: list[Callable[[str], list[str]]] = [takes_in, follows, takes_over]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("moved", [False, True])
def test_another_one_is_refused_whatever_is_said_of_it(
    mended: Office, way: Callable[[str], list[str]], moved: bool
) -> None:
    words = [*way(another(mended)), *(["--moved"] if moved else []), *(["--set-use-v2"] if way is takes_over else [])]
    before = beside(mended).read_bytes()
    said = mended.desk.refused(*words)
    assert str(beside(mended)) in said
    assert beside(mended).read_bytes() == before


def test_what_was_there_before_at_the_same_place_is_told_apart_too(mended: Office) -> None:
    Path(str(mended.old.database)).unlink()
    build(mended.old, now=NOW - timedelta(days=1))
    said = mended.desk.refused(*follows(mended.url))
    assert "campaign-2 came from sqlite:///" in said
    assert "was made at 2025-10-25T10:00:00+00:00: another one" in said


@pytest.mark.parametrize("way", WAYS)
def test_the_same_one_in_another_place_is_followed_there_once_a_person_says_so(
    mended: Office, way: Callable[[str], list[str]]
) -> None:
    url = copied(mended)
    assert "add --moved" in mended.desk.refused(*way(url))
    mended.desk.done(*way(url), "--moved")
    mended.desk.done(*follows(url))
    assert "add --moved" in mended.desk.refused(*follows(mended.url))


@pytest.mark.parametrize("followed", [True, False])
def test_an_older_copy_is_not_the_database_that_the_old_system_works_on(mended: Office, followed: bool) -> None:
    url = copied(mended)
    old, lead = mended.application(ZIMA), mended.leads(ZIMA, Place.CLEAN_WAITING)[0]
    old.start_sending(lead)
    old.finish(lead, "<later@nadawca.example>")
    if followed:
        mended.desk.done(*follows(mended.url))
    for words in ([*follows(url), "--moved"], takes_over(url, "--moved")):
        assert "already: this is an older copy" in mended.desk.refused(*words)


def test_a_backup_that_was_restored_in_its_place_is_noted_and_refused_when_it_gives_numbers_again(
    mended: Office,
) -> None:
    backup = copied(mended)
    old = mended.application(ZIMA)
    for lead in mended.leads(ZIMA, Place.CLEAN_WAITING)[2:4]:
        old.start_sending(lead)
        old.finish(lead, f"<later.{lead}@nadawca.example>")
    mended.desk.done(*follows(mended.url))
    shutil.copy(backup.removeprefix("sqlite:///"), str(mended.old.database))
    mended.desk.done(*follows(mended.url))
    assert "sendlog-rows-gone" in mended.desk.says("cutover", "analyze", "2").out
    other = mended.application(ZIMA, NOW + timedelta(minutes=1))
    other.log(mended.leads(ZIMA, Place.CLEAN_WAITING)[1], "<another@nadawca.example>")
    said = mended.desk.refused(*follows(mended.url))
    assert "is another mail than the one that was taken in for campaign-2: an older copy was put in its place" in said


def test_the_place_is_kept_whole_however_it_is_typed(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(str(office.old.database), office.desk.folder / "old.db")
    office.desk.done(*takes_in("sqlite:///old.db"))
    sources = {event["source"] for event in office.desk.events("LegacyImported")}
    assert sources == {f"sqlite:///{office.desk.folder / 'old.db'}"}
    before = office.desk.kept()
    office.desk.done(*follows(f"sqlite:///../{office.desk.folder.name}/old.db"))
    assert office.desk.kept() == before
    monkeypatch.chdir(office.desk.folder.parent)
    monkeypatch.setenv("SENDLEDGER_SETTINGS", str(office.desk.folder / "sendledger.toml"))
    assert "no campaign of this ledger came from it" in office.desk.says(*follows("sqlite:///old.db")).err


def test_two_old_databases_are_followed_each_by_its_own_name(office: Office) -> None:
    office.imports(ZIMA)
    url = another(office)
    office.desk.done("legacy", "import", url, "--mailbox", "sales", "--campaign", "3")
    for place, number in ((office.url, 2), (url, 3)):
        [told] = office.desk.rows(*follows(place))["campaigns"]
        assert told["campaign"] == number
    assert [told["campaign"] for told in office.desk.rows(*follows(url), "--moved")["campaigns"]] == [3]
