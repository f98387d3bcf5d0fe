"""Given two campaigns, one on each sender, when they are audited, then all that was sent is told, and adds up."""

from __future__ import annotations

import csv
import email
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas
import pytest

from runner.sink import Sink
from tests.cli.audits import sends_two_campaigns
from tests.cli.conftest import REFUSED
from tests.cli.desk import MONDAY, Desk
from tests.databases import Databases, Kind


@pytest.fixture(scope="module")
def office(kind: Kind, all_databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Many tests share it: none changes what is in it."""
    folder = tmp_path_factory.mktemp("office")
    with pytest.MonkeyPatch.context() as patch, all_databases.within() as databases:
        patch.chdir(folder)
        server = databases.empty() if kind == "postgresql" else None
        if server is not None:
            patch.setenv("SENDLEDGER_DATABASE_URL", server.render_as_string(hide_password=False))
        desk = Desk(folder, server)
        with Sink(folder / "mails", refuse=REFUSED) as sink:
            sends_two_campaigns(desk, sink)
        yield desk


@pytest.fixture
def sent(office: Desk) -> Desk:
    """Two campaigns that were sent."""
    return office


# --- sends ---


def test_every_attempt_is_told_once_by_campaign_lead_and_attempt(sent: Desk) -> None:
    rows = sent.rows("audit", "sends")
    assert [(row["campaign_id"], row["lead_id"], row["attempt"], row["outcome"]) for row in rows] == [
        *((1, 1, 1, "sent"), (1, 2, 1, "failed"), (1, 3, 1, "failed"), (1, 3, 2, "sent"), (1, 4, 1, "sent")),
        *((2, 1, 1, "sent"), (2, 2, 1, "sent"), (2, 3, 1, "sent")),
    ]
    assert {row["sender"] for row in rows if row["campaign_id"] == 2} == {"v2"}
    assert rows[0]["address"] == "jan@customer.example"
    assert list(rows[0]) == [row["column"] for row in sent.rows("audit", "sends", "--columns")]


FILTERS: dict[str, tuple[tuple[str, ...], int]] = {
    "a campaign": (("--campaign", "2"), 3),
    "a sender": (("--by", "v1"), 5),
    "sent": (("--outcome", "sent"), 6),
    "failed": (("--outcome", "failed"), 2),
    "in doubt": (("--outcome", "in-doubt"), 0),
    "a time": (("--since", f"{MONDAY}T09:03+02:00", "--until", f"{MONDAY}T10:00+02:00", "--by", "v2"), 1),
    "before all": (("--until", f"{MONDAY}T08:00+02:00"), 0),
    "all of it": (("--campaign", "1", "--by", "v1", "--outcome", "failed", "--since", f"{MONDAY}T00:00Z"), 2),
}


def test_any_mix_of_filters_tells_those_and_their_sum(sent: Desk) -> None:
    for options, count in FILTERS.values():
        assert len(sent.rows("audit", "sends", *options)) == count, options
        if count:
            assert f"\n{count} attempts (" in sent.done("audit", "sends", *options)
    assert "Nothing was tried." in sent.done("audit", "sends", "--outcome", "in-doubt")


def test_a_table_says_how_many_more_there_are(sent: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.cli.audit.sends.SHOWN", 2)
    told = sent.done("audit", "sends")
    assert told.count("@customer.example") == 2
    assert "8 attempts (2 failed, 6 sent); they add up to the events up to position" in told
    assert "2 are shown" in told


def test_an_export_is_opened_by_other_tools(sent: Desk) -> None:
    assert sent.done("audit", "sends", "--format", "parquet", "-o", "sends.parquet").startswith("sends.parquet: 8 att")
    by_sender = (
        duckdb.connect()
        .execute(
            "SELECT sender, count(*) FILTER (outcome = 'sent') AS sent, min(locked_at) AS first"
            " FROM 'sends.parquet' GROUP BY sender ORDER BY sender"
        )
        .fetchall()
    )
    assert [(sender, count) for sender, count, _ in by_sender] == [("v1", 3), ("v2", 3)]
    assert by_sender[0][2].astimezone(UTC) == datetime(2026, 10, 5, 7, tzinfo=UTC)

    frame = pandas.read_parquet("sends.parquet")
    assert frame[frame.outcome == "failed"].groupby("sender").code.unique().map(list).to_dict() == {"v1": [550, 451]}
    assert str(frame.locked_at.dtype) == "datetime64[us, UTC]"
    assert frame.duplicate.tolist() == [False] * 8


def test_csv_and_json_hold_the_same_and_no_formula(sent: Desk) -> None:
    for form in ("csv", "json"):
        sent.done("audit", "sends", "--format", form, "-o", f"sends.{form}")
    documents: list[dict[str, Any]] = json.loads(Path("sends.json").read_text())
    with Path("sends.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    told = [{name: "" if value is None else str(value) for name, value in each.items()} for each in documents]
    assert rows == told
    assert not list(Path().glob("*.part"))


# --- a person, a mail ---


def test_a_person_is_told_with_the_rules_of_each_moment(sent: Desk) -> None:
    rows = sent.rows("audit", "person", "JAN@customer.example")
    assert [(row["campaign_id"], row["lead_id"], row["sender"], row["outcome"]) for row in rows] == [
        (1, 1, "v1", "sent"),
        (2, 3, "v2", "sent"),
    ]
    assert {row["delay_s"] for row in rows} == {90}
    assert rows[0]["window"] == "MON TUE WED THU FRI 09:00–15:00 Europe/Warsaw"
    told = sent.done("audit", "person", "jan@customer.example")
    assert "2026-10-05 09:00:00" in told
    assert told.endswith("The address is not on the suppression list.\n")


def test_the_very_bytes_of_a_mail_are_shown_and_proved(sent: Desk) -> None:
    sent.done("audit", "mail", "1", "3", "--eml", "-o", "mail.eml")
    kept = Path("mail.eml").read_bytes()
    delivered = [path.read_bytes() for path in (sent.folder / "mails" / "new").iterdir()]
    assert any(kept.replace(b"\r\n", b"\n") in mail.replace(b"\r\n", b"\n") for mail in delivered)
    assert email.message_from_bytes(kept)["To"] == "shy@customer.example"
    process = sent.process("audit", "mail", "1", "3", "--eml")
    out, _ = process.communicate(timeout=30)
    assert out.encode().replace(b"\r\n", b"\n") == kept.replace(b"\r\n", b"\n")

    told = sent.done("audit", "mail", "1", "3")
    assert "Attempt 2 by v1, sent, locked 2026-10-05" in told
    assert "Dear Paweł, the autumn catalogue is out." in told
    [document] = sent.rows("audit", "mail", "1", "3")
    assert f"Proved: HMAC {document['digest']} of these {len(kept)} octets" in told


def test_a_mail_that_was_never_sent_is_not_shown(sent: Desk) -> None:
    assert "there was no mail to lead 9 of campaign 1" in sent.refused("audit", "mail", "1", "9")
    assert "the mail to lead 2 of campaign 1 was never locked here" in sent.refused("audit", "mail", "1", "2")


# --- both senders, and the rules ---


def test_both_senders_stand_beside_each_other(sent: Desk) -> None:
    assert [tuple(row.values()) for row in sent.rows("audit", "systems")] == [
        (1, "v1", 5, 3, 2, 0, 0, 0),
        (2, "v2", 3, 3, 0, 0, 0, 0),
    ]
    [row] = sent.rows("audit", "systems", "--campaign", "2", "--by-day")
    assert (row["date"], row["sent"]) == (MONDAY, 3)
    assert "Picture: days.svg" in sent.done("audit", "systems", "--plot", "days.svg")
    assert "attempts a day" in Path("days.svg").read_text()


def test_a_certificate_counts_every_rule_and_names_no_exception(sent: Desk) -> None:
    document = sent.rows("audit", "rules")
    assert document["exceptions"] == []
    assert {row["rule"]: row["kept"] for row in document["rules"] if row["stream"] == "campaign-2"} == {
        "no duplicates": 3,
        "schedule": 3,
        "campaign's daily limit": 3,
        "delay": 2,
        "owner": 3,
        "all accounted for": 3,
    }
    assert document["sealed"] == document["position"]
    assert document["checkpoint"].startswith("sendledger/")
    assert "0 exceptions in the events up to position" in sent.done("audit", "rules", "--campaign", "1")
    assert "there is no campaign 9" in sent.refused("audit", "rules", "--campaign", "9")


def test_the_queries_of_the_documentation_run(sent: Desk) -> None:
    sent.done("audit", "sends", "--format", "parquet", "-o", "sends.parquet")
    told = (Path(__file__).parents[2] / "docs" / "ledger.md").read_text(encoding="utf-8")
    query, python = (part.partition("\n\n")[0] for part in re.split(r"In DuckDB:\n\n|by sender:\n\n", told)[1:])
    rows = duckdb.connect().execute(query).fetchall()
    assert [(sender, mails, count) for sender, _, mails, count in rows if _ is not None] == [("v1", 3, 3), ("v2", 3, 3)]
    first, second = (line.strip() for line in python.strip().splitlines())
    names: dict[str, Any] = {"pandas": pandas}
    exec(first, names)  # noqa: S102 - it is the documentation's own
    assert list(eval(second, names).index) == ["v1", "v2"]  # noqa: S307 - the same
