"""PostgreSQL in bulk: many new rows by one binary COPY, many changed ones by one UPDATE over arrays.
One statement a row would cost a round trip each, or a pipeline, which large appends have made hang.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import psycopg
from psycopg import Cursor
from psycopg.sql import SQL, Identifier
from sqlalchemy import BigInteger, Column, Connection, LargeBinary, Table, Text
from sqlalchemy.exc import DBAPIError

from projections.database import forget_values

COPY_FROM_ROWS = 50
"""Rows from which on COPY is faster than INSERT."""

_TYPES: dict[type, str] = {Text: "text", BigInteger: "int8", LargeBinary: "bytea"}


@contextmanager
def drivers_cursor(connection: Connection) -> Iterator[Cursor[Any]]:
    """For the statements below, in the transaction of this connection. Errors come as from SQLAlchemy itself."""
    driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
    try:
        with driver.cursor() as cursor:
            yield cursor
    except psycopg.Error as error:
        told = DBAPIError.instance("rows in bulk", None, error, psycopg.Error, True, dialect=connection.dialect)
        forget_values(error, told)
        raise told from error


def column_types(table: Table, names: Sequence[str]) -> dict[str, str]:
    """PostgreSQL's names for the types of these columns."""
    return {name: _type(table.c[name]) for name in names}


def copy_rows(cursor: Cursor[Any], table: str, types: Mapping[str, str], rows: Iterable[Sequence[Any]]) -> None:
    """New rows, with values in the order of `types`."""
    names = SQL(", ").join(map(Identifier, types))
    with cursor.copy(SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(Identifier(table), names)) as copy:
        copy.set_types(list(types.values()))
        for row in rows:
            copy.write_row(row)


def update_rows(
    cursor: Cursor[Any], table: str, types: Mapping[str, str], key: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Changed rows, with values in the order of `types`, found by the columns of `key`."""
    named = SQL(", ").join(map(Identifier, types))
    arrays = SQL(", ").join(SQL("%s::{}[]").format(Identifier(kind)) for kind in types.values())
    pairs = SQL("{0} = new.{0}")
    changed = SQL(", ").join(pairs.format(Identifier(name)) for name in types if name not in key)
    found = SQL(" AND ").join(SQL("old.{0} = new.{0}").format(Identifier(name)) for name in key)
    statement = SQL("UPDATE {} AS old SET {} FROM unnest({}) AS new ({}) WHERE {}")
    values = [list(column) for column in zip(*rows, strict=True)]
    if values:
        cursor.execute(statement.format(Identifier(table), changed, arrays, named, found), values)


def _type(column: Column[Any]) -> str:
    return _TYPES[next(kind for kind in _TYPES if isinstance(column.type, kind))]
