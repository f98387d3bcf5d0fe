"""An attempt to mail one lead: a lock, and what is known of it. Facts that come late change only their own attempt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.events import Sender


class AttemptState(StrEnum):
    """Where an attempt is that may still be answered: facts that come late change only their own attempt."""

    LOCKED = "locked"
    IN_DOUBT = "in doubt"
    RESOLVED_SENT = "resolved sent"
    RESOLVED_NOT_SENT = "resolved not sent"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A lock and what is known of it. `locked_at` is UTC."""

    position: int
    lead_id: int
    attempt: int
    token: str
    sender: Sender
    epoch: int
    runner: str
    mailbox: str
    locked_at: datetime
    state: AttemptState = AttemptState.LOCKED
