"""Rows to Parquet by `pyarrow`, which is an optional part of the installation: it is larger than all the rest of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from domain.errors import InvalidInput
from projections.audit import Described

ROWS_A_GROUP = 5_000
"""Held in memory at once."""

_MEND = "Install it beside Sendledger: pip install 'sendledger[parquet]'."


def require_pyarrow() -> Any:
    """The library. Raises `InvalidInput` that says how to install it."""
    try:
        import pyarrow.parquet  # only here: nobody who does not export waits for it
    except ModuleNotFoundError:
        raise InvalidInput("Parquet needs pyarrow.", mend=_MEND, field="--format") from None
    return pyarrow


def write_parquet(path: Path, columns: Sequence[Described], rows: Iterable[Sequence[Any]]) -> None:
    """One file, a group of rows at a time. Times are instants in UTC with microseconds."""
    arrow = require_pyarrow()
    stored, kept = _types(arrow, columns)
    schema = arrow.schema(
        [
            arrow.field(column.name, kind, metadata={"says": column.says})
            for column, kind in zip(columns, kept, strict=True)
        ]
    )
    source = iter(rows)
    with arrow.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        while group := list(islice(source, ROWS_A_GROUP)):
            arrays = [
                arrow.array(values, type=first).cast(last)
                for values, first, last in zip(zip(*group, strict=True), stored, kept, strict=True)
            ]
            writer.write_table(arrow.Table.from_arrays(arrays, schema=schema))


def _types(arrow: Any, columns: Sequence[Described]) -> tuple[list[Any], list[Any]]:
    """As the tables hold a column, and as the file does."""
    time, text, whole = arrow.timestamp("us", tz="UTC"), arrow.string(), arrow.int64()
    of = {"whole": (whole, whole), "text": (text, text), "time": (text, time), "yes or no": (whole, arrow.bool_())}
    first, last = zip(*(of[column.kind] for column in columns), strict=True)
    return list(first), list(last)
