"""`sendledger audit …`: what each sender sent, and proof that the record is whole."""

from __future__ import annotations

import typer

from runner.cli.audit import keys, people, proofs, rules, schemas, seal, sends, systems

app = typer.Typer(no_args_is_help=True, help="What each sender sent, and proof that the record is whole.")
for part in (sends, people, systems, rules, seal, proofs, keys, schemas):
    app.registered_commands += part.app.registered_commands
