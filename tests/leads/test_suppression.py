"""The suppression list: who is on it is skipped wherever they wait, and the database does not know who they are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection

import pytest
from sqlalchemy import RowMapping

from domain.errors import InvalidInput
from domain.rules import LockRefused
from runner.leads.lookups import Lookups
from runner.leads.problems import BadRows, RowProblem
from runner.suppression import PREFIX, Place, is_suppressed, suppress
from tests.leads.world import NOON, REASON, World, noon, people

ANNA = "anna.nowak@example.com"
LEADS = f"email,first_name\n{ANNA},Anna\njan@example.com,Jan\n"


class TestTheList:
    def test_it_holds_a_prefix_the_reason_the_time_and_who_asked(self, world: World) -> None:
        assert world.suppress(ANNA).added == 1
        [entry] = world.suppressions()
        assert (entry.reason, entry.added_at, entry.actor) == (REASON, NOON, "anna")
        assert len(entry.prefix) == PREFIX

    def test_no_address_and_no_key_is_anywhere_in_the_database(self, world: World) -> None:
        world.suppress("Ewa.Zielona@Elsewhere.Example", "żółw@müller.example")
        octets = world.octets()
        assert REASON.encode() in octets  # so a word that is there would be found
        said = octets.lower()
        for word in ("ewa", "zielona", "elsewhere", "żółw", "müller", "mller"):
            assert word.encode() not in said
        assert world.secret not in octets
        for unkeyed in (hashlib.sha256, hashlib.sha1, hashlib.md5, hashlib.blake2b):
            digest = unkeyed(b"ewa.zielona@elsewhere.example")
            assert digest.digest() not in octets
            assert digest.hexdigest().encode() not in octets

    def test_another_key_makes_another_entry_of_the_same_person(self, world: World) -> None:
        world.suppress(ANNA)
        suppress(world.ledger, b"another key", [ANNA], reason=REASON, actor="anna", now=noon)
        assert len({entry.prefix for entry in world.suppressions()}) == 2

    @pytest.mark.parametrize(
        ("listed", "asked"),
        [
            (ANNA, "ANNA.Nowak@EXAMPLE.com"),
            ("Jan@Müller.example", "jan@xn--mller-kva.example"),
            ("żaneta@example.com", "Z\u0307aneta@example.com"),
            (ANNA, f"  {ANNA} "),
        ],
    )
    def test_any_spelling_of_an_address_is_that_person(self, world: World, listed: str, asked: str) -> None:
        world.suppress(listed)
        assert is_suppressed(world.ledger, world.secret, asked)
        assert world.suppress(asked).already == 1
        assert world.unsuppress(asked) == 1
        assert not is_suppressed(world.ledger, world.secret, listed)

    def test_twice_is_once(self, world: World) -> None:
        world.load(LEADS)
        world.suppress(ANNA)
        before = world.everything()
        report = world.suppress(ANNA, ANNA.upper())
        assert (report.added, report.already, report.skipped) == (0, 1, 0)
        assert world.everything() == before

    def test_the_oldest_comes_first(self, world: World) -> None:
        times = [NOON.replace(hour=hour) for hour in (9, 7, 8)]
        for number, time in enumerate(times):
            address = f"person{number}@example.com"
            suppress(world.ledger, world.secret, [address], reason=REASON, actor="anna", now=iter([time]).__next__)
        assert [entry.added_at for entry in world.suppressions()] == sorted(times)


class TestAdding:
    def test_a_person_is_skipped_wherever_they_wait(self, world: World) -> None:
        for number, spelled in ((5, ANNA.upper()), (6, "Anna.Nowak@Example.com")):
            world.campaign(number)
            world.load(LEADS.replace(ANNA, spelled), number)
        world.load(LEADS)
        world.start(5)
        world.campaign(7)
        assert world.suppress(ANNA).skipped == 3
        for number in (4, 5, 6):
            assert world.skipped(number) == [(0, "suppressed")]
            assert (world.state(0, number), world.state(1, number)) == ("skipped", "queued")
        assert world.kinds(7) == ["CampaignCreated"]

    def test_their_mail_can_no_longer_be_locked(self, world: World) -> None:
        world.load(LEADS)
        world.start()
        world.suppress(ANNA)
        with pytest.raises(LockRefused):
            world.lock(0)
        world.lock(1)

    def test_a_campaign_is_completed_when_nobody_else_waits(self, world: World) -> None:
        world.load(LEADS)
        world.start()
        world.suppress(ANNA, "jan@example.com")
        assert world.kinds()[-3:] == ["EmailSkipped", "EmailSkipped", "CampaignCompleted"]

    def test_a_mail_that_waits_for_its_next_attempt_is_skipped(self, world: World) -> None:
        world.load(LEADS)
        world.start()
        world.fails(world.lock(0), permanent=False)
        assert world.suppress(ANNA).skipped == 1
        assert world.state(0) == "skipped"

    def test_a_mail_under_way_is_told_and_suppressing_again_skips_what_it_left_waiting(self, world: World) -> None:
        world.load(LEADS)
        world.start()
        token = world.lock(0)
        report = world.suppress(ANNA)
        assert (report.added, report.skipped, report.locked) == (1, 0, (Place(4, 1),))
        world.fails(token, permanent=False)
        report = world.suppress(ANNA)
        assert (report.already, report.skipped, report.locked) == (1, 1, ())
        assert world.state(0) == "skipped"

    @pytest.mark.parametrize(
        ("state", "bring"),
        [
            ("sent", lambda world: world.send(0)),
            ("failed", lambda world: world.fails(world.lock(0), permanent=True)),
            ("in doubt", lambda world: world.loses(world.lock(0))),
            ("skipped", lambda world: world.skip(0)),
        ],
    )
    def test_a_mail_that_no_longer_waits_stays_as_it_is(
        self, world: World, state: str, bring: Callable[[World], object]
    ) -> None:
        world.load(LEADS)
        world.start()
        bring(world)
        before = world.kinds()
        report = world.suppress(ANNA)
        assert (report.added, report.skipped, report.locked) == (1, 0, ())
        assert world.kinds() == before
        assert world.state(0) == state

    def test_someone_who_joins_another_campaign_at_the_last_moment_is_skipped_there_too(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world.load(LEADS)
        world.campaign(5)
        look = Lookups.places
        looked: list[int] = []

        def look_and_be_overtaken(lookups: Lookups, keys: Collection[str]) -> dict[int, list[RowMapping]]:
            found = look(lookups, keys)
            looked.append(len(found))
            if len(looked) == 1:
                world.load(LEADS, 5)
            return found

        monkeypatch.setattr(Lookups, "places", look_and_be_overtaken)
        assert world.suppress(ANNA).skipped == 2
        assert looked[0] == 1
        assert [world.state(0, number) for number in (4, 5)] == ["skipped", "skipped"]

    @pytest.mark.parametrize(
        ("addresses", "reason", "field"),
        [
            (["jan@example.com", "nobody"], REASON, "email"),
            (["jan@example.com", " "], REASON, "email"),
            ([ANNA], "anna.nowak@example.com asked", "reason"),
            ([ANNA], " ", "reason"),
            ([ANNA], "by\nphone", "reason"),
        ],
    )
    def test_a_bad_address_or_reason_suppresses_nobody(
        self, world: World, addresses: list[str], reason: str, field: str
    ) -> None:
        world.load(LEADS)
        before = world.everything()
        with pytest.raises(InvalidInput) as refused:
            suppress(world.ledger, world.secret, addresses, reason=reason, actor="anna", now=noon)
        assert refused.value.field == field
        assert "nowak" not in str(refused.value)
        assert world.everything() == before


class TestRemoving:
    def test_a_later_import_lets_the_person_in(self, world: World) -> None:
        world.suppress(ANNA)
        assert world.load(LEADS).suppressed == 1
        assert world.unsuppress(ANNA) == 1
        assert world.suppressions() == []
        assert world.load(LEADS).imported == 1
        assert world.addresses() == ["jan@example.com", ANNA]

    def test_leads_that_were_skipped_stay_skipped(self, world: World) -> None:
        world.load(LEADS)
        world.suppress(ANNA)
        world.unsuppress(ANNA)
        assert world.load(LEADS).unchanged == 2
        assert world.state(0) == "skipped"

    def test_others_stay_on_the_list_and_who_was_not_on_it_is_not_counted(self, world: World) -> None:
        world.suppress(ANNA, "jan@example.com")
        assert world.unsuppress(ANNA, "ewa@example.com") == 1
        assert is_suppressed(world.ledger, world.secret, "jan@example.com")


class TestFile:
    @pytest.mark.parametrize(
        "text",
        [
            f"email\n{ANNA}\njan@example.com\n",
            f"name,email\nAnna,{ANNA}\nJan,jan@example.com\n",
            f"Name;Email\r\nAnna;{ANNA.upper()}\r\nJan;jan@example.com\r\n",
            f"\ufeffemail\n{ANNA}\njan@example.com\n",
            f"{ANNA}\njan@example.com\n",
            f"{ANNA}\n\n jan@example.com \n{ANNA}",
            f"\ufeff{ANNA}\r\njan@example.com",
        ],
    )
    def test_it_is_a_lead_file_or_has_one_address_a_line(self, world: World, text: str) -> None:
        world.load(LEADS)
        report = world.suppress_file(text)
        assert (report.added, report.skipped) == (2, 2)
        assert [world.state(position) for position in (0, 1)] == ["skipped", "skipped"]

    def test_the_same_file_twice_is_harmless(self, world: World) -> None:
        text = people(range(50))
        world.load(people(range(20)))
        assert world.suppress_file(text).added == 50
        before = world.everything()
        report = world.suppress_file(text)
        assert (report.added, report.already, report.skipped) == (0, 50, 0)
        assert world.everything() == before

    def test_an_import_after_it_finds_nobody(self, world: World) -> None:
        world.suppress_file(people(range(50)))
        report = world.load(people(range(60)))
        assert (report.imported, report.suppressed) == (10, 50)

    BAD = f"{ANNA}\nnobody\njan@example.com,Jan\nwho is that@example.com\n"

    def test_bad_rows_are_named_and_nobody_is_suppressed(self, world: World) -> None:
        world.file(self.BAD, "list.csv")
        before = world.everything()
        with pytest.raises(BadRows) as refused:
            world.suppress_file(self.BAD)
        assert world.everything() == before
        assert (refused.value.rows, refused.value.bad) == (4, 3)
        assert [(problem.row, problem.column) for problem in refused.value.problems] == [
            (2, "email"),
            (3, "row"),
            (4, "email"),
        ]

    def test_bad_rows_can_be_left_out(self, world: World) -> None:
        report = world.suppress_file(self.BAD, skip_bad_rows=True)
        assert (report.added, report.bad) == (1, 3)
        assert report.problems[0] == RowProblem(2, "email", "An email address must have an @-sign.")

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("", "is empty."),
            ("name\nAnna\n", "there is no such column."),
            ("email,Email\n", "is there twice"),
            (f"{ANNA}\njan@example.com Żaneta\n".encode("cp1250"), "is not UTF-8."),
        ],
    )
    def test_a_file_that_cannot_be_read_suppresses_nobody(self, world: World, text: str | bytes, problem: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            world.suppress_file(text, skip_bad_rows=True)
        assert refused.value.problem.startswith(problem)
        assert world.suppressions() == []

    def test_a_reason_with_an_address_is_refused_before_the_file_is_opened(self, world: World) -> None:
        with pytest.raises(InvalidInput) as refused:
            world.suppress_from(world.folder / "nowhere.csv", reason=f"{ANNA} asked")
        assert refused.value.field == "reason"
