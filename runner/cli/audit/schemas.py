"""`sendledger audit schemas`: a JSON Schema for every event, for other people's tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from domain.schemas import event_schemas, file_name
from runner.cli.context import command
from runner.cli.output import say

app = typer.Typer()


@app.command("schemas")
@command
def schemas(folder: Annotated[Path, typer.Argument(help="Where to; made if it is not there.")]) -> None:
    """Write a JSON Schema for each event as it is stored, a file a type and version. It needs no ledger.

    Example: sendledger audit schemas docs/schemas
    """
    folder.mkdir(parents=True, exist_ok=True)
    known = event_schemas()
    for topic, schema in known.items():
        text = json.dumps(schema, ensure_ascii=False, indent=2)
        (folder / file_name(topic)).write_text(f"{text}\n", encoding="utf-8")
    say(f"{len(known)} schemas in {folder}.")
