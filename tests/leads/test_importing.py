"""What an import does to a campaign: each person once, nothing by halves, and what was mailed stays as it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from eventsourcing.persistence import IntegrityError

from domain import commands
from domain.errors import CommandRefused
from domain.events import ContactChanged
from projections.kept import CHANGE_CONTACT
from runner.leads.problems import BadRows, RowProblem
from runner.leads.spool import BATCH, Repeated
from tests.leads.world import NOON, World, people

HEADER = "email,first_name\n"
ANNA = f"{HEADER}anna@example.com,Anna\n"
THREE = f"{ANNA}jan@example.com,Jan\newa@example.com,Ewa\n"


class TestNewLeads:
    def test_each_row_is_a_lead_that_waits_in_the_order_of_the_file(self, world: World) -> None:
        report = world.load(THREE)
        assert (report.rows, report.imported) == (3, 3)
        assert world.addresses() == ["anna@example.com", "jan@example.com", "ewa@example.com"]
        assert world.kinds() == ["CampaignCreated", *["EmailQueued"] * 3]
        assert [world.state(position) for position in range(3)] == ["queued"] * 3
        assert world.unsound() == []

    def test_a_second_file_goes_on_with_numbers_and_positions(self, world: World) -> None:
        world.load(ANNA)
        world.load(f"{HEADER}jan@example.com,Jan\n")
        assert [(row["position"], row["lead_id"]) for row in world.contacts()] == [(0, 1), (1, 2)]
        assert world.unsound() == []

    def test_no_event_holds_anything_of_a_person(self, world: World) -> None:
        world.load("email,first_name,city\newa.nowak@example.com,Żaneta,Gdynia\n")
        world.load("email,first_name,city\newa.nowak@example.com,Żaneta,Sopot\n")
        said = "".join(repr(event) for event in world.events()).casefold()
        assert not [word for word in ("ewa", "nowak", "@", "żaneta", "gdynia", "sopot") if word in said]

    def test_one_file_goes_into_two_campaigns(self, world: World) -> None:
        world.campaign(5)
        for number in (4, 5):
            assert world.load(THREE, number).imported == 3
            assert world.unsound(number) == []
        assert {row["salt"] for row in world.contacts(4)}.isdisjoint(row["salt"] for row in world.contacts(5))

    def test_a_campaign_that_was_completed_goes_on(self, world: World) -> None:
        world.load(ANNA)
        world.start()
        world.send(0)
        world.load(f"{HEADER}jan@example.com,Jan\n")
        with world.ledger.campaign(4) as campaign:
            assert campaign.status == "running"
        world.send(1)

    def test_a_campaign_that_is_not_there_is_refused_before_the_file_is_opened(self, world: World) -> None:
        with pytest.raises(CommandRefused, match="there is no campaign-9"):
            world.load_file(world.folder / "nowhere.csv", 9)

    def test_a_cancelled_campaign_takes_nobody(self, world: World) -> None:
        world.ledger.on_campaign(4, lambda c: commands.cancel(c, actor="anna", reason=None, now=NOON))
        before = world.everything()
        with pytest.raises(CommandRefused, match="is cancelled"):
            world.load_file(world.folder / "nowhere.csv")
        assert world.everything() == before


class TestAllOrNothing:
    BAD = f"{THREE}nobody,Ola\ntoo,many,cells\n"

    def test_one_bad_row_and_nobody_is_imported(self, world: World) -> None:
        world.file(self.BAD)
        before = world.everything()
        with pytest.raises(BadRows):
            world.load(self.BAD)
        assert world.everything() == before

    def test_a_bad_row_at_the_end_of_many_appends_too(self, world: World) -> None:
        text = people(range(2 * BATCH + 1)) + "nobody,Ola\n"
        world.file(text)
        before = world.everything()
        with pytest.raises(BadRows):
            world.load(text)
        assert world.everything() == before

    def test_bad_rows_that_are_to_be_skipped_are_reported_and_the_others_imported(self, world: World) -> None:
        report = world.load(self.BAD, skip_bad_rows=True)
        assert (report.rows, report.imported, report.bad) == (5, 3, 2)
        assert report.problems == (
            RowProblem(5, "email", "An email address must have an @-sign."),
            RowProblem(6, "row", "has 3 cells, the header has 2."),
        )
        assert len(world.addresses()) == 3

    @pytest.mark.parametrize("skip_bad_rows", [False, True])
    def test_a_dry_run_says_the_same_and_changes_nothing(self, world: World, skip_bad_rows: bool) -> None:
        world.load(ANNA)
        world.suppress("ewa@example.com")
        text = f"{HEADER}anna@example.com,Ania\n{THREE.removeprefix(ANNA)}JAN@example.com,J\n"
        text += "nobody,Ola\n" if skip_bad_rows else ""
        world.file(text)
        before = world.everything()
        said = world.load(text, dry_run=True, skip_bad_rows=skip_bad_rows)
        assert world.everything() == before
        assert (said.imported, said.changed, said.suppressed, said.duplicates) == (1, 1, 1, 1)
        assert said == replace(world.load(text, skip_bad_rows=skip_bad_rows), dry_run=True)

    def test_a_dry_run_finds_bad_rows(self, world: World) -> None:
        with pytest.raises(BadRows):
            world.load(self.BAD, dry_run=True)


class TestOnePersonOnce:
    def test_the_first_row_of_an_address_counts_and_the_others_are_told_with_their_rows(self, world: World) -> None:
        report = world.load(f"{THREE}anna@example.com,Ania\nanna@example.com,Anka\n")
        assert (report.rows, report.imported, report.duplicates) == (5, 3, 2)
        assert report.repeated == (Repeated(5, 2), Repeated(6, 2))
        assert world.fields()[0] == {"first_name": "Anna"}

    @pytest.mark.parametrize(
        ("one", "another"),
        [
            ("anna@example.com", "Anna@Example.COM"),
            ("INFO@example.com", "info@example.com"),
            ("jan@müller.example", "jan@xn--mller-kva.example"),
            ("jan@MÜLLER.example", "Jan@müller.example"),
            ("żaneta@example.com", "ŻANETA@example.com"),
            ("żaneta@example.com", "z\u0307aneta@example.com"),
            ("anna@example.com", "  anna@example.com "),
        ],
    )
    def test_two_spellings_of_an_address_are_one_person_in_a_file_and_in_the_campaign(
        self, world: World, one: str, another: str
    ) -> None:
        world.campaign(5)
        assert world.load(f"email\n{one}\n{another}\n").duplicates == 1
        assert len(world.addresses()) == 1
        world.load(f"email\n{one}\n", 5)
        world.load(f"email\n{another}\n", 5)
        assert len(world.addresses(5)) == 1
        assert world.unsound(5) == []

    def test_far_apart_in_a_long_file_too(self, world: World) -> None:
        report = world.load(people(range(BATCH + 200)) + "PERSON7@example.com,x\n")
        assert (report.imported, report.duplicates) == (BATCH + 200, 1)
        assert report.repeated == (Repeated(BATCH + 202, 9),)

    def test_a_screenful_of_them_is_listed_and_all_are_counted(self, world: World) -> None:
        report = world.load(people([1] * 30))
        assert (report.imported, report.duplicates) == (1, 29)
        assert report.repeated == tuple(Repeated(row, 2) for row in range(3, 23))

    def test_the_database_itself_refuses_a_contact_that_changes_into_another_leads_address(self, world: World) -> None:
        world.load(THREE)
        into_anna = {
            "b_campaign_id": 4,
            "b_lead_id": 2,
            "address": "Anna@example.com",
            "address_key": "anna@example.com",
            "fields": "{}",
            "revision": 1,
            "commitment": "0" * 64,
        }
        before = world.everything()
        with pytest.raises(IntegrityError):
            world.ledger.keep((CHANGE_CONTACT, [into_anna]))
        assert world.everything() == before


class TestAgain:
    def test_the_same_file_changes_nothing(self, world: World) -> None:
        world.load(THREE)
        before = world.everything()
        report = world.load(THREE)
        assert (report.rows, report.unchanged) == (3, 3)
        assert world.everything() == before

    def test_columns_in_another_order_are_the_same_data(self, world: World) -> None:
        world.load("email,city,first_name\nanna@example.com,Hel,Anna\n")
        assert world.load("first_name,email,city\nAnna,anna@example.com,Hel\n").unchanged == 1

    @pytest.mark.parametrize(
        ("text", "fields"),
        [
            (f"{HEADER}anna@example.com,Ania\n", {"first_name": "Ania"}),
            ("email,first_name,city\nanna@example.com,Anna,Hel\n", {"first_name": "Anna", "city": "Hel"}),
            ("email\nanna@example.com\n", {}),
        ],
        ids=["another value", "one more field", "one field less"],
    )
    def test_other_data_change_the_contact_of_a_lead_that_waits(
        self, world: World, text: str, fields: dict[str, str]
    ) -> None:
        world.load(THREE)
        before = world.contacts()
        assert world.load(text).changed == 1
        assert world.kinds()[-1] == "ContactChanged"
        after = world.contacts()
        assert (after[0]["fields"], after[0]["revision"]) == (fields, 1)
        assert after[0]["salt"] == before[0]["salt"]
        assert after[1:] == before[1:]
        assert world.unsound() == []

    def test_each_change_is_a_revision(self, world: World) -> None:
        for name in ("Anna", "Ania", "Anka"):
            world.load(f"{HEADER}anna@example.com,{name}\n")
        assert [event.revision for event in world.events() if isinstance(event, ContactChanged)] == [1, 2]
        assert world.unsound() == []

    def test_another_spelling_of_the_address_is_a_change_of_the_same_lead(self, world: World) -> None:
        world.load(THREE)
        assert world.load(f"{HEADER}Anna@example.com,Anna\n").changed == 1
        assert world.addresses() == ["Anna@example.com", "jan@example.com", "ewa@example.com"]
        assert world.unsound() == []

    def test_changes_and_new_leads_may_come_in_one_file_in_any_order(self, world: World) -> None:
        world.load(THREE)
        report = world.load(
            f"{HEADER}ola@example.com,Ola\nJan@example.com,Janek\nanna@example.com,Anna\nx@a.example,\n"
        )
        assert (report.imported, report.changed, report.unchanged) == (2, 1, 1)
        assert world.addresses()[1:] == ["Jan@example.com", "ewa@example.com", "ola@example.com", "x@a.example"]
        assert world.unsound() == []

    def test_a_mail_that_waits_for_its_next_attempt_gets_the_new_data(self, world: World) -> None:
        world.load(ANNA)
        world.start()
        world.fails(world.lock(0), permanent=False)
        assert world.load(f"{HEADER}anna@example.com,Ania\n").changed == 1

    @pytest.mark.parametrize(
        ("state", "bring"),
        [
            ("locked", lambda world: world.lock(0)),
            ("sent", lambda world: world.send(0)),
            ("failed", lambda world: world.fails(world.lock(0), permanent=True)),
            ("in doubt", lambda world: world.loses(world.lock(0))),
            ("skipped", lambda world: world.skip(0)),
        ],
    )
    def test_a_lead_whose_mail_no_longer_waits_is_left_as_it_is_and_reported(
        self, world: World, state: str, bring: Callable[[World], object]
    ) -> None:
        world.load(THREE)
        world.start()
        bring(world)
        assert world.state(0) == state
        before = world.everything()
        report = world.load(f"{HEADER}Anna@example.com,Ania\njan@example.com,Jan\n")
        assert (report.left_alone, report.unchanged, report.changed, report.imported) == (1, 1, 0, 0)
        assert world.everything() == before


class TestSuppressed:
    @pytest.mark.parametrize("listed", ["jan@example.com", "JAN@Example.com"])
    def test_who_is_suppressed_is_not_imported(self, world: World, listed: str) -> None:
        world.suppress(listed)
        report = world.load(THREE.replace("jan@", "Jan@"))
        assert (report.imported, report.suppressed) == (2, 1)
        assert world.addresses() == ["anna@example.com", "ewa@example.com"]
        assert b"jan@" not in world.octets().lower()
        assert world.unsound() == []

    def test_who_is_suppressed_is_not_changed_either(self, world: World) -> None:
        world.load(THREE)
        world.suppress("jan@example.com")
        assert world.load(THREE.replace(",Jan", ",Janek")).suppressed == 1
        assert world.fields()[1] == {"first_name": "Jan"}

    def test_who_is_suppressed_while_an_import_runs_is_skipped_or_left_out(self, world: World) -> None:
        done, still_to_come = "person7@example.com", f"person{BATCH + 7}@example.com"

        def suppress_both(phase: str, rows: int, _total: int) -> None:
            if (phase, rows) == ("importing", BATCH):
                world.suppress(done, still_to_come)

        report = world.load(people(range(BATCH + 100)), progress=suppress_both)
        assert (report.imported, report.suppressed) == (BATCH + 99, 1)
        assert world.skipped() == [(7, "suppressed")]
        assert still_to_come not in world.addresses()
        assert world.unsound() == []


class TestProgress:
    def test_it_is_told_in_octets_while_reading_then_in_rows(self, world: World) -> None:
        told: list[tuple[str, int, int]] = []
        text = people(range(2 * BATCH + 500))
        world.load(text, progress=lambda *said: told.append(said))
        reading = [(done, total) for phase, done, total in told if phase == "reading"]
        assert len(reading) == 2
        assert reading == sorted(reading)
        assert all(0 < done <= total == len(text.encode()) for done, total in reading)
        assert told[len(reading) :] == [
            ("importing", rows, 2 * BATCH + 500) for rows in (BATCH, 2 * BATCH, 2 * BATCH + 500)
        ]

    def test_a_dry_run_tells_it_too(self, world: World) -> None:
        told: list[tuple[str, int, int]] = []
        world.load(people(range(10)), dry_run=True, progress=lambda *said: told.append(said))
        assert told == [("importing", 10, 10)]
