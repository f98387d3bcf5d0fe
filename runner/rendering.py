"""Rendering all leads of a campaign before it starts: what cannot be rendered is found now, not at night."""

from __future__ import annotations

import json
from collections.abc import Mapping

from sqlalchemy import Engine, RowMapping

from domain.analysis import waits_unusable
from domain.campaign import Campaign
from domain.commitments import unsubscribe_token
from domain.errors import CommandRefused, InvalidInput
from domain.leads import LeadState
from projections import kept
from projections.database import reading
from runner.leads.addresses import EMAIL
from runner.mail.errors import RenderFailed
from runner.mail.templates import CompiledContent, Content, compile_content
from runner.mail.unsubscribe import MERGE_FIELD
from runner.store.ledger import Ledger

SHOWN = 20
"""So many leads that fail are named; all are counted."""


def check_all_render(ledger: Ledger, engine: Engine, number: int) -> int:
    """Render every lead that waits with the content in force; how many. Raises `InvalidInput` listing those
    that fail, by lead number and reason, and never by value."""
    with ledger.campaign(number) as campaign:
        if not campaign.exists:
            raise CommandRefused(f"there is no campaign {number}; `sendledger campaign list` shows which there are.")
        version = campaign.content_version
        waiting = set(campaign.roll.positions(LeadState.QUEUED))
        what = "is not taken over" if campaign.observed else "does not start"
        mend = where_to_mend(campaign)
    with reading(engine) as connection:
        content = kept.content(connection, number, version)
        if content is None:
            raise CommandRefused(f"the content of campaign {number}, version {version}, is missing.")
        compiled = compile_content(Content.of(content))
        count, failed, shown = 0, 0, []
        for contact in kept.contacts_of(connection, number):
            if contact["position"] not in waiting:
                continue
            count += 1
            problem = _problem(compiled, contact)
            if problem is not None:
                failed += 1
                if failed <= SHOWN:
                    shown.append(f"  lead {contact['lead_id']}: {problem}")
    if failed:
        more = [f"  … and {failed - SHOWN} more"] if failed > SHOWN else []
        raise InvalidInput(
            "\n".join([f"campaign {number} {what}: {failed} of {count} leads cannot be rendered.", *shown, *more]),
            mend=f"\n{mend}",
        )
    return count


def where_to_mend(campaign: Campaign) -> str:
    """What to do about a lead that cannot be rendered."""
    if not campaign.observed:
        return "Mend the template with `campaign edit`, or import the leads again with the missing fields."
    there = "Mend the template or the leads in the old application; the next `sendledger legacy follow` takes that in."
    if waits_unusable(campaign):
        there += f" `sendledger cutover fix {campaign.number}` skips those whose address or fields are unusable."
    return there


def all_fields(content: CompiledContent, fields: Mapping[str, str], address: str, token: str) -> dict[str, str]:
    """What the templates may use for a contact: its own fields, its address, and the link to unsubscribe."""
    link = content.unsubscribe.link(token)
    return {**fields, EMAIL: address} | ({} if link is None else {MERGE_FIELD: link})


def _problem(compiled: CompiledContent, contact: RowMapping) -> str | None:
    token = unsubscribe_token(contact["salt"], contact["campaign_id"], contact["lead_id"])
    try:
        compiled.render(all_fields(compiled, json.loads(contact["fields"]), contact["address"], token))
    except RenderFailed as failed:
        return str(failed)
    return None
