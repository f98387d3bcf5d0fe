"""`sendledger mailbox …`: the accounts that mail leaves through."""

from __future__ import annotations

from typing import Annotated

import typer

from domain import mailbox as mailboxes
from projections import queries
from runner import mailbox_identity as identities
from runner.cli.completing import MailboxName
from runner.cli.context import LARGEST_NUMBER, actor, command, reason_given, workplace
from runner.cli.output import Format, FormatOption, local, say, show
from runner.mailbox_identity import Tls
from runner.workplace import Workplace

app = typer.Typer(no_args_is_help=True, help="The accounts that mail leaves through.")

DEFAULT_ZONE = "Europe/Warsaw"
DEFAULT_DAILY_LIMIT = 50

NewName = Annotated[str, typer.Argument(help="The mailbox's name, such as sales.")]
From = Annotated[str | None, typer.Option("--from", help="'Anna <anna@example.com>'")]
DailyLimit = Annotated[int | None, typer.Option(help="Mails a day, over all campaigns and both senders.")]
Zone = Annotated[str | None, typer.Option(help="Where the mailbox's day begins and ends.")]
Host = Annotated[str | None, typer.Option(help="The mail server.")]
Port = Annotated[int | None, typer.Option(help="587 for starttls, 465 for implicit, 25 for none, unless given.")]
TlsOption = Annotated[Tls | None, typer.Option(help="How the connection is encrypted.")]
User = Annotated[str | None, typer.Option(help="The login, where the server asks for one.")]
Password = Annotated[str | None, typer.Option(help="Where the password is: env:NAME or file:PATH. Never itself.")]
Plaintext = Annotated[bool | None, typer.Option(help="Allow no encryption to another machine.")]
Connections = Annotated[int | None, typer.Option(help="Dialogues at a time; for campaigns without a delay, on V2.")]
Reason = Annotated[str | None, typer.Option(help="Recorded for ever; may hold no address.")]


@app.command("add")
@command
def add(
    name: NewName,
    sender: From = None,
    smtp_host: Host = None,
    daily_limit: DailyLimit = DEFAULT_DAILY_LIMIT,
    zone: Zone = DEFAULT_ZONE,
    smtp_port: Port = None,
    smtp_tls: TlsOption = Tls.STARTTLS,
    smtp_user: User = None,
    smtp_password: Password = None,
    smtp_allow_plaintext: Plaintext = False,
    connections: Connections = None,
) -> None:
    """Add a mailbox.

    Example: sendledger mailbox add sales --from "Anna <anna@example.com>" --smtp-host mail.example.com
    --smtp-user anna --smtp-password env:SALES_PW
    """
    with workplace() as place:
        identity = identities.new(
            sender,
            host=smtp_host,
            port=smtp_port,
            tls=smtp_tls,
            user=smtp_user,
            password_ref=smtp_password,
            allow_plaintext=smtp_allow_plaintext,
            connections=connections,
        )
        identities.add(place.ledger, name, identity, daily_limit=daily_limit, zone=zone, actor=actor(), now=place.now())
        say(f"Mailbox {name} added: {daily_limit} mails a day of {zone}, by {identity.host}:{identity.port}.")


@app.command("set")
@command
def change(
    name: MailboxName,
    sender: From = None,
    smtp_host: Host = None,
    daily_limit: DailyLimit = None,
    zone: Zone = None,
    smtp_port: Port = None,
    smtp_tls: TlsOption = None,
    smtp_user: User = None,
    smtp_password: Password = None,
    smtp_allow_plaintext: Plaintext = None,
    connections: Connections = None,
) -> None:
    """Change what is given, keep the rest.

    Example: sendledger mailbox set sales --daily-limit 80
    """
    given = identities.given(
        sender,
        host=smtp_host,
        port=smtp_port,
        tls=smtp_tls,
        user=smtp_user,
        password_ref=smtp_password,
        allow_plaintext=smtp_allow_plaintext,
        connections=connections,
    )
    with workplace() as place:
        changed = identities.change(
            place.ledger, name, given, daily_limit=daily_limit, zone=zone, actor=actor(), now=place.now()
        )
        say(f"Mailbox {name} changed." if changed else f"Mailbox {name} is so already: nothing changed.")


@app.command("list")
@command
def listing(form: FormatOption = Format.TABLE) -> None:
    """All mailboxes: limits, today's use, and what holds one back.

    Example: sendledger mailbox list
    """
    with workplace() as place, place.views() as views:
        rows = []
        for row in queries.mailboxes(views):
            used = _used_today(place, row["name"])
            held = row["paused_reason"] and f"paused: {row['paused_reason']}"
            if not held and row["delayed_until"] and row["delayed_until"] > place.now().isoformat():
                held = f"delayed until {local(row['delayed_until'], row['zone'])}"
            identity = identities.current(place.ledger, row["name"])
            rows.append(
                {
                    "name": row["name"],
                    "from": identity.sender,
                    "server": f"{identity.host}:{identity.port}",
                    "tls": identity.tls,
                    "today": used,
                    "daily_limit": row["daily_limit"],
                    "zone": row["zone"],
                    "state": held or "open",
                }
            )
        show(rows, ("name", "from", "server", "tls", "today", "daily_limit", "zone", "state"), form)


@app.command("days")
@command
def days(
    name: MailboxName,
    limit: Annotated[int, typer.Option(min=1, max=LARGEST_NUMBER, help="So many days at most.")] = 30,
    form: FormatOption = Format.TABLE,
) -> None:
    """How many mails left through a mailbox on each day of its zone, over all campaigns and both senders, newest first.

    Example: sendledger mailbox days sales --format csv
    """
    with workplace() as place, place.views() as views:
        identities.current(place.ledger, name)
        rows = queries.mailbox_days(views, name, limit=limit)
        show(rows, ("date", "mails"), form, empty="No mail has left through it yet.")


@app.command("pause")
@command
def pause(name: MailboxName, reason: Reason = None) -> None:
    """Let no further mail leave through it.

    Example: sendledger mailbox pause sales --reason "the provider moves house"
    """
    with workplace() as place:
        words = reason_given(reason) or "by hand"
        events = place.ledger.on_mailbox(
            name, lambda mailbox: mailboxes.pause(mailbox, actor=actor(), reason=words, now=place.now())
        )
        say(f"Mailbox {name} paused." if events else f"Mailbox {name} was paused already.")


@app.command("resume")
@command
def resume(name: MailboxName, reason: Reason = None) -> None:
    """Let mail leave through it again.

    Example: sendledger mailbox resume sales
    """
    with workplace() as place:
        words = reason_given(reason)
        place.ledger.on_mailbox(
            name, lambda mailbox: mailboxes.resume(mailbox, actor=actor(), reason=words, now=place.now())
        )
        say(f"Mailbox {name} resumed.")


def _used_today(place: Workplace, name: str) -> int:
    with place.ledger.mailbox(name) as mailbox:
        return mailbox.mails.on_date_of(place.now(), mailbox.zone)
