"""The preview of a campaign: the mail that will leave, byte for byte, and a plan that comes true to the second."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy.engine import URL

from domain.events import Sender
from tests.cli.desk import MONDAY, PEOPLE, Desk
from tests.cli.given import every_row, open_desk
from tests.smtp.scripted import ScriptedServer

WARSAW = ZoneInfo("Europe/Warsaw")
CROWD = "email,first_name\n" + "".join(f"p{n}@customer.example,Paweł {n}\n" for n in range(20))
THURSDAY = "2026-11-05T09:30+01:00"
"""Half of its window is over, a weekend follows, and the Wednesday after that is Poland's national holiday."""

MORNINGS = ('end = "15:00"', 'end = "10:00"\nholidays_of = ["PL"]')
LIMIT, DELAY = "daily_limit = 100", "delay_s = 90"
ASSUMED = (
    "Assumed: every mail is accepted at its first attempt and takes no time; nobody joins or leaves, no setting "
    "changes; v1 ticks every 60 s from now on."
)
DRAFT = "Campaign 1 (draft): planned as if started now, 2026-10-05 08:00:00 Europe/Warsaw."


def owned_by(sender: Sender) -> tuple[str, str]:
    return 'owner = "v1"', f'owner = "{sender}"'


def days_of(sendlog: Iterable[dict[str, Any]]) -> dict[str, list[str]]:
    """When mails were locked, in order, by the date on the wall in Warsaw."""
    days = defaultdict(list)
    for locked_at in sorted(row["locked_at"] for row in sendlog):
        days[f"{datetime.fromisoformat(locked_at).astimezone(WARSAW):%Y-%m-%d}"].append(locked_at)
    return days


def planned(plan: dict[str, Any]) -> dict[str, tuple[int, str, str]]:
    """The days with mails: how many, when the first and the last."""
    return {day["date"]: (day["mails"], day["first_mail"], day["last_mail"]) for day in plan["days"] if day["mails"]}


def came_true(days: dict[str, list[str]]) -> dict[str, tuple[int, str, str]]:
    return {date: (len(mails), mails[0], mails[-1]) for date, mails in days.items()}


@pytest.mark.parametrize("sender", ["v1", "v2"])
def test_the_plan_and_the_mails_are_what_a_run_then_sends(desk: Desk, sender: Sender) -> None:
    pace = ((LIMIT, "daily_limit = 5"), (DELAY, "delay_s = 600"))
    with ScriptedServer({}) as server:
        desk.ledger(clock=THURSDAY)
        desk.mailbox(server.port)
        desk.campaign(owned_by(sender), MORNINGS, *pace, people=CROWD)
        plan = desk.rows("campaign", "preview", "1")
        seventh = desk.rows("campaign", "preview", "1", "--lead", "7")["mail"]

        desk.done("run", "--until", "2026-11-12T10:00+01:00")

    assert planned(plan) == came_true(days_of(desk.rows("sendlog")))
    assert (plan["mails"], plan["left"]) == (20, 0)
    assert plan["last_mail"] == desk.rows("sendlog")[0]["locked_at"]
    assert [day["bound_by"] for day in plan["days"]] == [
        "delay",
        *("campaign's daily limit", "weekday", "weekday"),
        *("campaign's daily limit", "campaign's daily limit", "holiday"),
        "everybody is mailed",
    ]
    assert [plan["mail"]["message"].encode(), seventh["message"].encode()] == [server.messages[0], server.messages[6]]
    assert seventh["leaves_at"] == desk.rows("sendlog", "--lead", "7", "1")[0]["locked_at"]


def test_plans_of_campaigns_that_share_a_mailbox_all_come_true(desk: Desk) -> None:
    with ScriptedServer({}) as server:
        desk.ledger(clock="2026-10-05T08:59:45+02:00")
        desk.mailbox(server.port, "--daily-limit", "13")
        for changes in (
            [owned_by("v1"), (DELAY, "delay_s = 0")],
            [owned_by("v2"), (DELAY, "delay_s = 0"), (LIMIT, "daily_limit = 4")],
            [owned_by("v2"), (DELAY, "delay_s = 40")],
        ):
            desk.campaign(*changes, people=CROWD.replace("customer", f"c{len(changes)}"))
        plans = [desk.rows("campaign", "preview", number) for number in "123"]

        desk.done("run", "--until", "2026-10-07T12:00+02:00")

    assert [plan["counted_with"] for plan in plans] == [[2, 3], [1, 3], [1, 2]]
    assert [day["bound_by"] for plan in plans for day in plan["days"][:1]] == [
        "mailbox's daily limit",
        "campaign's daily limit",
        "mailbox's daily limit",
    ]
    for number, plan in zip("123", plans, strict=True):
        sent = came_true(days_of(desk.rows("sendlog", number)))
        assert {date: day for date, day in planned(plan).items() if date <= "2026-10-07"} == sent


def test_a_person_reads_the_mail_the_days_and_the_end(desk: Desk) -> None:
    html = 'html = "<p>Dear {{ first_name }}, it is out.</p>"\n\n[schedule]'
    desk.ledger()
    desk.mailbox()
    desk.campaign((LIMIT, "daily_limit = 3"), ("[schedule]", html), started=False)

    shown = desk.done("campaign", "preview", "1", "--lead", "3")

    assert [" ".join(line.split()) for line in shown.splitlines() if not line.startswith("Message-ID: <")] == [
        DRAFT,
        "",
        "The mail to lead 3, as it will leave 2026-10-05 09:04:00 Europe/Warsaw:",
        "",
        "From: Anna <anna@sender.example>",
        "To: shy@customer.example",
        "Subject: Autumn news for Paweł",
        "Date: Mon, 05 Oct 2026 07:04:00 +0000",
        "MIME-Version: 1.0",
        'Content-Type: multipart/alternative; boundary="=_sendledger"',
        "Content-Transfer-Encoding: 7bit",
        "",
        "--- text ---",
        "Dear Paweł, the autumn catalogue is out.",
        "",
        "--- html ---",
        "<p>Dear Paweł, it is out.</p>",
        "",
        "--- plan ---",
        "date weekday mails first mail last mail bound by note",
        "2026-10-05 MON 3 09:00:00 09:04:00 campaign's daily limit 3 a day",
        "2026-10-06 TUE 1 09:00:00 09:00:00 everybody is mailed",
        "",
        "4 mails, the last on 2026-10-06 09:00:00 Europe/Warsaw.",
        ASSUMED,
    ]


def test_days_and_hours_can_be_asked_for(desk: Desk) -> None:
    desk.ledger()
    desk.mailbox()
    desk.campaign((LIMIT, "daily_limit = 1"), (DELAY, "delay_s = 3600"), people=CROWD)
    told = desk.done("campaign", "preview", "1", "--days", "2")
    assert "2026-10-06" in told
    assert "2026-10-07" not in told
    assert "… 24 more days; --days shows them." in told
    assert "… 12 more days; --days shows them." in desk.done("campaign", "preview", "1")
    assert len(desk.rows("campaign", "preview", "1")["days"]) == len(desk.csv("campaign", "preview", "1")) - 1 == 26
    assert desk.csv("campaign", "preview", "1", "--days", "1", "--hours") == [
        ["date", "weekday", "hour", "mails"],
        [MONDAY, "MON", f"{MONDAY}T07:00:00.000000+00:00", "1"],
    ]
    assert f"{MONDAY}  MON      09:00:00      1" in desk.done("campaign", "preview", "1", "--hours")


def test_a_paused_campaign_is_planned_as_if_resumed(desk: Desk) -> None:
    desk.ledger()
    desk.mailbox()
    desk.campaign()
    desk.done("campaign", "pause", "1")
    assert "Campaign 1 (paused): planned as if resumed now" in desk.done("campaign", "preview", "1")
    assert desk.rows("campaign", "preview", "1")["mails"] == 4
    assert desk.rows("status")[0]["status"] == "paused"


def test_a_paused_mailbox_is_named_and_the_mail_is_shown_all_the_same(desk: Desk) -> None:
    desk.ledger()
    desk.mailbox()
    desk.campaign()
    desk.done("mailbox", "pause", "sales", "--reason", "moving house")
    told = desk.done("campaign", "preview", "1")
    assert "The mail to lead 1, as it would leave now:" in told
    assert "4 leads are not mailed by then: mailbox paused (moving house)." in told
    plan = desk.rows("campaign", "preview", "1")
    assert (plan["mails"], plan["left"], plan["left_by"]) == (0, 4, "mailbox paused (moving house)")


def test_a_mail_that_cannot_be_made_says_why(desk: Desk) -> None:
    desk.ledger()
    desk.mailbox()
    desk.campaign(("news for {{ first_name }}", "news for {{ town }}"), started=False)
    told = desk.done("campaign", "preview", "1")
    assert "Lead 1: The subject cannot be rendered, field town:" in told
    assert "--- plan ---" not in told
    mail = desk.rows("campaign", "preview", "1")["mail"]
    assert (mail["headers"], mail["message"]) == (None, None)
    assert mail["problem"].startswith("The subject cannot be rendered")


def test_a_lead_that_no_longer_waits_says_so(desk: Desk) -> None:
    desk.ledger()
    desk.mailbox()
    desk.campaign()
    desk.done("suppress", "add", "jan@customer.example")
    assert "Lead 1: no mail is to leave: it is skipped" in desk.done("campaign", "preview", "1", "--lead", "1")
    assert "The mail to lead 2" in desk.done("campaign", "preview", "1")
    desk.done("campaign", "cancel", "1")
    assert desk.done("campaign", "preview", "1") == "No mail is to leave.\n"


def test_bad_questions_are_refused(desk: Desk) -> None:
    desk.ledger()
    desk.mailbox()
    desk.campaign(people="email,first_name\n", started=False)
    assert "has no leads; import some" in desk.refused("campaign", "preview", "1")
    desk.done("leads", "import", "1", desk.write("leads.csv", PEOPLE))
    assert "campaign 1 has no lead 99." in desk.refused("campaign", "preview", "1", "--lead", "99")
    assert "there is no campaign 2" in desk.refused("campaign", "preview", "2")
    assert desk.says("campaign", "preview", "1", "--days", "0").code == 2


def test_a_preview_changes_nothing(tmp_path: Path, database: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = open_desk(tmp_path, database, monkeypatch, 25)
    desk.done("status")  # the views are up to date
    before = every_row(database)

    plan = desk.rows("campaign", "preview", "1")

    assert (plan["mails"], plan["mail"]["lead_id"]) == (4, 1)
    assert every_row(database) == before
    leaves_in = datetime.fromisoformat(plan["mail"]["leaves_at"]) - datetime.fromisoformat(plan["planned_at"])
    assert leaves_in == timedelta(0)
