"""`sendledger compare`: both senders over what really happened; what differs, why, and which differences are fine."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import typer

from domain.errors import CommandRefused, InvalidInput
from domain.events import Sender
from domain.replay.accepting import accept
from domain.replay.past import TOLERANCE, Setup
from domain.replay.report import EXIT_CODES, Report
from runner.cli.comparison_table import SUMMARY, lines, summary
from runner.cli.completing import CampaignNumber, OnlyCampaign
from runner.cli.context import LARGEST_NUMBER, actor, command, reason_given, workplace
from runner.cli.explanation import EXPLAINED, told
from runner.cli.output import Format, FormatOption, print_json, say, show
from runner.cli.progress import steps
from runner.cli.sending import duration, instant
from runner.replaying import comparing, explaining, pictures
from runner.replaying.what_if import changes_cadence, sides
from runner.workplace import Workplace

app = typer.Typer(no_args_is_help=True, help="Compare both senders on what really happened.")

Mode = Literal["locked", "free"]
Prove = Literal["slice", "all"]
WORKERS = 32

From = Annotated[str | None, typer.Option("--from", help="Judge from here on: 2026-11-14T09:00, the campaign's time.")]
To = Annotated[str | None, typer.Option("--to", help="Judge until here.")]
ModeOption = Annotated[
    Mode | None,
    typer.Option(help="locked: on the state that really was; free: each side lives with its own decisions."),
]
SideA = Annotated[Sender, typer.Option("--a", help="The sender in column A.")]
SideB = Annotated[Sender, typer.Option("--b", help="The sender in column B.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Another setting: v2.every=30m, campaign.delay=60s, …")]


@app.command("run", short_help="What would the other sender have done?")
@command
def run(
    number: OnlyCampaign = None,
    every_campaign: Annotated[bool, typer.Option("--all", help="Every campaign; a summary, the worst first.")] = False,
    start: From = None,
    end: To = None,
    mode: ModeOption = None,
    a: SideA = "v1",
    b: SideB = "v2",
    settings: Set = None,
    tolerance: Annotated[str | None, typer.Option(help="A shift of no more is none, such as 5m.")] = None,
    prove: Annotated[Prove, typer.Option(help="Prove itself over a slice, or over all.")] = "slice",
    workers: Annotated[int, typer.Option(min=1, max=WORKERS, help="With --all: so many processes.")] = 1,
    plot: Annotated[Path | None, typer.Option(help="A page of pictures: FILE.svg or FILE.png.")] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Replay what happened to a campaign through both senders, and compare them with the record and with each other.

    Exit code: 0 equivalent, 1 different, 2 wrong usage, 3 inconclusive, 4 not deterministic.

    Example: sendledger compare run 4 --set v2.every=30m --plot compare.svg
    """
    if (number is None) is not every_campaign:
        raise InvalidInput("name one campaign, or --all.", mend="Such as: sendledger compare run 4.", field="NUMBER")
    if plot is not None and number is None:
        raise InvalidInput("pictures are of one campaign.", mend="Name it.", field="--plot")
    if plot is not None:
        pictures.require_drawable(plot)
    prove_all = prove == "all"
    with workplace() as place:
        setup = _setup(place, number, start, end, mode, a, b, settings or [], tolerance)
        if number is not None:
            with steps() as progress:
                report = comparing.compare(place.ledger, number, setup, prove_all=prove_all, progress=progress)
            _show_one(report, form, plot)
            raise typer.Exit(report.exit_code)
        numbers = place.ledger.campaigns()
        with steps() as progress:
            reports = comparing.compare_many(
                place.url, numbers, setup, workers=workers, prove_all=prove_all, progress=progress
            )
        _show_all(reports, form)
        raise typer.Exit(worst(reports))


@app.command("explain", short_help="One lead under R, A and B, tick by tick.")
@command
def explain(
    number: CampaignNumber,
    lead: Annotated[int, typer.Option("--lead", min=1, max=LARGEST_NUMBER, help="This lead.")],
    start: From = None,
    end: To = None,
    mode: ModeOption = None,
    a: SideA = "v1",
    b: SideB = "v2",
    settings: Set = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """One lead under R, A and B, tick by tick, with what each side saw: where the inputs differ, so do the answers.

    In the free mode, which --set means here too, a side sees its own mails only, and R those that really left.

    Example: sendledger compare explain 4 --lead 17
    """
    with workplace() as place:
        setup = _setup(place, number, start, end, mode, a, b, settings or [], None)
        found, zone = explaining.explain(place.ledger, number, lead, setup)
        rows = [told(seen, zone, form) for seen in found]
        show(rows, EXPLAINED, form, empty="Nothing was decided about this lead.")


@app.command("accept", short_help="A rule that accepts some differences of a campaign.")
@command
def accept_differences(
    number: CampaignNumber,
    difference: Annotated[str, typer.Option("--class", help="EXTRA, MISSING, CONTENT, MAILBOX or SHIFT.")],
    reason: Annotated[str, typer.Option(help="Why they are fine.")],
    expires: Annotated[str, typer.Option(help="The last day on which the rule holds: 2026-12-31.")],
    at_most: Annotated[int, typer.Option("--at-most", min=1, max=LARGEST_NUMBER, help="So many; more are not.")],
    where: Annotated[str, typer.Option(help="Conditions: why=delay (it is*: begins so), shift<=10m, lead=17.")] = "",
) -> None:
    """Accept differences of a class. They stay in the strict count; broken rules and crashes can never be accepted.

    Example: sendledger compare accept 4 --class SHIFT --where "why=delay, shift<=10m"
    --reason "V2 draws its pace" --expires 2026-12-31 --at-most 400
    """
    try:
        last_day = date.fromisoformat(expires)
    except ValueError:
        raise InvalidInput(f"{expires!r} is no day.", mend="Write it as 2026-12-31.", field="--expires") from None
    with workplace() as place:
        require_campaign(place, number)
        stream = comparing.comparison_stream(number)
        place.ledger.append(
            accept(
                stream,
                place.ledger.version(stream),
                difference=difference.upper(),
                where=where,
                reason=reason_given(reason) or "",
                expires=last_day,
                at_most=at_most,
                actor=actor(),
                now=place.now(),
            )
        )
    say(f"Campaign {number}: {difference.upper()} accepted until {last_day}, {at_most} at most.")


def _setup(
    place: Workplace,
    number: int | None,
    start: str | None,
    end: str | None,
    mode: Mode | None,
    a: Sender,
    b: Sender,
    settings: list[str],
    tolerance: str | None,
) -> Setup:
    both = sides(a, b, settings)
    if mode == "locked" and changes_cadence(*both):
        mend = "Leave --mode out, or say free."
        raise InvalidInput(
            "the locked mode asks at the recorded ticks: no other cadence fits.", mend=mend, field="--mode"
        )
    zone = require_campaign(place, number) if number is not None else None
    begins = local_instant(start, zone, field="--from") if start else None
    ends = local_instant(end, zone, field="--to") if end else None
    if begins is not None and ends is not None and begins >= ends:
        raise InvalidInput("the range ends before it begins.", mend="Give a later --to.", field="--to")
    return Setup(
        *both,
        is_free=mode == "free" or (mode is None and Setup(*both).is_what_if),
        tolerance=duration(tolerance, field="--tolerance") if tolerance else TOLERANCE,
        start=begins,
        end=ends,
        on=place.now().date(),
    )


def local_instant(text: str, zone: str | None, *, field: str) -> datetime:
    """An instant; without an offset it is on the wall of the campaign's zone. Without a zone it needs an offset."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return instant(text, field=field)  # which says what is wrong
    if at.tzinfo is None and zone is None:
        mend = f"Such as {text}+02:00: each campaign has a zone of its own."
        raise InvalidInput("needs an offset with --all.", mend=mend, field=field)
    aware = at if at.tzinfo else at.replace(tzinfo=ZoneInfo(zone or "UTC"))
    return instant(aware.isoformat(), field=field)


def require_campaign(place: Workplace, number: int) -> str:
    """The campaign's zone. Raises `CommandRefused` where there is no such campaign."""
    with place.ledger.campaign(number) as campaign:
        if not campaign.exists:
            raise CommandRefused(f"there is no campaign {number}; `sendledger campaign list` shows which there are.")
        return campaign.schedule.zone


def _show_one(report: Report, form: Format, plot: Path | None) -> None:
    if plot is not None:
        pictures.draw(report, plot)
    match form:
        case Format.JSON:
            print_json(report.model_dump(mode="json", by_alias=True))
        case Format.CSV:
            show(summary([report]), SUMMARY, form)
        case _:
            for line in lines(report):
                say(line)


def _show_all(reports: list[Report], form: Format) -> None:
    if form is Format.JSON:
        print_json([report.model_dump(mode="json", by_alias=True) for report in reports])
    else:
        show(summary(reports), SUMMARY, form, empty="No campaigns yet.")


def worst(reports: list[Report]) -> int:
    """The exit code of many: of those in which something was sent, or a rule broken; the others say nothing."""
    found = {report.verdict for report in reports if report.judged or report.critical}
    order = ("NOT DETERMINISTIC", "DIFFERENT", "INCONCLUSIVE", "EQUIVALENT")
    return next((EXIT_CODES[verdict] for verdict in order if verdict in found), EXIT_CODES["INCONCLUSIVE"])
