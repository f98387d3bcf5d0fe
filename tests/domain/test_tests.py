"""Test mails: whose mail is shown, and that the record of one changes nothing of what may happen next."""

from __future__ import annotations

import json
import zlib
from typing import Any

import pytest

from domain import commands, mailbox
from domain.campaign import Campaign
from domain.errors import CommandRefused
from domain.events import Event
from domain.snapshot import freeze
from tests.domain.given import World, kinds, running


def test_the_first_who_waits_is_shown_unless_a_lead_is_named() -> None:
    world = running(5, 5, 1)
    world.skip(2)

    assert position(world) == 0
    assert position(world, 101) == 1
    assert position(world, 102) == 2


def test_where_all_others_are_through_it_is_the_one_who_is_tried_again() -> None:
    world = running(5, 5)
    world.delivered(0)
    world.failed(world.lock(1))

    assert position(world) == 1


def test_a_campaign_can_be_tested_whenever_it_exists() -> None:
    world = World()
    with pytest.raises(CommandRefused, match="there is no campaign-2"):
        commands.position_to_test(Campaign("campaign-2"), world.mailbox, None)
    world.queue(5)
    for happens in (World.start, World.pause, World.cancel):
        assert position(world, 100) == 0
        happens(world)
    assert position(world, 100) == 0


def test_there_must_be_a_lead_and_it_must_be_the_campaign_s() -> None:
    world = running(5)
    with pytest.raises(CommandRefused, match="campaign-1 has no lead 99"):
        position(world, 99)
    world.delivered(0)
    with pytest.raises(CommandRefused, match="nobody waits in campaign-1; name a lead with --lead"):
        position(world)


def test_nothing_leaves_by_a_mailbox_that_is_paused() -> None:
    world = running(5)
    world.save(mailbox.pause(world.mailbox, actor="anna", reason="auth refused", now=world.now))

    with pytest.raises(
        CommandRefused, match="mailbox-sales is paused: auth refused; `sendledger mailbox resume sales`"
    ):
        position(world)


def test_the_record_of_a_test_changes_nothing_but_the_version() -> None:
    world = running(5, 5)
    world.delivered(0)
    before, mailed = document(world), world.mailbox.version

    events = recorded(world)

    assert kinds(events) == ["TestMailSent"]
    assert document(world) == before | {"version": before["version"] + 1}
    assert world.mailbox.version == mailed
    assert "lead_id" in events[0].model_dump()
    assert "example.org" not in events[0].model_dump_json()


def position(world: World, lead_id: int | None = None) -> int:
    return commands.position_to_test(world.campaign, world.mailbox, lead_id)


def recorded(world: World) -> list[Event]:
    return world.save(
        commands.record_test(
            world.campaign,
            1,
            mailbox="sales",
            content_version=1,
            message_id="<test.1@example.com>",
            code=250,
            enhanced="2.0.0",
            queue_id="Q1",
            actor="anna",
            now=world.now,
        )
    )


def document(world: World) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(zlib.decompress(freeze(world.campaign)))
    return found
