"""Given people in a ledger, when one of them is erased, then nothing of them is left, and the record is whole."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from sqlite3 import connect

import pytest

from projections.audit import ERASED
from runner.sink import Sink
from tests.cli.desk import FAILED, MONDAY, Desk
from tests.databases import on_postgresql
from tests.smtp.scripted import BEHAVED, ScriptedServer, in_turn

ADDRESS, NAME, WORD = "kanarek@klatka.example", "Kanarkiewicz", "cwirkanie"
CANARIES = ("kanarek", "klatka", NAME, WORD)
NEIGHBOURS = "".join(f"sasiad{number}@ulica.example,Sasiad\n" for number in range(40))
PEOPLE = f"email,surname\nola@ulica.example,Ola\n{ADDRESS},{NAME} {WORD}\n{NEIGHBOURS}"
QUOTING = f"250 2.0.0 taken for <{ADDRESS}> {NAME}\r\n".encode()
GREETS = ("Dear {{ first_name }}", "Dear {{ surname }}")
WITHOUT_NAME = (" for {{ first_name }}", "")


@contextmanager
def mailed(desk: Desk) -> Iterator[None]:
    """A campaign of which the canary was sent its mail, with a reply that quotes it, and one where it waits."""
    with ScriptedServer({"DOT": in_turn(BEHAVED["DOT"], QUOTING, BEHAVED["DOT"])}) as server:
        desk.ledger()
        desk.mailbox(server.port, "--daily-limit", "500")
        desk.campaign(GREETS, WITHOUT_NAME, people=PEOPLE)
        desk.done("run", "--until", f"{MONDAY}T09:30+02:00")
        desk.campaign(GREETS, WITHOUT_NAME, people=PEOPLE, started=False)
        Path("leads.csv").unlink()
        yield


def traces(desk: Desk) -> list[bytes]:
    """What the canary's rows look like in a file: salts, and pieces of the compressed mails."""
    kept = desk.kept()
    salts = [row[6] for row in kept["contacts"] if row[3] == ADDRESS]
    mails = [row[3] for row in kept["kept_mails"] if ADDRESS.encode() in zlib.decompress(row[3])]
    assert len(salts) == 2
    assert mails
    return [*salts, *(mail[start : start + 24] for mail in mails for start in range(40, len(mail) - 24, 24))]


def in_files(desk: Desk, what: bytes) -> list[str]:
    files = [path for path in desk.folder.rglob("*") if path.is_file()]
    assert desk.database in files
    return [path.name for path in files if what.lower() in path.read_bytes().lower()]


def test_of_an_erased_person_nothing_is_left_anywhere(desk: Desk) -> None:
    with mailed(desk):
        left = traces(desk)
        assert all(in_files(desk, trace) for trace in (ADDRESS.encode(), *left[:2]))
        told = desk.done("erase", ADDRESS, "--reason", "asked by letter of 3 March")
        assert told.startswith("Erased: 2 leads, 1 of which waited. Reference er-")
        ran = desk.says("run", "--until", f"{MONDAY}T10:30+02:00")
        desk.done("audit", "sends", "--format", "csv", "-o", "after.csv")
        desk.done("audit", "sends", "--format", "parquet", "-o", "after.parquet")
        listings = [
            desk.done(*words.split()) for words in ("leads list 1", "sendlog", "audit systems", "suppress list")
        ]
    for canary in CANARIES:
        assert in_files(desk, canary.encode()) == []
        assert canary.casefold() not in f"{told}{ran}{listings}".casefold()
    for trace in left:
        assert in_files(desk, trace) == []
    for name, rows in desk.stored().items():
        assert not any(canary in str(rows) for canary in CANARIES), name
    [row] = [row for row in desk.rows("audit", "sends", "--campaign", "1") if row["lead_id"] == 2]
    assert (row["address"], row["outcome"]) == (ERASED, "sent")


def test_the_record_stays_whole_and_the_person_suppressed(desk_on_each: Desk) -> None:
    desk = desk_on_each
    with mailed(desk):
        desk.done("audit", "seal")
        desk.done("erase", ADDRESS, "--reason", "asked by letter")
        found = {row["what"]: row["verdict"] for row in desk.rows("audit", "verify", "--rows")}
        assert set(found.values()) == {"PASS"}
        assert [row["verdict"] for row in desk.rows("check") if row["verdict"] == "FAIL"] == []

        erased = desk.events("PersonErased")
        assert [(each["lead_id"], each["reason"], each["actor"]) for each in erased] == [
            (2, "asked by letter", "anna")
        ] * 2
        assert len({each["reference"] for each in erased}) == 1
        assert [each["reason"] for each in desk.events("EmailSkipped")] == ["erased"]

        assert desk.done("audit", "person", ADDRESS).endswith("The address is on the suppression list.\n")
        desk.write("again.csv", f"email,surname\n{ADDRESS},Again\n")
        assert "1 suppressed" in desk.done("leads", "import", "2", "again.csv")
        assert "the bytes of the mail with it" in desk.refused("audit", "mail", "1", "2")
        assert desk.done("erase", ADDRESS, "--reason", "again").startswith("No lead has this address")


def test_what_would_be_erased_can_be_looked_at_first(desk: Desk) -> None:
    with mailed(desk):
        before = desk.everything()
        told = desk.done("erase", ADDRESS.upper(), "--dry-run")
        assert told == (
            "Would erase 2 leads with 1 kept mails and 1 replies; 1 of them wait and would be skipped. "
            "Nothing was changed.\n"
        )
        assert desk.everything() == before


def test_while_a_mail_is_under_way_nothing_is_erased(desk: Desk) -> None:
    """As if its runner had died between lock and outcome: the lock is all there is."""
    with mailed(desk):
        desk.done("campaign", "start", "2")
        desk.done("run", "--until", f"{MONDAY}T09:40+02:00")
        with closing(connect(desk.database)) as file:
            last = file.execute("SELECT max(rowid) FROM stored_events WHERE originator_id = 'campaign-2'").fetchone()[0]
        lock = dict(desk.events("EmailLocked")[-1])
        assert last
        state = json.dumps({**lock, "position": 1, "lead_id": 2, "attempt": 2, "token": "f" * 24})
        desk.sql(
            "INSERT INTO stored_events SELECT 'campaign-2', max(originator_version) + 1, 'EmailLocked/1',"  # noqa: S608 - the same
            f" CAST('{state}' AS blob) FROM stored_events WHERE originator_id = 'campaign-2'"
        )
        said = desk.refused("erase", ADDRESS, "--reason", "asked")
        assert "the mail to lead 2 of campaign-2 is under way" in said
        assert "Nothing was erased" in said
        assert "1 of 2 leads are being mailed at this moment" in desk.done("erase", ADDRESS, "--dry-run")


def test_a_late_reply_to_somebody_erased_is_not_kept(desk: Desk) -> None:
    with ScriptedServer({"DOT": b"what was that?\r\n"}) as server:
        desk.ledger()
        desk.mailbox(server.port)
        desk.campaign(people=f"email,first_name\n{ADDRESS},{NAME}\n")
        desk.done("run", "--until", f"{MONDAY}T09:30+02:00")
    desk.done("erase", ADDRESS, "--reason", "asked")
    [lock] = desk.events("EmailLocked")
    journal = {"campaign": 1, "token": lock["token"], "kind": "sent", "at": lock["recorded_at"], "code": 250}
    [folder] = desk.folder.glob("*.runners")
    (folder / "gone.journal").write_text(json.dumps(journal) + "\n")
    desk.done("run", "--until", f"{MONDAY}T09:40+02:00")
    assert desk.rows("status")[0]["sent"] == 1
    assert desk.kept()["replies"] == []


def test_a_lead_in_doubt_that_was_erased_is_never_mailed_again(desk: Desk) -> None:
    with ScriptedServer({"DOT": b"what was that?\r\n"}) as server:
        desk.ledger()
        desk.mailbox(server.port)
        desk.campaign(people=f"email,first_name\n{ADDRESS},{NAME}\n")
        desk.done("run", "--until", f"{MONDAY}T09:30+02:00")
        desk.done("erase", ADDRESS, "--reason", "asked")
        desk.done("in-doubt", "resolve", "1", "1", "--not-sent", "--evidence", "relay log")
        desk.done("run", "--until", f"{MONDAY}T10:30+02:00")
        assert len(server.messages) == 1
    assert desk.rows("status")[0]["queued"] == 0


def test_old_bytes_that_a_reader_holds_back_are_told_and_removed_later(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.database.BUSY_TIMEOUT_S", 0)
    with mailed(desk):
        with closing(connect(desk.database)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM contacts").fetchone()
            said = desk.says("erase", ADDRESS, "--reason", "asked")
            assert said.code == FAILED
            assert "Run `sendledger erase --scrub`." in said.out
        assert desk.done("erase", "--scrub").startswith("Nothing that was removed is left")
        assert in_files(desk, ADDRESS.encode()) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "ADDRESS: is missing."),
        (("who", "--reason", "asked"), "Correct the address."),
        ((ADDRESS,), "--reason: is missing."),
        ((ADDRESS, "--scrub"), "ADDRESS: is missing."),
        ((ADDRESS, "--reason", f"{ADDRESS} asked"), "--reason: holds what looks like an e-mail address"),
    ],
)
def test_what_cannot_be_erased_is_refused(desk: Desk, words: tuple[str, ...], told: str) -> None:
    desk.ledger()
    said = desk.refused("erase", *words)
    assert told in said
    assert ADDRESS not in said


@on_postgresql
def test_on_a_server_the_rest_is_said_to_be_its_owners(desk_on_each: Desk, sink: Sink) -> None:
    desk_on_each.ledger()
    desk_on_each.mailbox(sink.port)
    desk_on_each.campaign()
    told = desk_on_each.done("erase", "jan@customer.example", "ewa@customer.example", "--reason", "asked")
    assert "Erased: 2 leads, 2 of which waited." in told
    assert "docs/erasure.md" in told
    assert not any("jan@customer.example" in str(rows) for rows in desk_on_each.stored().values())


def test_addresses_can_come_from_standard_input(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands on a command line is seen by others on the machine, and kept by the shell."""
    desk.ledger()
    desk.mailbox()
    desk.campaign()
    monkeypatch.setattr("sys.stdin", io.StringIO("jan@customer.example\n\newa@customer.example\n"))
    assert desk.done("erase", "-", "--reason", "asked").startswith("Erased: 2 leads")
