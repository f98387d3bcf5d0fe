"""`sendledger doctor`: a sound ledger passes on every database; whatever is broken is named, with what mends it."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete, text
from sqlalchemy.engine import URL

from projections import event_log
from projections.database import engine_for, is_sqlite, reading, writing
from projections.kept import contacts
from runner.doctor import database
from runner.doctor.findings import Finding, Verdict
from runner.sending.guard import FILE
from runner.sending.liveness import Liveness, living
from runner.settings import load_settings
from runner.store import sqlite
from tests.cli.desk import DONE, FAILED, MONDAY, Desk
from tests.cli.test_daemon import always_open, running, wait_until
from tests.databases import Kind
from tests.smtp.scripted import ScriptedServer

Found = dict[str, dict[str, str]]

EVERYWHERE = [
    *("settings", "zone data", "database", "durability", "disk", "append-only", "server's clock", "schema", "role"),
    *("views", "suppression key", "seal", "runners' folder", "guard", "runners", "in doubt"),
    *("mailbox sales", "templates"),
    "clock",
]
ONLY_ON = {"disk": "sqlite", "server's clock": "postgresql", "role": "postgresql"}


def doctor(desk: Desk, *words: str) -> tuple[int, Found]:
    """Its exit code, and what it finds, by check."""
    said = desk.says("doctor", "--format", "json", *words)
    assert said.err == ""
    return said.code, {row["check"]: row for row in json.loads(said.out)}


def told(desk: Desk, check: str, verdict: str = "FAIL", *besides: str) -> str:
    """What is wrong and what mends it, after a look that must find this and, but for `besides`, no other failure."""
    code, found = doctor(desk, "--no-smtp")
    assert code == (FAILED if verdict == "FAIL" else DONE)
    assert {name for name, row in found.items() if row["verdict"] == "FAIL"} - {check, *besides} == set()
    assert found[check]["verdict"] == verdict, found[check]
    assert found[check]["mend"], "nobody is told what to do"
    return f"{found[check]['found']} {found[check]['mend']}"


def change(statement: str) -> None:
    """Change the database behind the program's back."""
    engine = engine_for(load_settings().url)
    with writing(engine) as connection:
        connection.execute(text(statement))
    engine.dispose()


@pytest.fixture
def sound(office: Desk) -> Desk:
    """One campaign that runs, in a database of each kind."""
    office.mailbox()
    office.campaign()
    return office


# --- a sound ledger ---


def test_a_sound_ledger_passes_and_stays_as_it_is(office: Desk, kind: Kind) -> None:
    with ScriptedServer() as server:
        office.mailbox(server.port)
        office.campaign()
        before = office.everything()
        code, found = doctor(office)
        assert server.verbs() == ["EHLO", "QUIT"], "a mail was begun, or leave not taken"
    assert code == DONE
    assert list(found) == [check for check in EVERYWHERE if ONLY_ON.get(check, kind) == kind]
    troubled = {check: row["verdict"] for check, row in found.items() if row["verdict"] != "OK"}
    assert troubled == ({} if kind == "sqlite" else {"role": "WARN"}), "the tests' role is a superuser"
    assert all(row["found"] for row in found.values())
    assert found["views"]["found"].endswith("and they add up: no rebuild is needed")
    assert found["settings"]["found"].startswith("sendledger.toml: checkpoints, database_url, log_format, signing_key")
    assert found["clock"]["found"] == f"simulated, at {MONDAY} 08:00:00 UTC"
    assert office.everything() == before


def test_without_smtp_no_server_is_asked(office: Desk) -> None:
    with ScriptedServer() as server:
        office.mailbox(server.port)
        code, found = doctor(office, "--no-smtp")
    assert (code, server.connections) == (DONE, 0)
    assert found["mailbox sales"]["found"] == "its server was not asked"


def test_a_person_reads_it_as_a_table_a_program_as_csv(desk: Desk) -> None:
    desk.ledger()
    header, *lines = desk.done("doctor").splitlines()
    assert header.split() == ["check", "verdict", "found", "mend"]
    assert any(line.split()[:2] == ["views", "OK"] for line in lines)
    assert desk.csv("doctor")[0] == ["check", "verdict", "found", "mend"]


# --- settings and database ---


def test_without_settings_the_first_command_is_named(desk: Desk) -> None:
    assert "there is no settings file. Make a ledger here with `sendledger init`" in told(desk, "settings")
    assert doctor(desk)[1]["all else"]["verdict"] == "WARN"


def test_settings_that_are_wrong_are_named_by_key_and_file(desk: Desk) -> None:
    desk.write("sendledger.toml", "v1_evry_s = 30")
    assert "sendledger.toml, v1_evry_s: is no setting" in told(desk, "settings")


def test_a_key_that_the_environment_overrules_is_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.ledger()
    monkeypatch.setenv("SENDLEDGER_V1_EVERY_S", "70")
    assert doctor(desk)[1]["settings"]["found"].endswith("; from the environment: SENDLEDGER_V1_EVERY_S")


def test_a_database_that_is_not_there_is_not_made(desk: Desk) -> None:
    desk.write("sendledger.toml", "")
    assert "there is no ledger at sendledger.db. Make it with `sendledger init`" in told(desk, "database")
    assert list(doctor(desk)[1]) == ["settings", "zone data", "database", "all else"]
    assert not desk.database.exists()


def test_a_file_that_is_no_database_is_told_as_such(desk: Desk) -> None:
    desk.write("sendledger.toml", "")
    desk.write("sendledger.db", "nothing of that kind " * 100)
    assert told(desk, "database").startswith("file is not a database. ")


def test_a_server_that_is_not_there_is_told_without_a_traceback(desk: Desk) -> None:
    desk.write("sendledger.toml", 'database_url = "postgresql://nobody@127.0.0.1:1/nothing"')
    assert "port 1 failed: Connection refused" in told(desk, "database")


def test_a_ledger_on_a_network_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.ledger()
    mounts = desk.folder / "mounts"
    mounts.write_text("server:/home / nfs4 rw 0 0\n")
    monkeypatch.setattr(sqlite, "MOUNTS", mounts)
    assert "lies on a network file system (nfs4). Move it to a local disk" in told(desk, "database")


@pytest.mark.parametrize("kind", ["postgresql"], indirect=True, scope="session")
def test_a_server_that_may_forget_is_refused(sound: Desk) -> None:
    name = load_settings().url.database
    change(f"ALTER DATABASE {name} SET synchronous_commit = off")
    besides = {
        "views",
        "suppression key",
        "seal",
        "guard",
        "runners' folder",
        "runners",
        "in doubt",
        "mailboxes",
        "templates",
    }
    said = told(sound, "durability", "FAIL", *besides, "clock")
    assert "synchronous_commit off, full_page_writes on: a crash may undo what was sent." in said
    assert said.endswith("Set synchronous_commit to on.")


def test_each_trigger_that_is_missing_is_named(office: Desk, kind: Kind) -> None:
    missing: list[str] = []
    for name in event_log.TRIGGERS[kind]:
        change(f"DROP TRIGGER {name}" + (" ON stored_events" if kind == "postgresql" else ""))
        missing.append(name)
        assert f"events or checkpoints can be changed: {', '.join(missing)} not in force" in told(office, "append-only")


@pytest.mark.parametrize("kind", ["postgresql"], indirect=True, scope="session")
def test_a_trigger_that_a_replica_passes_by_is_not_in_force(office: Desk) -> None:
    change("ALTER TABLE stored_events ENABLE TRIGGER stored_events_no_change")
    assert "stored_events_no_change not in force" in told(office, "append-only")


# --- views ---


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("UPDATE campaigns SET sent = sent + 1", "campaigns 1: counts are not those of their leads."),
        ("UPDATE leads SET state = 'sent' WHERE lead_id = 2", "campaigns 1: counts are not those of their leads."),
        ("UPDATE event_counts SET events = events + 1", "they were made of"),
    ],
)
def test_views_that_do_not_add_up_want_a_rebuild(sound: Desk, damage: str, words: str) -> None:
    sound.done("status")
    change(damage)
    said = told(sound, "views")
    assert said.startswith(words)
    assert "`sendledger rebuild --check` lists what differs" in said
    sound.done("rebuild")
    assert doctor(sound, "--no-smtp")[1]["views"]["verdict"] == "OK"


def test_views_that_lag_are_brought_up_to_date(sound: Desk) -> None:
    found = doctor(sound, "--no-smtp")[1]["views"]
    assert (found["verdict"], "events were behind" in found["found"]) == ("OK", True)
    assert "behind" not in doctor(sound, "--no-smtp")[1]["views"]["found"]


# --- keys and folders ---


def test_a_suppression_key_that_is_missing_or_another_one_fails(office: Desk) -> None:
    key = office.folder / "sendledger.key"
    right = key.read_text()
    key.write_text("another key\n")
    assert "is another key than this ledger's" in told(office, "suppression key")
    key.unlink()
    assert "cannot be read: No such file or directory" in told(office, "suppression key")
    key.write_text(right)
    key.chmod(0o640)
    assert told(office, "suppression key", "WARN").endswith("chmod 600 sendledger.key")
    key.chmod(0o600)
    assert doctor(office)[1]["suppression key"]["verdict"] == "OK"


def test_a_runners_folder_that_is_none_fails(office: Desk) -> None:
    folder = load_settings().runners_folder
    (folder / FILE).unlink()
    folder.rmdir()
    folder.write_text("")
    assert "Not a directory" in told(office, "runners' folder")


def test_a_ledger_that_this_machine_does_not_know_must_be_registered(sound: Desk) -> None:
    (load_settings().runners_folder / FILE).unlink()
    assert "has not sent from this ledger before" in told(sound, "guard")
    sound.done("runner", "register", "--reason", "moved")
    assert doctor(sound, "--no-smtp")[1]["guard"]["verdict"] == "OK"


def test_an_older_backup_is_recognised(sound: Desk) -> None:
    guard = load_settings().runners_folder / FILE
    seen = json.loads(guard.read_text())
    guard.write_text(json.dumps({**seen, "position": 99, "digest": "0" * 64}))
    said = told(sound, "guard")
    assert said.startswith("99 events were seen here, ")
    assert "runner register --accept-restored" in said


def test_a_ledger_that_was_copied_elsewhere_is_no_longer_sent_from(sound: Desk) -> None:
    change("INSERT INTO ledger_info (key, value) VALUES ('moved_to', 'postgresql://db.example/sendledger')")
    assert "copied to postgresql://db.example/sendledger" in told(sound, "guard")


# --- runners, doubts, templates ---


def test_leads_that_wait_without_a_runner_and_one_that_was_killed_are_told(desk: Desk) -> None:
    with ScriptedServer({"MAIL": b"451 4.3.0 later\r\n"}) as server:
        always_open(desk, server.port, "v2")
        assert "0 alive; 4 leads wait in running campaigns. Start one" in told(desk, "runners", "WARN")
        with running(desk, "run") as process:
            wait_until(lambda: bool(desk.events("MailboxDelayed")))
            found = doctor(desk)[1]
            assert (found["runners"]["verdict"], found["runners"]["found"]) == ("OK", "1 alive")
            assert found["mailbox sales"]["found"].startswith("delayed until ")
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        assert told(desk, "runners", "WARN").startswith("0 alive, 1 ended without a word; 4 leads wait")


def test_a_runner_of_another_machine_is_known_by_the_servers_lock(database: URL, tmp_path: Path) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    engine = engine_for(database)
    with Liveness(here, database) as ours, Liveness(elsewhere, database) as theirs:
        shared = set() if is_sqlite(database) else {theirs.runner}
        assert _living(engine, here, ours.runner, theirs.runner) == {ours.runner} | shared
    wait_until(lambda: not _living(engine, here, ours.runner, theirs.runner))
    engine.dispose()


def _living(engine: Engine, folder: Path, *runners: str) -> set[str]:
    with reading(engine) as connection:
        return living(folder, connection, [*runners, "00000000000f"])


def test_mails_in_doubt_are_counted_and_so_are_those_of_a_runner_that_is_gone(office: Desk) -> None:
    with ScriptedServer({"DOT": b"what?\r\n"}) as server:
        office.mailbox(server.port)
        office.campaign()
        office.done("run", "--until", f"{MONDAY}T10:01+02:00")
    assert "nobody knows of 1 mails whether they were taken. `sendledger in-doubt list`" in told(
        office, "in doubt", "WARN"
    )
    change("UPDATE send_log SET outcome = 'locked'")
    assert told(office, "in doubt", "WARN").startswith("1 mails were under way when their runner was gone. The next")


@pytest.mark.parametrize("owner", ["v1", "v2"])
def test_the_next_lead_of_a_running_campaign_must_render(desk: Desk, owner: str) -> None:
    desk.ledger()
    desk.mailbox()
    desk.campaign(('owner = "v1"', f'owner = "{owner}"'))
    desk.sql("UPDATE contacts SET fields = '{}' WHERE lead_id = 2")
    assert doctor(desk, "--no-smtp")[1]["templates"]["found"] == "1 running campaigns render for their next lead"
    desk.sql("UPDATE contacts SET fields = '{}' WHERE lead_id = 1")
    assert "lead 1, the next: The subject cannot be rendered, field first_name" in told(desk, "campaign 1")
    desk.done("campaign", "pause", "1")
    assert doctor(desk, "--no-smtp")[0] == DONE, "what does not run need not render yet"


def test_a_contact_that_is_missing_and_one_that_cannot_be_read_fail_too(sound: Desk) -> None:
    change("UPDATE contacts SET fields = 'no JSON'")
    assert "could not be looked at: JSONDecodeError" in told(sound, "templates")
    engine = engine_for(load_settings().url)
    with writing(engine) as connection:
        connection.execute(delete(contacts).where(contacts.c.lead_id == 1))
    engine.dispose()
    assert "the contact of a waiting lead is missing" in told(sound, "campaign 1")


# --- roles ---


@pytest.mark.parametrize("kind", ["postgresql"], indirect=True, scope="session")
class TestRoles:
    """A role for each of these tests, on the server of the tests."""

    def finding(self, role: str) -> Finding:
        engine = engine_for(load_settings().url.set(username=role))
        [found] = database.role(engine)
        engine.dispose()
        return found

    def test_the_daemons_role_can_append_and_change_nothing(self, sound: Desk, new_role: str) -> None:
        sound.done("db", "grant", "--daemon", new_role)
        found = self.finding(new_role)
        assert (found.verdict, found.found) == (Verdict.OK, f"{new_role} appends events and can change none")

    @pytest.mark.parametrize(
        ("right", "named"),
        [
            ("DELETE ON stored_events", "deletes"),
            ("TRUNCATE ON stored_events", "truncates"),
            ("UPDATE (state) ON stored_events", "updates"),
            ("INSERT ON stored_events", "numbers"),
        ],
    )
    def test_a_role_that_may_change_events_fails(self, sound: Desk, new_role: str, right: str, named: str) -> None:
        sound.done("db", "grant", "--daemon", new_role)
        change(f"GRANT {right} TO {new_role}")
        found = self.finding(new_role)
        assert (found.verdict, found.found) == (Verdict.FAIL, f"{new_role} has rights to change events: {named}.")

    def test_a_role_that_lacks_a_right_is_told_which(self, sound: Desk, new_role: str) -> None:
        sound.done("db", "grant", "--daemon", new_role)
        change(f"REVOKE INSERT ON kept_mails FROM {new_role}")
        found = self.finding(new_role)
        assert (found.verdict, found.found) == (
            Verdict.FAIL,
            f"{new_role} appends events, but lacks INSERT on kept_mails.",
        )

    def test_a_readers_role_is_told_that_it_cannot_send(self, sound: Desk, new_role: str) -> None:
        sound.done("db", "grant", "--reader", new_role)
        found = self.finding(new_role)
        assert (found.verdict, found.found) == (Verdict.WARN, f"{new_role} only reads: it can look, and not send.")

    def test_a_role_that_owns_the_events_could_remove_their_protection(self, sound: Desk, new_role: str) -> None:
        sound.done("db", "grant", "--daemon", new_role)
        change(f"ALTER TABLE stored_events OWNER TO {new_role}")
        assert self.finding(new_role).found == f"{new_role} owns the events, and could remove what protects them."

    @pytest.mark.parametrize("kind_of_role", ["daemon", "reader"])
    def test_a_granted_role_can_ask_the_doctor(
        self, sound: Desk, new_role: str, kind_of_role: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sound.done("db", "grant", f"--{kind_of_role}", new_role)
        url = load_settings().url.set(username=new_role)
        monkeypatch.setenv("SENDLEDGER_DATABASE_URL", url.render_as_string(hide_password=False))
        code, found = doctor(sound, "--no-smtp")
        assert (code, {row["verdict"] for row in found.values()} <= {"OK", "WARN"}) == (DONE, True)
