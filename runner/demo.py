"""The demonstration: two sample campaigns, one on V1 and one on V2, over two simulated working days, by real SMTP.
Between the days the first one moves to V2.

A second run goes on where the first stopped. Everything lies in one folder, which may be deleted at any time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from email import message_from_bytes
from importlib.resources import as_file, files
from pathlib import Path
from zoneinfo import ZoneInfo

from domain import commands
from domain.calendar import Schedule, calendar_of
from domain.checks import Check
from domain.errors import CommandRefused
from runner import campaigns, cutover, samples
from runner import mailbox_identity as identities
from runner.clock import SimulatedClock
from runner.daemon import run_simulated
from runner.leads.importing import import_leads
from runner.mailbox_identity import Identity, Tls
from runner.rendering import check_all_render
from runner.sink import RefuseRule, Sink
from runner.workplace import Workplace

ACTOR = "demo"
MAILBOX = "sprzedaz"
MAILBOX_LIMIT = 60
ZONE = "Europe/Warsaw"
SAMPLES = ("jesien", "zima")
FIRST = 1
"""The campaign that moves."""
CUTOVER_REASON = "the first to move, watched for a day"
TOLD = ("sent", "waiting")
WORKING_DAYS = 2
REFUSED_ROW, GREYLISTED_ROW = 3, 5
"""Which leads of the first sample the demonstration's server refuses: one for good, one at first."""


def addresses_to_refuse() -> list[RefuseRule]:
    """One address refused for good and one at first, of the first sample."""
    rows = (files(samples) / f"{SAMPLES[0]}.csv").read_text(encoding="utf-8").splitlines()
    address = [row.partition(";")[0] for row in rows]
    return [RefuseRule(address[REFUSED_ROW]), RefuseRule(address[GREYLISTED_ROW], 1)]


def run(place: Workplace, sink: Sink, say: Callable[[str], None]) -> None:
    """Make the sample campaigns if the ledger has none, then run two working days on from where it stands."""
    clock = place.clock
    if not isinstance(clock, SimulatedClock):
        raise CommandRefused("the demonstration runs in a ledger with simulated time only.")
    if place.ledger.campaigns():
        identities.change(
            place.ledger, MAILBOX, {"port": sink.port}, daily_limit=None, zone=None, actor=ACTOR, now=clock.now()
        )
        say(f"Going on with the ledger of an earlier run, at {_local(clock.now())}.")
    else:
        _set_up(place, sink)
        say(f"Two campaigns made and started at {_local(clock.now())}: 1 on V1, 2 on V2.")
    days = [end_of_working_days(clock.now(), day) for day in range(1, WORKING_DAYS + 1)]
    with place.runner() as runner:
        for until in days:
            run_simulated(runner, clock, place.settings.cadence, until)
            say(f"Ran both senders until {_local(clock.now())}.")
            if until < days[-1]:
                _cut_over(place, say)


def _cut_over(place: Workplace, say: Callable[[str], None]) -> None:
    """Move the first campaign to V2, once."""
    with place.ledger.campaign(FIRST) as campaign:
        owner = campaign.owner
    if owner == "v2":
        return
    moved = cutover.migrate(place.ledger, FIRST, actor=ACTOR, reason=CUTOVER_REASON, now=place.now())
    with place.views() as views:
        kept = cutover.read_back(place.ledger, views, moved, FIRST)
    told = ", ".join(f"{one.what} {one.before} before, {one.read_back} after" for one in kept if one.what in TOLD)
    say(f"Campaign {FIRST} moved from V1 to V2, in one append: {told}.")


def end_of_working_days(at: datetime, days: int) -> datetime:
    """When the window closes for the `days`-th time from now on."""
    calendar = calendar_of(Schedule(zone=ZONE, holidays_of=("PL",)))
    for _ in range(days):
        opening = calendar.next_opening(at)
        closing = calendar.closing(opening) if opening else None
        at = closing or at
    return at + timedelta(minutes=1)


def compare_with_server(maildir: Path, sent: Collection[str], in_doubt: Collection[str]) -> Check:
    """Is every mail that was sent filed by the server once, and nothing else but what is in doubt? By Message-ID."""
    filed = Counter(message_from_bytes(file.read_bytes())["Message-ID"] for file in (maildir / "new").iterdir())
    check = Check("filed once = sent")
    for message_id in sorted({*filed, *sent}):
        times = filed[message_id]
        kept = times == 1 if message_id in sent else times <= 1 and message_id in in_doubt
        check.judge(kept, f"{message_id} was filed {times} times")
    return check


def _set_up(place: Workplace, sink: Sink) -> None:
    now = place.now()
    identity = Identity("Anna Łęcka", "anna@nadawca.example", "127.0.0.1", sink.port, Tls.NONE).checked()
    identities.add(place.ledger, MAILBOX, identity, daily_limit=MAILBOX_LIMIT, zone=ZONE, actor=ACTOR, now=now)
    for name in SAMPLES:
        with as_file(files(samples)) as folder:
            number = campaigns.create(place.ledger, folder / f"{name}.toml", actor=ACTOR, now=now)
            import_leads(place.ledger, number, folder / f"{name}.csv", secret=place.secret(), now=place.now)
        check_all_render(place.ledger, place.engine, number)
        place.ledger.on_campaign(
            number, lambda campaign: commands.start(campaign, actor=ACTOR, reason=None, now=now), first_in_line=True
        )


def _local(at: datetime) -> str:
    return f"{at.astimezone(ZoneInfo(ZONE)):%a %d %b %Y %H:%M} {ZONE}"
