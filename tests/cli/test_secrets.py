"""What must never show: a password anywhere, and a person anywhere but in the kept tables and the mail itself."""

from __future__ import annotations

import json
import zlib
from base64 import b64encode

import pytest

from domain.events import Sender
from runner.cli.mishaps import told
from tests.cli.desk import MONDAY, Desk, ended
from tests.smtp.scripted import BEHAVED, EHLO, ScriptedServer, in_turn

PASSWORD = "correct-horse-battery"
ADDRESS, NAME, WORD, TITLE = "kanarek@klatka.example", "Kanarkiewicz", "cwirkanie", "Spiewnik"
CANARIES = ("kanarek", "klatka", NAME, WORD, TITLE)
PEOPLE = f"email,surname\n{ADDRESS},{NAME}\n" + "".join(f"{n}{ADDRESS},{NAME}\n" for n in "abcdef")
LISTINGS = (
    "status",
    "queue 1",
    "sendlog",
    "why 1",
    "why 1 --lead 1",
    "in-doubt list",
    "mailbox list",
    "check",
    "run --dry-run",
    "doctor",
)
MAY_NAME_PEOPLE = ("contacts", "contents", "kept_mails", "replies")
WITH_LOGIN = EHLO.replace(b"250 SIZE", b"250-SIZE") + b"250 AUTH PLAIN\r\n"


def quoting(code: str) -> bytes:
    """A reply that repeats whom it is about, as servers do."""
    return f"{code} <{ADDRESS}> {NAME} {WORD} {TITLE}\r\n".encode()


def awkward() -> ScriptedServer:
    """A server that refuses in every way there is, and names the person each time."""
    return ScriptedServer(
        {
            "MAIL": in_turn(quoting("451 4.3.0"), BEHAVED["MAIL"]),
            "RCPT": in_turn(quoting("550 5.1.1"), quoting("451 4.7.1"), BEHAVED["RCPT"]),
            "DOT": in_turn(quoting("554 5.6.0"), quoting("451 4.3.0"), quoting("What?"), quoting("250 2.0.0")),
        }
    )


def set_up(desk: Desk, server: ScriptedServer, sender: Sender = "v2") -> None:
    """People of one surname, whom a campaign greets in words that stand nowhere else."""
    desk.ledger(clock=f"{MONDAY}T10:00+02:00")
    desk.mailbox(server.port)
    owner = ('owner = "v1"', f'owner = "{sender}"')
    subject = ("Autumn news for {{ first_name }}", TITLE)
    text = ("Dear {{ first_name }}, the autumn catalogue", f"{WORD} {{{{ surname }}}}")
    desk.campaign(owner, subject, text, people=PEOPLE)


def canaries_in(what: object) -> list[str]:
    """Which of them stand there, whatever the case of their letters."""
    return [canary for canary in CANARIES if canary.casefold() in str(what).casefold()]


@pytest.mark.parametrize("sender", ["v1", "v2"])
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_event_no_view_no_log_and_no_listing_names_a_person(desk: Desk, sender: Sender, log_format: str) -> None:
    with awkward() as server:
        set_up(desk, server, sender)
        ran = desk.says("run", "--until", f"{MONDAY}T14:50+02:00", "--log-format", log_format)
        shown = [desk.done(*listing.split()) for listing in LISTINGS]
    outcomes = {row["outcome"] for row in desk.rows("sendlog")}
    assert outcomes == {"sent", "failed", "in doubt"}
    assert "mailbox in trouble" in ran.err
    assert canaries_in([ran, *shown]) == []
    for name, rows in desk.stored().items():
        assert name in MAY_NAME_PEOPLE or canaries_in(rows) == [], name
    files = [path.read_bytes() for path in (desk.folder / "sendledger.db.runners").rglob("*") if path.is_file()]
    assert files
    assert canaries_in(files) == []


def test_a_run_leaves_its_canaries_where_they_belong(desk: Desk) -> None:
    with awkward() as server:
        set_up(desk, server)
        desk.done("run", "--until", f"{MONDAY}T14:50+02:00")
    stored = desk.stored()
    assert canaries_in(stored["contacts"]) == ["kanarek", "klatka", NAME]
    assert canaries_in(stored["contents"]) == [WORD, TITLE]
    assert canaries_in(stored["replies"]) == list(CANARIES)
    assert canaries_in([zlib.decompress(message) for *_key, message in stored["kept_mails"]]) == list(CANARIES)
    assert canaries_in(server.messages) == list(CANARIES)


def test_json_logs_are_one_document_a_line(desk: Desk) -> None:
    with awkward() as server:
        set_up(desk, server)
        ran = desk.says("run", "--until", f"{MONDAY}T14:50+02:00", "--log-format", "json")
    entries = [json.loads(line) for line in ran.err.splitlines()]
    assert {"event", "level", "timestamp"} <= set(entries[0])


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_an_error_under_a_mail_is_logged_without_what_was_at_hand(desk: Desk, log_format: str) -> None:
    with ScriptedServer() as server:
        set_up(desk, server)
        desk.sql("UPDATE contacts SET salt = 'a text where octets belong'")
        ran = desk.says("run", "--until", f"{MONDAY}T10:05+02:00", "--log-format", log_format)
    assert "tick of a campaign failed" in ran.err
    assert "TypeError" in ran.err
    assert canaries_in(ran) == []


@pytest.mark.parametrize("reference", ["env:SALES_PW", "file:password"])
def test_a_password_is_used_and_shown_nowhere(desk: Desk, monkeypatch: pytest.MonkeyPatch, reference: str) -> None:
    monkeypatch.setenv("SALES_PW", PASSWORD)
    desk.write("password", f"{PASSWORD}\n")
    secret = b64encode(f"\0anna\0{PASSWORD}".encode()).decode()
    refusal = f"535 5.7.8 {PASSWORD} {secret} is wrong\r\n".encode()
    with ScriptedServer({"EHLO": WITH_LOGIN, "AUTH": in_turn(refusal, BEHAVED["AUTH"])}) as server:
        desk.ledger(clock=f"{MONDAY}T10:00+02:00")
        desk.mailbox(server.port, "--smtp-user", "anna", "--smtp-password", reference)
        desk.campaign()
        refused = desk.says("run", "--until", f"{MONDAY}T10:05+02:00", "--log-format", "json")
        [mailbox] = desk.rows("mailbox", "list")
        assert mailbox["state"] == "paused: auth refused with 535 5.7.8"
        desk.done("mailbox", "resume", "sales")
        desk.done("run", "--until", f"{MONDAY}T11:00+02:00")
    assert server.commands.count(f"AUTH PLAIN {secret}") == 2
    assert len(server.messages) == 4
    said = [refused, *(desk.says(*listing.split()) for listing in LISTINGS)]  # the doctor misses the server
    files = [path.read_bytes() for path in desk.folder.rglob("*") if path.is_file() and path.name != "password"]
    assert len(files) > 4
    for trace in (PASSWORD, secret):
        assert trace not in str(said)
        assert not [octets for octets in files if trace.encode() in octets]


def test_a_password_itself_is_refused_and_not_repeated(desk: Desk) -> None:
    desk.ledger()
    desk.mailbox()
    login = ("--smtp-user", "anna", "--smtp-password", PASSWORD)
    for command in (("add", "post", "--from", "anna@sender.example", "--smtp-host", "localhost"), ("set", "sales")):
        said = desk.refused("mailbox", *command, *login)
        assert "--smtp-password: is not a reference to a secret. Write env:NAME" in said
        assert PASSWORD not in said


def test_a_password_that_is_missing_pauses_the_mailbox_and_spends_no_attempt(desk: Desk) -> None:
    with ScriptedServer({"EHLO": WITH_LOGIN}) as server:
        desk.ledger(clock=f"{MONDAY}T10:00+02:00")
        desk.mailbox(server.port, "--smtp-user", "anna", "--smtp-password", "env:NO_SUCH_PASSWORD")
        desk.campaign()
        desk.done("run", "--until", f"{MONDAY}T10:05+02:00")
    assert desk.rows("mailbox", "list")[0]["state"].startswith("paused: ")
    assert {lead["attempts"] for lead in desk.rows("queue", "1")} == {0}


def test_an_error_that_nobody_meant_reaches_the_terminal_without_a_persons_data(desk: Desk) -> None:
    desk.ledger()
    desk.mailbox()
    desk.campaign(people=PEOPLE.replace("surname", "first_name"), started=False)
    desk.sql("UPDATE contacts SET fields = 'no JSON'")
    said = ended(desk.process("campaign", "start", "1"))
    assert said.code == 1
    assert "Traceback" in said.err
    assert canaries_in(said) == []


def test_an_errors_own_words_are_left_out_for_they_may_quote_a_person(desk: Desk) -> None:
    desk.ledger()
    desk.mailbox()
    desk.campaign(started=False)
    desk.done("status")
    desk.sql("UPDATE campaigns SET last_mail_at = 'kanarek@klatka.example'")
    with pytest.raises(ValueError, match=ADDRESS):
        desk.says("campaign", "show", "1")
    said = ended(desk.process("campaign", "show", "1"))
    assert (said.code, said.out) == (1, "")
    assert "fromisoformat" in said.err
    assert said.err.splitlines()[-3] == "builtins.ValueError"
    assert canaries_in(said) == []


def test_an_errors_causes_are_told_without_their_words_too() -> None:
    try:
        try:
            raise KeyError(ADDRESS)
        except KeyError as error:
            raise RuntimeError(NAME) from error
    except RuntimeError as error:
        words = told(error)
    assert words.index("builtins.KeyError") < words.index("builtins.RuntimeError")
    assert words.count("test_secrets.py") == 2
    assert canaries_in([line for line in words.splitlines() if "raise" not in line]) == []
