"""A frozen state decides as the live one does, and the fold of a fixed stream has a fixed fingerprint."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import pytest

from domain import campaign as campaigns
from domain import commands, cutover
from domain import mailbox as mailboxes
from domain.analysis import QUEUE_SENT, UNKNOWN_SENDS
from domain.calendar import Schedule
from domain.campaign import Campaign, Status, evolve
from domain.errors import CommandRefused
from domain.events import EVENT_TYPES, Observation
from domain.leads import LeadState
from domain.policies import Send
from domain.rules import Limits
from domain.snapshot import freeze, freeze_mailbox, shape, thaw, thaw_mailbox
from tests.domain.given import GREYLISTED, PERMANENT, World, digest, refolded, running

HERE = Path(__file__).parent
GOLDEN_STREAMS = {
    HERE / "golden_stream.jsonl": "dd8bdc67b6f9772c07365b495806c9502d3af2250fa5a97b51daa3f99bf023b6",
    HERE / "golden_cutover.jsonl": "86515eca3262517c646a02fdb52528877f649f4aa6aa392623efbeb5b9fb3343",
}
"""Streams as they were stored, with every event of a campaign in them: one made here, and one that came from an old
system, was taken over, moved to V2 and back. With each the fingerprint of the states that it goes through: if that
changes, what is stored means something else than it did."""


def eventful() -> World:
    """A stream that leaves something in every corner of the state."""
    world = World(owner="v2", schedule=Schedule(holidays_of=("PL",)), limits=Limits(delay_s=0, max_attempts=3))
    world.queue(9, 1, 5, 5, 1, 9, 7, 7, 7, 7)
    world.queue(2, v1_status="planned")
    world.start()
    late = world.not_sent_after_doubt(0)
    world.lock(0)
    world.sent(late)  # accepted while the next attempt is locked
    world.delivered(1)
    world.failed(world.lock(2))
    world.failed(world.lock(3), PERMANENT)
    world.requeue(3)
    world.refused_before_lock(4, GREYLISTED)
    world.in_doubt(world.lock(5))
    world.in_doubt(world.lock(6))
    world.resolve(6, "sent")
    world.skip(7)
    world.save(commands.change_contacts(world.campaign, {8: digest(80)}, now=world.now))
    world.refused_before_lock(9)
    late = world.not_sent_after_doubt(10)
    world.now += timedelta(minutes=20)
    world.sent(world.lock(10))
    world.sent(late)  # a duplicate
    world.edit(content_digest=digest(2), schedule=Schedule(zone="UTC"), limits=Limits(delay_s=1), mailbox="support")
    world.pause()
    world.resume()
    return world


def imported() -> World:
    """One of an old system, still observed, that leaves something in every corner of its past."""
    world = World(observed=True, limits=Limits(delay_s=0, max_attempts=3))
    world.add_leads(
        "queued", "planned", "sending", "sent", "failed", "replied", "sending", "queued", "queued", "sending"
    )
    world.follow_life(Status.RUNNING, since=world.now - timedelta(days=9))
    world.add_sends((40, 3), (12, 3), (300, 0), ago=timedelta(hours=1))
    world.follow_statuses({2: "sent", 4: "queued", 9: "queued"})
    world.end(
        *(Observation(rule=QUEUE_SENT, leads=(107,)), Observation(rule=UNKNOWN_SENDS, rows=(8, 9))),
        send_log={"sent": 3, "error": 1},
        queue_rows={"sent": 1},
    )
    world.fix()
    world.follow_statuses({1: "sending"})
    return world


def crossed() -> World:
    """The same since it was taken over and flagged, and could not be migrated."""
    world = imported()
    world.take_over()
    world.resolve(1, "not sent")
    world.resolve(6, "sent")
    world.delivered(1)
    world.add_sends((5, 1))  # a duplicate, of an attempt before the one that we mailed
    world.add_sends((6, 1))
    world.save(mailboxes.delay(world.mailbox, phase="mail", code=421, enhanced=None, now=world.now))
    world.flag()
    world.save(cutover.refuse_flagged(world.campaign, CommandRefused("not yet"), now=world.now))
    world.now += timedelta(hours=5)
    return world


WORLDS = [eventful, imported, crossed]


def test_the_imported_streams_reach_every_corner_of_a_past() -> None:
    past = crossed().campaign.legacy
    assert past is not None
    assert all((past.source, past.settings_digest, past.send_log, past.queue, past.observations))
    assert all((past.complete, not past.observed, len(past.rows) > 1, any(past.sends), past.numbers))
    assert (crossed().campaign.flagged, crossed().campaign.migration_refused) == (True, "not yet")


def test_the_stream_of_this_test_reaches_every_state_and_every_corner() -> None:
    campaign = eventful().campaign
    assert all(campaign.roll.counts)
    corners = (campaign.retry_of, campaign.attempts, campaign.attempts_forgiven, campaign.revisions, campaign.open)
    assert all(corners)
    assert campaign.accepted_late
    assert campaign.mails.quarters()


@pytest.mark.parametrize("made", WORLDS)
def test_a_thawed_state_is_the_frozen_one_attribute_for_attribute(made: Callable[[], World]) -> None:
    world = made()
    thawed = thaw("campaign-1", freeze(world.campaign))
    assert document(thawed) == document(world.campaign)
    apart = {"roll", "numbers", "arrivals", "precedence", "retries", "mails", "legacy"}
    for name in set(vars(world.campaign)) - apart:
        assert getattr(thawed, name) == getattr(world.campaign, name), name
    assert bytes(thawed.roll) == bytes(world.campaign.roll)
    assert thawed.roll.counts == world.campaign.roll.counts
    assert thawed.next_retry() == world.campaign.next_retry()
    assert past(thawed) == past(world.campaign)


def test_a_thawed_state_decides_the_same_to_the_very_end() -> None:
    world = eventful()
    other = eventful()
    other.campaign = thaw("campaign-1", freeze(other.campaign))
    for step in range(40):
        assert other.next() == world.next()
        for each in (world, other):
            send = each.next()
            if isinstance(send, Send):
                token = each.lock(send.position)
                _ = each.failed(token) if step % 3 else each.sent(token)
            each.now += timedelta(minutes=7)
    assert other.history == world.history
    assert world.campaign.roll.counts[LeadState.QUEUED] == 0


@pytest.mark.parametrize("made", [imported, crossed])
def test_a_thawed_past_is_crossed_the_same_to_the_very_end(made: Callable[[], World]) -> None:
    world, other = made(), made()
    other.campaign = thaw("campaign-1", freeze(other.campaign))
    assert (other.plan(), other.found()) == (world.plan(), world.found())
    for each in (world, other):
        assert each.add_sends((12, 3), (300, 0)) == []
        each.add_sends((11, 3), (12, 3), (13, 5), (41, 2), (42, 8))
        if each.campaign.observed:
            each.follow_statuses({0: "sent", 4: "sending"})
            each.take_over()
        each.fix()
        for position in (4, 9):
            if each.state(position) is LeadState.IN_DOUBT:
                each.resolve(position, "not sent")
        each.migrate()
        while isinstance(send := each.next(), Send):
            each.delivered(send.position)
            each.save(cutover.roll_back(each.campaign, actor="anna", reason="again", now=each.now))
            each.migrate()
        each.add_sends((50, 4), (51, 9))
    assert other.history == world.history
    assert world.campaign.roll.counts[LeadState.QUEUED] == 0
    assert freeze(refolded(world.history, "campaign-1")) == freeze(world.campaign)


def test_a_campaign_that_has_just_been_created_freezes_too() -> None:
    campaign = World().campaign
    assert document(thaw("campaign-1", freeze(campaign))) == document(campaign)


def test_a_thawed_mailbox_is_the_frozen_one_attribute_for_attribute() -> None:
    world = running(5, 5)
    world.delivered(0)
    world.save(mailboxes.delay(world.mailbox, phase="mail", code=451, enhanced=None, now=world.now))
    world.save(mailboxes.pause(world.mailbox, actor="anna", reason="login refused", now=world.now))
    thawed = thaw_mailbox("mailbox-sales", freeze_mailbox(world.mailbox))
    assert thawed.mails.quarters() == world.mailbox.mails.quarters() != {}
    assert {**vars(thawed), "mails": None} == {**vars(world.mailbox), "mails": None}
    assert all(vars(thawed).values())


def test_the_golden_stream_holds_every_event_of_a_campaign() -> None:
    lines = [line for stream in GOLDEN_STREAMS for line in stream.read_text().splitlines()]
    stored = {json.loads(line)["topic"] for line in lines}
    assert stored == {topic for topic, kind in EVENT_TYPES.items() if kind in campaigns._EVOLVE}


@pytest.mark.parametrize("made", WORLDS)
def test_folding_the_stream_anew_gives_the_same_frozen_state(made: Callable[[], World]) -> None:
    world = made()
    assert freeze(refolded(world.history, "campaign-1")) == freeze(world.campaign)


@pytest.mark.parametrize("stream", GOLDEN_STREAMS, ids=lambda stream: stream.stem)
def test_the_fold_of_a_fixed_stream_has_a_fixed_fingerprint(stream: Path) -> None:
    campaign, fingerprint = Campaign("campaign-1"), hashlib.sha256()
    for version, line in enumerate(stream.read_text().splitlines(), start=1):
        golden = json.loads(line)
        event = EVENT_TYPES[golden["topic"]].model_validate_json(json.dumps(golden["state"]))
        evolve(campaign, event.model_copy(update={"originator_version": version}))
        fingerprint.update(json.dumps(document(campaign), sort_keys=True).encode())
    assert fingerprint.hexdigest() == GOLDEN_STREAMS[stream]


def test_the_shape_is_a_digest_that_stays_while_the_code_does() -> None:
    assert shape() == shape()
    assert len(shape()) == 64


def test_100_000_leads_are_some_kilobytes() -> None:
    world = running(*[5] * 1000)
    for position in range(300):
        world.delivered(position)
    small = len(freeze(world.campaign))
    world.queue(*[5] * 20_000)
    assert len(freeze(world.campaign)) < small + 500


def past(campaign: Campaign) -> dict[str, object] | None:
    """What it knows of an old system, with row numbers in plain."""
    known = campaign.legacy
    return None if known is None else asdict(known) | {"rows": known.rows.steps()}


def document(campaign: Campaign) -> dict[str, object]:
    """What a snapshot says, with packed bytes in plain: the compressor's own version must not matter."""
    content: dict[str, object] = json.loads(zlib.decompress(freeze(campaign)))
    priorities = [campaign.precedence.priority(position) for position in range(len(campaign.roll))]
    return content | {"roll": bytes(campaign.roll).hex(), "precedence": priorities}
