"""A frozen state decides as the live one does, and the fold of a fixed stream has a fixed fingerprint."""

from __future__ import annotations

import hashlib
import json
import zlib
from datetime import timedelta
from pathlib import Path

from domain import campaign as campaigns
from domain import commands
from domain import mailbox as mailboxes
from domain.calendar import Schedule
from domain.campaign import Campaign, evolve
from domain.events import EVENT_TYPES, TOPICS
from domain.leads import LeadState
from domain.policies import Send
from domain.rules import Limits
from domain.snapshot import freeze, freeze_mailbox, shape, thaw, thaw_mailbox
from tests.domain.given import GREYLISTED, PERMANENT, World, digest, refolded, running

GOLDEN_STREAM = Path(__file__).parent / "golden_stream.jsonl"
"""A stream as it was stored, with every event of a campaign in it."""

FINGERPRINT = "3c6deb1ab182a04c6112fac415910fefcb5ac685d30257eb2e48eb2712701785"
"""Of the states that the golden stream goes through. If it changes, what is stored means something else than it did."""


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


def test_the_stream_of_this_test_reaches_every_state_and_every_corner() -> None:
    campaign = eventful().campaign
    assert all(campaign.roll.counts)
    corners = (campaign.retry_of, campaign.attempts, campaign.attempts_forgiven, campaign.revisions, campaign.open)
    assert all(corners)
    assert campaign.accepted_late
    assert campaign.mails.quarters()


def test_a_thawed_state_is_the_frozen_one_attribute_for_attribute() -> None:
    world = eventful()
    thawed = thaw("campaign-1", freeze(world.campaign))
    assert document(thawed) == document(world.campaign)
    for name in set(vars(world.campaign)) - {"roll", "numbers", "arrivals", "precedence", "retries", "mails"}:
        assert getattr(thawed, name) == getattr(world.campaign, name), name
    assert bytes(thawed.roll) == bytes(world.campaign.roll)
    assert thawed.roll.counts == world.campaign.roll.counts
    assert thawed.next_retry() == world.campaign.next_retry()


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
    stored = {json.loads(line)["topic"] for line in GOLDEN_STREAM.read_text().splitlines()}
    assert stored == {TOPICS[kind] for kind in campaigns._EVOLVE}


def test_folding_the_stream_anew_gives_the_same_frozen_state() -> None:
    world = eventful()
    assert freeze(refolded(world.history, "campaign-1")) == freeze(world.campaign)


def test_the_fold_of_a_fixed_stream_has_a_fixed_fingerprint() -> None:
    campaign, fingerprint = Campaign("campaign-1"), hashlib.sha256()
    for version, line in enumerate(GOLDEN_STREAM.read_text().splitlines(), start=1):
        golden = json.loads(line)
        event = EVENT_TYPES[golden["topic"]].model_validate_json(json.dumps(golden["state"]))
        evolve(campaign, event.model_copy(update={"originator_version": version}))
        fingerprint.update(json.dumps(document(campaign), sort_keys=True).encode())
    assert fingerprint.hexdigest() == FINGERPRINT


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


def document(campaign: Campaign) -> dict[str, object]:
    """What a snapshot says, with packed bytes in plain: the compressor's own version must not matter."""
    content: dict[str, object] = json.loads(zlib.decompress(freeze(campaign)))
    priorities = [campaign.precedence.priority(position) for position in range(len(campaign.roll))]
    return content | {"roll": bytes(campaign.roll).hex(), "precedence": priorities}
