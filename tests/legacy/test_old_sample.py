"""Given the sample of the old application, when it is read, then everything is in its place; and it can be played."""

from __future__ import annotations

from sqlalchemy.engine import URL

from runner.legacy.old_database import open_old_database
from tests.legacy.old_player import OldApplication
from tests.legacy.old_sample import Place
from tests.legacy.old_system import NOW, build

OTHERS = ("Jesień", "Targi", "Wiosna", "Szkic", "Lato", "Odwołana")


def test_the_sample_has_what_its_places_say(old_url: URL) -> None:
    sample = build(old_url)
    number = sample.campaigns["Zima"]
    places = sample.leads[number]
    with open_old_database(old_url) as old:
        leads = {lead.lead_id: lead for lead in old.leads(number)}
        sends, queue = list(old.sends(number)), list(old.queue(number))
        today = [send for send in old.sends(sample.campaigns["Targi"]) if send.created_at.date() == NOW.date()]
        others = {name: list(old.leads(sample.campaigns[name])) for name in OTHERS}
    logged = [send.lead_id for send in sends if send.status == "sent"]
    waiting = {key for key, lead in leads.items() if lead.v1_status in ("planned", "queued")}
    with_sent = {key for key, lead in leads.items() if lead.v1_status in ("sent", "replied")}
    rows = {lead.row_id: lead for lead in leads.values()}
    queued_as = {
        rows[row.campaign_lead_row_id].lead_id: row.status for row in queue if row.campaign_lead_row_id in rows
    }
    assert set(places[Place.SENT_IN_LOG_ONLY]) == waiting & set(logged)
    assert set(places[Place.SENT_WITHOUT_LOG]) == with_sent - set(logged)
    assert set(places[Place.IN_DOUBT]) == {key for key, lead in leads.items() if lead.v1_status == "sending"}
    assert set(places[Place.SENT_TWICE]) == {key for key in logged if key is not None and logged.count(key) > 1}
    assert set(places[Place.TWO_STATES]) == {
        key for key, status in queued_as.items() if (key in with_sent) != (status == "sent") and status != "sending"
    }
    assert set(places[Place.BLOCKED]) == {key for key in waiting if leads[key].is_blocked}
    same = [lead for lead in leads.values() if lead.address.casefold() == "jozef.nowak@zaklad.example"]
    assert places[Place.ONE_ADDRESS] == [lead.lead_id for lead in same]
    assert places[Place.LOG_WITHOUT_LEAD] == [send.row_id for send in sends if send.lead_id is None]
    nobodys = {send.address.casefold() for send in sends if send.lead_id is None}
    assert places[Place.LOG_BY_ADDRESS] == [key for key, lead in leads.items() if lead.address in nobodys]
    assert {leads[key].v1_status for key in places[Place.CLEAN_WAITING]} == {"queued", "planned"}
    assert [leads[key].v1_status for key in (*places[Place.FAILED], *places[Place.REPLIED])] == ["failed", "replied"]
    assert len(today) == len(sample.leads[sample.campaigns["Targi"]][Place.LIMIT_EXCEEDED]) > 3
    for name in ("Jesień", "Odwołana"):
        forever = [lead.lead_id for lead in others[name] if lead.v1_status in ("planned", "queued")]
        assert forever == sample.leads[sample.campaigns[name]][Place.WAITS_FOR_EVER]


def test_the_old_application_is_played(old_url: URL) -> None:
    sample = build(old_url)
    wiosna = sample.campaigns["Wiosna"]
    application = OldApplication(old_url, wiosna, sample.now)
    [sent], [waiting, *_] = (sample.leads[wiosna][place] for place in (Place.CLEAN_SENT, Place.CLEAN_WAITING))
    application.resume()
    application.replied(sent)
    application.block(waiting)
    application.log(None, None)
    application.change(maxEmailsPerDay=7)
    added = application.add_lead("zofia@kuznia.example", status="planned", priority=3, created_at=sample.ago(40))
    application.complete()
    with open_old_database(old_url) as old:
        [campaign] = old.campaigns(wiosna)
        first, *leads = old.leads(wiosna)
        *_, last = old.sends(wiosna)
    assert (campaign.status, campaign.daily_limit) == ("COMPLETED", 7)
    assert campaign.completed_at
    assert campaign.completed_at > sample.now
    assert (first.lead_id, first.v1_status, first.priority) == (added, "planned", 3)
    assert {lead.lead_id: (lead.v1_status, lead.is_blocked) for lead in leads if lead.lead_id in (sent, waiting)} == {
        sent: ("replied", False),
        waiting: ("queued", True),
    }
    assert (last.lead_id, last.message_id, last.status) == (None, None, "sent")
