"""The panels of `sendledger --help`: what belongs together stands together, in the order in which it is needed."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

SET_UP = "Set up"
CAMPAIGNS = "Campaigns"
SENDING = "Sending"
SEEING = "Seeing"
CUTOVER = "Cutover"
COMPARING = "Comparing"
AUDIT = "Audit"
REPAIR = "Repair"

IN_ORDER = (SET_UP, CAMPAIGNS, SENDING, SEEING, CUTOVER, COMPARING, AUDIT, REPAIR)


class InPanels(TyperGroup):
    """Lists its commands panel by panel; one that names no panel comes last, and a test finds it."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names."""
        order = {panel: place for place, panel in enumerate(IN_ORDER)}
        return sorted(
            super().list_commands(ctx),
            key=lambda name: order.get(getattr(self.commands[name], "rich_help_panel", None) or "", len(order)),
        )
