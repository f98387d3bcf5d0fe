"""The report of one comparison, as a document with a published schema. The same manifest gives the same bytes: nothing
in it says when or where it was made.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

FORMAT = 2
"""Another one where a document says something in another place, or says another thing, than it did."""

Verdict = Literal["EQUIVALENT", "DIFFERENT", "INCONCLUSIVE", "NOT DETERMINISTIC"]

EXIT_CODES: dict[Verdict, int] = {"EQUIVALENT": 0, "DIFFERENT": 1, "INCONCLUSIVE": 3, "NOT DETERMINISTIC": 4}


class Part(BaseModel):
    """What all parts of the document share."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SideSettings(Part):
    """One side: its sender, and settings other than the recorded ones. `window`: local start and end."""

    sender: Literal["v1", "v2"]
    every_s: float | None = None
    delay_s: int | None = None
    daily_limit: int | None = None
    window: str | None = None


class Manifest(Part):
    """All that the report depends on."""

    format: int = FORMAT
    campaign: str
    first_position: int
    last_position: int
    history: str = Field(description="SHA-256 over every stored event that was read, ticks too")
    from_: datetime | None = Field(alias="from", default=None)
    to: datetime | None = None
    a: SideSettings
    b: SideSettings
    mode: Literal["locked", "free"]
    tolerance_s: float
    policies: str = Field(description="SHA-256 over the code that decides")
    zone_database: str
    holidays: str
    rules: str = Field(description="SHA-256 over the rules that accept differences")
    rules_on: date
    proved_on: int | None = Field(description="events of the slice that it proved itself on; null: all of the range")


class ProofPart(Part):
    """What the comparison proved of itself. Mutants that had nothing to do in the slice are not seeded."""

    events: int
    whole: bool
    same_twice: bool
    other_process: bool
    identity_differences: int
    mutants_seeded: int
    mutants_found: int
    mutants_missed: list[str]
    looks: int
    looked_ahead: int
    same_from_snapshot: bool


class CauseCount(Part):
    """Why the record and the replay of its own sender differ."""

    cause: str
    mails: int


class Fidelity(Part):
    """How far a sender's replay gives what that sender did; of an old system's mails, how far our V1 gives them. None:
    neither it nor its replay sent anything. In a what-if: what the same senders give under the recorded settings."""

    column: Literal["A", "B"]
    sender: Literal["v1", "v2", "old system"]
    mails: int
    same: int
    share: float | None


class DifferencePart(Part):
    """One difference, as an example."""

    lead_id: int
    attempt: int
    recorded_at: datetime | None
    a_at: datetime | None
    b_at: datetime | None
    shift_s: float | None
    why: str
    root: bool
    pattern: str


class ClassPart(Part):
    """All differences of one class."""

    name: str
    weight: str
    root: int
    consequence: int
    accepted: int
    examples: list[DifferencePart]


class BreachPart(Part):
    """A rule that one column broke."""

    column: Literal["R", "A", "B"]
    name: str
    cases: int
    examples: list[str]


class ShiftPart(Part):
    """By how many seconds B is later than A. `counts`: shift in seconds and how many mails, by shift."""

    p5_s: int
    p50_s: int
    p95_s: int
    counts: list[tuple[int, int]]


class ColumnPart(Part):
    """What one column sent. `ends_at`: its last mail, worked out beyond the history in the free mode."""

    column: Literal["R", "A", "B"]
    mails: int
    first_at: datetime | None
    last_at: datetime | None
    ends_at: datetime | None
    days: list[tuple[date, int]]
    hours: list[tuple[datetime, int]]
    gaps: list[tuple[int, int]]
    limits: list[tuple[date, int, int]] = Field(
        description="daily limit and delay in seconds on each local date of the range, as they were at the end of that "
        "date, or of the range within it; of A and B with their other settings"
    )


class Report(Part):
    """A comparison of two senders over the history of one campaign."""

    manifest: Manifest
    name: str
    zone: str
    leads: int
    events: int
    ticks: int
    first_at: datetime | None
    last_at: datetime | None
    assumed: list[str]
    proof: ProofPart | None
    fidelity: list[Fidelity]
    causes: list[CauseCount]
    patterns: dict[str, int]
    judged: int
    equal: int
    accepted: int
    unknown: int
    parity_strict: float | None
    parity_accepted: float | None
    coverage: float | None
    classes: list[ClassPart]
    breaches: list[BreachPart]
    shift: ShiftPart | None
    seen: list[str]
    not_seen: list[str]
    columns: list[ColumnPart]
    windows: list[tuple[datetime, datetime]] = Field(
        description="when the calendar was open in the range that is judged, by the schedules in force"
    )
    decisions: str = Field(description="SHA-256 over every decision of the three columns")
    roots: int
    critical: int
    verdict: Verdict
    why: str

    @property
    def exit_code(self) -> int:
        """How the command ends."""
        return EXIT_CODES[self.verdict]
