"""Given views on SQLite, what is true of them there alone."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, event, update

from projections import queries, views
from projections.database import reading, writing
from tests.databases import on_sqlite
from tests.projections.given import eventful, projected

pytestmark = on_sqlite


def test_check_names_a_row_whose_forged_key_is_no_number(engine: Engine) -> None:
    projector = projected(engine, eventful().history)
    with writing(engine) as connection:
        connection.execute(update(views.campaign_days).values(mails=9))
        connection.exec_driver_sql("INSERT INTO campaign_days VALUES ('one', '2025-03-04', 1)")

    assert [(found.table, found.key["campaign_id"]) for found in projector.check()] == [
        ("campaign_days", 1),
        ("campaign_days", "one"),
    ]


def test_what_is_in_doubt_is_found_by_the_index_of_the_few_that_are(engine: Engine) -> None:
    with reading(engine) as connection:
        assert "USING INDEX send_log_unanswered" in plan_of(connection, lambda: queries.in_doubt(connection))


def plan_of(connection: Connection, ask: Any) -> str:
    """How SQLite answers the question."""
    asked: list[tuple[str, Any]] = []
    event.listen(connection, "before_cursor_execute", lambda _c, _cursor, sql, said, *_: asked.append((sql, said)))
    ask()
    sql, said = asked[0]
    return "\n".join(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", said))
