"""Given a ledger in use, when it is sealed, verified and proved by commands, then each says what is true of it."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import pytest

from runner.sink import Sink
from tests.cli.desk import FAILED, MONDAY, Desk
from tests.databases import Databases, on_postgresql

KEY, CHECKPOINTS = "sendledger.seal.key", "sendledger.checkpoints"


@pytest.fixture
def sent(desk_on_each: Desk, sink: Sink) -> Desk:
    """Two mails sent, one refused for good, one for now."""
    desk_on_each.ledger()
    desk_on_each.mailbox(sink.port)
    desk_on_each.campaign()
    desk_on_each.done("run", "--until", f"{MONDAY}T09:05+02:00")
    return desk_on_each


def verdicts(desk: Desk, *options: str) -> dict[str, tuple[str, str]]:
    said = desk.says("audit", "verify", *options, "--format", "json")
    rows = {row["what"]: (row["verdict"], row["found"]) for row in json.loads(said.out)}
    assert said.code == (FAILED if "FAIL" in {verdict for verdict, _ in rows.values()} else 0)
    return rows


def test_the_daemon_seals_what_it_did_and_everything_is_proved(sent: Desk, tmp_path: Path) -> None:
    found = verdicts(sent, "--rows")
    assert {verdict for verdict, _ in found.values()} == {"PASS"}
    assert "; 0 events wait for the next" in found["checkpoints"][1]
    assert found["views"][1] == "they add up to the events"

    public, proof = tmp_path / "pub", tmp_path / "mail.tlog-proof"
    public.write_text(sent.done("audit", "key"))
    assert sent.done("audit", "prove", "1", "1", "-o", str(proof)).startswith(f"{proof}: event ")
    locked = sent.done("audit", "prove", "1", "1", "--event", "lock")

    shutil.rmtree(sent.folder)  # a third party has the proof and the key, and nothing of ours
    sent.folder.mkdir()
    told = sent.done("audit", "check-proof", str(proof), "--public-key", str(public))
    assert told.startswith("Holds: event ")
    assert "EmailSent/2" in told
    proof.write_text(locked)
    assert "EmailLocked/1" in sent.done("audit", "check-proof", str(proof), "--public-key", str(public))
    proof.write_text(locked.replace("index 1", "index 2"))
    assert sent.says("audit", "check-proof", str(proof), "--public-key", str(public)).code == FAILED


def test_a_log_is_proved_to_have_only_grown(sent: Desk) -> None:
    before = shutil.copy(CHECKPOINTS, "before")
    Path("pub").write_text(sent.done("audit", "key"))
    sent.done("campaign", "pause", "1")
    assert "events sealed, by 1 new checkpoints" in sent.done("audit", "seal")
    sent.done("audit", "prove", "--since", before, "-o", "growth")
    check = ("audit", "check-proof", "growth", "--public-key", "pub")
    assert sent.done(*check, "--since", before).startswith("Holds: the ")
    assert "is no proof of an event" in sent.refused(*check)
    assert sent.says(*check, "--since", CHECKPOINTS).code == FAILED
    assert verdicts(sent, "--checkpoints", before, "--older", "--public-key", "pub")["checkpoints"][0] == "PASS"
    assert "the file was cut" in verdicts(sent, "--checkpoints", before)["checkpoints"][1]


def test_mail_goes_on_where_nothing_can_be_sealed(desk: Desk, sink: Sink) -> None:
    desk.ledger()
    desk.mailbox(sink.port)
    desk.campaign()
    desk.write(CHECKPOINTS, "somebody's letter\n")
    ran = desk.says("run", "--until", f"{MONDAY}T09:05+02:00")
    assert (ran.code, sink.accepted) == (0, 1)
    assert "is no file of checkpoints" in ran.err
    assert Path(CHECKPOINTS).read_text() == "somebody's letter\n"


def test_what_was_changed_is_named_and_ends_with_exit_code_1(sent: Desk) -> None:
    sent.done("status")
    sent.sql("UPDATE send_log SET outcome = 'failed' WHERE outcome = 'sent'")
    found = verdicts(sent)
    assert found["events"][0] == "PASS"
    assert found["views"][0] == "FAIL"
    assert "campaign-1 has 1 EmailSent events, and 0 rows of them" in found["views"][1]


def test_a_key_is_made_with_the_ledger_and_is_nobody_elses_to_read(desk: Desk) -> None:
    desk.ledger()
    assert stat.S_IMODE(Path(KEY).stat().st_mode) == 0o600
    assert Path(KEY).read_text().startswith("PRIVATE+KEY+sendledger/")
    public = desk.done("audit", "key")
    assert public.startswith("sendledger/")
    assert "PRIVATE" not in public


def test_a_ledger_from_before_gets_its_key_by_a_command(desk: Desk, sink: Sink) -> None:
    desk.ledger()
    Path(KEY).unlink()
    desk.mailbox(sink.port)
    desk.campaign()
    desk.done("run", "--until", f"{MONDAY}T09:05+02:00")  # sending goes on without
    assert not Path(CHECKPOINTS).exists()
    assert "audit key --make" in desk.refused("audit", "key")
    assert "cannot be read" in desk.refused("audit", "seal")
    assert "Give the public key" in desk.refused("audit", "verify")
    desk.done("audit", "key", "--make")
    desk.done("audit", "seal")
    assert verdicts(desk)["checkpoints"][0] == "PASS"
    assert "never replaced" in desk.refused("audit", "key", "--make")


def test_the_key_of_another_ledger_is_refused(desk: Desk) -> None:
    desk.ledger()
    other = Path(KEY).read_text()
    for file in (KEY, CHECKPOINTS, "sendledger.toml", "sendledger.db"):
        Path(file).unlink(missing_ok=True)
    desk.ledger()
    desk.write(KEY, other)
    assert "is the key of another ledger" in desk.refused("audit", "seal")
    desk.write(KEY, "nonsense")
    assert "signing_key: this is no key that signs." in desk.refused("audit", "key")


@pytest.mark.parametrize("file", [KEY, CHECKPOINTS])
def test_a_new_ledger_does_not_take_over_the_seal_of_another(desk: Desk, file: str) -> None:
    desk.write(file, "of another")
    assert f"{file}: belongs to the seal of another ledger." in desk.refused("init")


def test_what_is_not_there_cannot_be_proved(sent: Desk) -> None:
    assert "there was no mail to lead 9 of campaign 1" in sent.refused("audit", "prove", "1", "9")
    assert "attempt 1 for lead 2 of campaign 1 was never locked" in sent.refused(
        "audit", "prove", "1", "2", "--event", "lock"
    )
    assert "it is not said what is to be proved" in sent.refused("audit", "prove", "1")
    sent.write("junk", "no key")
    assert "junk, row 1: this is no Ed25519 key" in sent.refused("audit", "verify", "--public-key", "junk")
    assert "there is no such file" in sent.refused("audit", "verify", "--checkpoints", "nowhere")


@on_postgresql
def test_a_copy_on_a_server_is_under_the_same_seal(desk: Desk, databases: Databases, sink: Sink) -> None:
    desk.ledger()
    desk.mailbox(sink.port)
    desk.campaign()
    desk.done("run", "--until", f"{MONDAY}T09:05+02:00")
    target = databases.empty().render_as_string(hide_password=False)
    desk.done("db", "copy", "--to", target)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SENDLEDGER_DATABASE_URL", target)
        assert {verdict for verdict, _ in verdicts(desk).values()} == {"PASS"}
        desk.done("runner", "register", "--reason", "moved")
        desk.done("audit", "seal")
        assert {verdict for verdict, _ in verdicts(desk).values()} == {"PASS"}


def test_the_doctor_looks_at_the_seal(desk: Desk) -> None:
    def found() -> tuple[str, str]:
        rows = json.loads(desk.says("doctor", "--no-smtp", "--format", "json").out)
        [row] = [row for row in rows if row["check"] == "seal"]
        return row["verdict"], row["found"]

    desk.ledger()
    assert found() == ("OK", "0 events are sealed, 0 wait for the next checkpoint")
    desk.mailbox()
    desk.done("audit", "seal")
    Path(CHECKPOINTS).unlink()
    assert found()[0] == "WARN"
    assert "ends at 0 events, the database's checkpoints at 1" in found()[1]
    desk.done("audit", "seal")
    Path(KEY).chmod(0o644)
    assert "others on this machine may use" in found()[1]
    Path(KEY).unlink()
    assert found() == ("WARN", "no signing key here; 1 events are sealed.")
