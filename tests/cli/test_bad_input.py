"""Bad input: exit code 2, a few words that name file, row or field and say how to mend it, and nothing changed."""

from __future__ import annotations

import re

import pytest

from tests.cli.desk import MONDAY, SENDER, WEEK, WEEKDAYS, Desk
from tests.smtp.scripted import ScriptedServer

AT = ("--smtp-host", "127.0.0.1")
FROM = ("--from", SENDER)
LEADS = "email,first_name\njan@customer.example,Jan\n"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A ledger with a mailbox, a campaign that runs and a draft. Many tests share it: nothing ever changes in it."""
    desk = Desk(tmp_path_factory.mktemp("desk"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(desk.folder)
        set_up(desk)
    return desk


@pytest.fixture
def untouched(shared: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """The shared ledger, and its folder as working directory."""
    monkeypatch.chdir(shared.folder)
    return shared


@pytest.fixture
def own(desk: Desk) -> Desk:
    """The same for a test that changes something."""
    set_up(desk)
    return desk


def set_up(desk: Desk) -> None:
    desk.ledger(clock=f"{MONDAY}T10:00+02:00")
    desk.mailbox()
    desk.campaign()
    desk.campaign(started=False)


def names(said: str, *words: str) -> bool:
    """Are all these words there?"""
    missing = [word for word in words if word not in said]
    assert not missing, f"{missing} not in {said!r}"
    return True


# --- campaign files ---

CAMPAIGN_FILES = {
    "an unknown zone": ("Europe/Warsaw", "Europe/Warszawa", "schedule.zone", "Did you mean Europe/Warsaw?\n"),
    "an unknown weekday": (WEEKDAYS, '["MON", "FUNDAY"]', "schedule.weekdays", "use MON, TUE, WED"),
    "no weekday": (WEEKDAYS, "[]", "schedule.weekdays", "name some of MON, TUE"),
    "a weekday that is no list": (WEEKDAYS, '"MON"', "schedule.weekdays", "is a list"),
    "a start after the end": (
        'start = "09:00"',
        'start = "16:00"',
        "schedule.end",
        "16:00 is not before its end 15:00",
    ),
    "a start at the end": ('start = "09:00"', 'start = "15:00"', "schedule.end", "would never open"),
    "a start that is no time": ('start = "09:00"', 'start = "nine"', "schedule.start", "write it as HH:MM"),
    "an unknown country": ('end = "15:00"', 'end = "15:00"\nholidays_of = ["XX"]', "schedule.holidays_of", "ISO 3166"),
    "a negative delay": ("delay_s = 90", "delay_s = -1", "limits.delay_s", "greater than or equal to 0"),
    "a limit of 0": ("daily_limit = 100", "daily_limit = 0", "limits.daily_limit", "greater than or equal to 1"),
    "a limit in words": ("daily_limit = 100", 'daily_limit = "many"', "limits.daily_limit", "integer"),
    "an unknown key": ("daily_limit", "daily_limits", "limits.daily_limits", "is no field of a campaign file"),
    "an unknown section": ("[limits]", "[limit]", "limit", "is no field of a campaign file. Remove it."),
    "a name that is a number": ('name = "Autumn 2026"', "name = 5", "name", "valid string"),
    "no name": ('name = "Autumn 2026"\n', "", "name", "Field required"),
    "an empty name": ("Autumn 2026", " ", "name", "is empty"),
    "a control character in the name": ("Autumn 2026", r"Autumn\u0007", "name", "control character (U+0007). Write"),
    "an encoded word in the name": ("Autumn 2026", "=?utf-8?q?Autumn?=", "name", "begins an encoded word"),
    "an address in the name": ("Autumn 2026", "for jan@customer.example", "name", "without an address"),
    "a control character in the subject": ("Autumn news", r"Autumn\u0000", "content.subject", "(U+0000)"),
    "a second line in the subject": ("Autumn news", r"Autumn\nBcc: x@y.example", "content.subject", "is a line break"),
    "an encoded word in the subject": ("Autumn news", "=?utf-8?b?QQ==?=", "content.subject", "begins an encoded word"),
    "broken syntax in the subject": ("news for {{ first_name }}", "{{ first_name }", "content.subject", "line 1"),
    "broken syntax in the text": ("Dear {{ first_name }}", r"Dear\n{% if %}", "content.text", "line 2", "{% endif %}"),
    "a loop in the text": ("Dear {{ first_name }}", "{% for a in b %}{% endfor %}", "content.text", "loops cannot be"),
    "an unknown filter": ("Dear {{ first_name }}", "{{ first_name | shout }}", "content.text", "no filter shout"),
    "no text": ("text = ", "# ", "content.text", "Write text or html"),
    "a text file that is not there": ("text = ", 'text_file = "no.txt"\nhtml = ', "content.text_file", "no.txt"),
    "an unknown owner": ('owner = "v1"', 'owner = "v3"', "owner", "'v1' or 'v2'"),
    "an unknown mailbox": ('mailbox = "sales"', 'mailbox = "post"', "mailbox", "sendledger mailbox add"),
    "no TOML": ("[limits]", "[limits", "is not TOML", "line 15"),
}


@pytest.mark.parametrize("case", CAMPAIGN_FILES)
def test_a_campaign_file_is_refused_with_file_and_field(untouched: Desk, case: str) -> None:
    old, new, *words = CAMPAIGN_FILES[case]
    file = untouched.campaign_file((old, new), name="bad.toml")
    assert names(untouched.refused("campaign", "create", file), "sendledger: bad.toml", *words)
    assert names(untouched.refused("campaign", "edit", "1", file), "sendledger: bad.toml", *words)


def test_a_campaign_file_that_is_not_there_or_not_utf_8_is_named(untouched: Desk) -> None:
    assert names(untouched.refused("campaign", "create", "no.toml"), "no.toml: cannot be read: No such file")
    assert names(untouched.refused("campaign", "create", "."), "cannot be read: Is a directory")
    (untouched.folder / "latin.toml").write_bytes("name = 'Jesień'".encode("iso-8859-2"))
    assert names(untouched.refused("campaign", "edit", "1", "latin.toml"), "latin.toml", "it is not UTF-8")


def test_an_edit_does_not_change_the_owner(untouched: Desk) -> None:
    file = untouched.campaign_file(('owner = "v1"', 'owner = "v2"'))
    assert names(untouched.refused("campaign", "edit", "1", file), "autumn.toml, owner: the campaign is on v1")


# --- lead files ---

LEAD_FILES = {
    "no column email": ("e-mail,name\njan@customer.example,Jan\n", "row 1, email: there is no such column"),
    "an empty file": ("", "is empty"),
    "no address": ("email,name\njan,Jan\n", "row 2, email"),
    "a control character in a name": ("email,name\njan@customer.example,J\x07an\n", "row 2, name", "U+0007"),
    "an encoded word in a name": (
        "email,name\nok@customer.example,Ok\njan@customer.example,=?utf-8?q?Jan=0ABcc?=\n",
        *("row 3, name", "encoded word"),
    ),
    "too few cells": ("email,name\njan@customer.example\n", "row 2, row: has 1 cells, the header has 2"),
    "a column twice": ("email,name,Name\n", "row 1, Name: is there twice"),
    "a column no template can use": ("email,first name\n", "row 1, first name"),
    "a quote that is not closed": ('email,name\njan@customer.example,"Jan\n', "row 2"),
    "a priority in words": ("email,priority\njan@customer.example,high\n", "row 2, priority"),
}


@pytest.mark.parametrize("case", LEAD_FILES)
def test_a_lead_file_is_refused_with_row_and_column_and_never_quotes_a_person(untouched: Desk, case: str) -> None:
    text, *words = LEAD_FILES[case]
    said = untouched.refused("leads", "import", "2", untouched.write("bad.csv", text))
    assert names(said, "sendledger: bad.csv", *words)
    assert "jan" not in said.casefold()


def test_many_bad_rows_fit_on_a_screen(untouched: Desk) -> None:
    rows = "".join(f"nobody{n},X\n" for n in range(500))
    said = untouched.refused("leads", "import", "2", untouched.write("bad.csv", f"email,first_name\n{rows}"))
    assert names(said, "500 of 500 rows cannot be used", "row 2, email", "and 480 more", "--skip-bad-rows")


def test_a_lead_file_that_is_not_there_is_named(untouched: Desk) -> None:
    assert names(untouched.refused("leads", "import", "2", "no.csv"), "no.csv: cannot be read")
    assert names(untouched.refused("suppress", "import", "no.csv"), "no.csv: cannot be read")


def test_a_suppression_file_without_addresses_is_refused_with_its_rows(untouched: Desk) -> None:
    said = untouched.refused("suppress", "import", untouched.write("bad.csv", "email\nnobody\nmax@customer.example\n"))
    assert names(said, "bad.csv", "row 2, email")
    assert untouched.rows("suppress", "list") == []


# --- starting ---


def test_a_campaign_whose_template_asks_for_a_field_nobody_has_does_not_start(own: Desk) -> None:
    own.campaign(("Dear {{ first_name }}", "Dear {{ firstname }}"), started=False)
    said = own.refused("campaign", "start", "3")
    assert names(said, "4 of 4 leads cannot be rendered", "field firstname", "campaign edit", "{{ firstname | default")
    assert re.findall(r"lead (\d+):", said) == ["1", "2", "3", "4"]
    assert "customer.example" not in said


def test_leads_that_lack_a_field_are_listed_on_one_screen(own: Desk) -> None:
    people = "".join(f"p{n}@customer.example\n" for n in range(100))
    own.campaign(people=f"email\n{people}", started=False)
    assert names(own.refused("campaign", "start", "3"), "100 of 100 leads", "lead 20:", "and 80 more")


def test_a_campaign_without_leads_does_not_start(own: Desk) -> None:
    own.done("campaign", "create", own.campaign_file())
    assert names(own.refused("campaign", "start", "3"), "has no leads", "sendledger leads import")


# --- mailboxes ---

MAILBOXES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "no sender": (AT, ("--from: is missing",)),
    "no server": (FROM, ("--smtp-host: is missing",)),
    "a sender without address": (("--from", "Anna", *AT), ("--from: holds no valid address",)),
    "two senders": (("--from", f"{SENDER}, {SENDER}", *AT), ("--from: holds no valid address, or more than one",)),
    "a control character in the name": (("--from", f"A\x07{SENDER}", *AT), ("name", "U+0007")),
    "an encoded word in the name": (("--from", f"=?utf-8?q?A?= {SENDER}", *AT), ("encoded word",)),
    "a limit of 0": ((*FROM, *AT, "--daily-limit", "0"), ("--daily-limit: is out of range. Give 1 to",)),
    "an unknown zone": ((*FROM, *AT, "--zone", "Europe/Warszawa"), ("zone", "Did you mean Europe/Warsaw?")),
    "a port that is none": ((*FROM, *AT, "--smtp-port", "70000"), ("--smtp-port: is no port",)),
    "a login without password": ((*FROM, *AT, "--smtp-user", "anna"), ("--smtp-user", "--smtp-password")),
    "an unknown encryption": ((*FROM, *AT, "--smtp-tls", "ssl"), ("--smtp-tls", "starttls", "implicit")),
    "a host that is none": ((*FROM, "--smtp-host", "mail server"), ("--smtp-host: is no host name",)),
}


@pytest.mark.parametrize("case", MAILBOXES)
def test_a_mailbox_is_refused_with_its_option(untouched: Desk, case: str) -> None:
    options, words = MAILBOXES[case]
    assert names(untouched.refused("mailbox", "add", "post", *options), *words)
    if words[0] not in ("--from: is missing", "--smtp-host: is missing"):
        assert names(untouched.refused("mailbox", "set", "sales", *options), *words)


@pytest.mark.parametrize("name", ["two words", "a@b.example", "ż", "-", "a" * 51])
def test_a_mailbox_is_refused_by_its_name(untouched: Desk, name: str) -> None:
    assert names(untouched.refused("mailbox", "add", *FROM, *AT, "--", name), "NAME", "Use letters, digits")


@pytest.mark.parametrize("host", ["mail.sender.example", "192.0.2.7", "::ffff:192.0.2.7", "localhost.example"])
def test_nothing_leaves_this_machine_in_the_clear_unasked(untouched: Desk, host: str) -> None:
    said = untouched.refused("mailbox", "add", "post", *FROM, "--smtp-host", host, "--smtp-tls", "none")
    assert names(said, "--smtp-tls", "starttls or implicit", "--smtp-allow-plaintext")
    assert names(untouched.refused("mailbox", "set", "sales", "--smtp-host", host), "--smtp-tls")


def test_in_the_clear_it_goes_to_this_machine_and_where_somebody_allows_it(own: Desk) -> None:
    own.done("mailbox", "add", "far", *FROM, "--smtp-host", "192.0.2.7", "--smtp-tls", "none", "--smtp-allow-plaintext")
    for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost"):
        own.done("mailbox", "set", "sales", "--smtp-host", host)
        assert own.rows("mailbox", "list")[1]["server"] == f"{host}:25"


# --- numbers and names of what is not there ---

NOT_THERE = {
    "campaign show 9": "no campaign 9",
    "campaign start 9": "campaign-9",
    "campaign pause 9": "campaign-9",
    "campaign resume 9": "campaign-9",
    "campaign cancel 9": "campaign-9",
    "campaign cancel 9 --dry-run": "campaign-9",
    "campaign edit 9 autumn.toml": "campaign-9",
    "campaign retry 9 --failed --reason x": "no campaign 9",
    "leads import 9 leads.csv": "campaign-9",
    "queue 9": "no campaign 9",
    "sendlog 9": "no campaign 9",
    "sendlog 1 --lead 99": "campaign 1 has no lead 99",
    "why 9": "no campaign 9",
    "why 1 --lead 99": "campaign 1 has no lead 99",
    "check 9": "no campaign 9",
    "in-doubt resolve 9 1 --sent --evidence x": "campaign 9 has no lead 1",
    "in-doubt resolve 1 99 --sent --evidence x": "campaign 1 has no lead 99",
    "mailbox set nobody --daily-limit 3": "no mailbox nobody",
    "mailbox pause nobody": "nobody",
    "mailbox resume nobody": "nobody",
}


@pytest.mark.parametrize("words", NOT_THERE)
def test_what_is_not_there_is_named(untouched: Desk, words: str) -> None:
    said = untouched.refused(*words.split())
    assert names(said, NOT_THERE[words])
    assert " list` shows which there are" in said or "has no lead" in said


# --- options ---

OPTIONS = {
    "run": "--until: this ledger's time is simulated. Say when it ends",
    "run --until tomorrow": "--until: 'tomorrow' is no instant. Write it with its zone",
    "run --until 2026-10-06T18:00": "--until: '2026-10-06T18:00' is no instant",
    "run --until 0001-01-01T00:00+14:00": "--until",
    "run --until 9999-12-31T23:59-14:00": "--until",
    "run --until 2026-10-06T18:00Z --v1-every 5": "--v1-every: '5' is no duration. Write it with its unit: 30s, 1m, 2h",
    "run --until 2026-10-06T18:00Z --v2-every 0s": "--v2-every: '0s' is no duration",
    "run --until 2026-10-06T18:00Z --v2-every 99999999999999999h": "--v2-every",
    "run --until 2026-10-06T18:00Z --log-format xml": "--log-format",
    "tick v3": "'v1', 'v2'",
    "tick": "sender",
    "status --format xml": "'table', 'json', 'csv'",
    "sendlog --by v3": "--by",
    "queue 1 --limit 0": "--limit",
    "queue one": "number",
    "campaign retry 1 --reason x": "say --failed",
    "campaign retry 1 --failed": "--reason",
    "in-doubt resolve 1 1 --evidence x": "--sent or --not-sent: is missing",
    "in-doubt resolve 1 1 --sent": "--evidence",
    "suppress add nobody": "email: An email address must have an @-sign. Correct the address.",
    "suppress remove nobody": "email: An email address must have an @-sign. Correct the address.",
    "runner register": "--reason",
    "campaign nonsense": "No such command",
}


@pytest.mark.parametrize("words", OPTIONS)
def test_a_bad_option_is_named(untouched: Desk, words: str) -> None:
    assert names(untouched.refused(*words.split()), OPTIONS[words])


def test_in_real_time_a_run_does_not_end_before_it_begins(desk: Desk) -> None:
    with ScriptedServer() as server:
        desk.done("init")
        desk.mailbox(server.port)
        desk.campaign(
            (WEEKDAYS, WEEK), ('"09:00"', '"00:00"'), ('"15:00"', '"24:00"'), ('owner = "v1"', 'owner = "v2"')
        )
        assert names(desk.refused("run", "--until", "2020-01-01T00:00Z"), "--until: has passed already")
    assert server.messages == []


ADDRESSED = [
    ("campaign start 2", "--reason"),
    ("campaign pause 1", "--reason"),
    ("campaign resume 1", "--reason"),
    ("campaign cancel 1", "--reason"),
    ("campaign retry 1 --failed", "--reason"),
    ("mailbox pause sales", "--reason"),
    ("mailbox resume sales", "--reason"),
    ("suppress add max@customer.example", "--reason"),
    ("runner register", "--reason"),
    ("in-doubt resolve 1 1 --sent", "--evidence"),
]


@pytest.mark.parametrize(("command", "option"), ADDRESSED)
def test_words_that_are_kept_for_ever_may_hold_no_address(untouched: Desk, command: str, option: str) -> None:
    words = command.split()
    said = untouched.refused(*words, option, "jan@customer.example asked for it")
    assert names(said, option.removeprefix("--"), "holds what looks like an e-mail address", "by its number")
    assert "jan" not in said
    assert names(untouched.refused(*words, option, "  "), "is empty")
    assert names(untouched.refused(*words, option, "one\nline"), "is a line break")


def test_who_asks_may_be_no_address(untouched: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENDLEDGER_ACTOR", "anna@sender.example")
    assert names(untouched.refused("campaign", "pause", "1"), "SENDLEDGER_ACTOR", "e-mail address")


# --- commands that the rules refuse ---


def test_a_command_that_does_not_fit_is_refused_with_what_is_true(own: Desk) -> None:
    assert names(own.refused("campaign", "start", "1"), "is running: only one that is draft can be started")
    assert names(own.refused("campaign", "resume", "1"), "is running")
    assert names(own.refused("campaign", "pause", "2"), "is draft: only one that is running can be paused")
    assert names(own.refused("mailbox", "add", "sales", *FROM, *AT), "exists already", "sendledger mailbox set")
    own.done("campaign", "cancel", "2")
    assert names(own.refused("campaign", "cancel", "2"), "is cancelled")
    assert names(own.refused("campaign", "cancel", "2", "--dry-run"), "is cancelled")
    assert names(own.refused("campaign", "edit", "2", "autumn.toml"), "is cancelled")
    assert names(own.refused("leads", "import", "2", own.write("l.csv", LEADS)), "is cancelled")


@pytest.mark.parametrize("words", ["queue {}", "campaign pause {}", "why 1 --lead {}", "sendlog --lead {}", "check {}"])
def test_a_number_beyond_all_reason_is_refused(untouched: Desk, words: str) -> None:
    untouched.refused(*words.format(10**20).split())
