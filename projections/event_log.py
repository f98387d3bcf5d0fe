"""The table of events, as the library's recorders want it. No view: what stands in it is the truth, and stays.

On SQLite the position of an event in the log is its rowid; on PostgreSQL it is a column that only the server fills.
"""

from __future__ import annotations

from sqlalchemy import (
    Column,
    ColumnElement,
    Identity,
    Index,
    LargeBinary,
    MetaData,
    Table,
    bindparam,
    column,
    literal_column,
    select,
)

from projections.columns import TEXT, WHOLE

SQLITE, POSTGRESQL = MetaData(), MetaData()
METADATA = {"sqlite": SQLITE, "postgresql": POSTGRESQL}
"""The table by the name of the database's dialect."""

POSITION: dict[str, ColumnElement[int]] = {
    "sqlite": literal_column("rowid"),
    "postgresql": literal_column("notification_id"),
}


SETTINGS_TOPICS = (
    "CampaignCreated/1",
    "ContentChanged/1",
    "ScheduleChanged/1",
    "LimitsChanged/1",
    "MailboxAssigned/1",
)
"""Events that say by which settings a campaign sends. One in thousands is one of them, so they have an index of their
own: which settings were in force for a mail is found without a walk over the stream."""


def _is_setting() -> ColumnElement[bool]:
    """Literal: a database uses a partial index only where a query repeats it."""
    return column("topic").in_([literal_column(f"'{topic}'") for topic in SETTINGS_TOPICS])


def _settings_index() -> Index:
    where = _is_setting()
    name = "stored_events_settings"
    return Index(name, "originator_id", "originator_version", sqlite_where=where, postgresql_where=where)


def _columns() -> list[Column[object]]:
    return [
        Column("originator_id", TEXT, primary_key=True),
        Column("originator_version", WHOLE, primary_key=True, autoincrement=False),
        Column("topic", TEXT, nullable=False),
        Column("state", LargeBinary, nullable=False),
    ]


stored_events = Table("stored_events", SQLITE, *_columns(), _settings_index())
"""The events; on SQLite exactly these four columns, for the library inserts by place."""

Table(
    "stored_events",
    POSTGRESQL,
    *_columns(),
    Column("notification_id", WHOLE, Identity(always=True), nullable=False),
    Index("stored_events_notification_id_idx", "notification_id", unique=True),
    _settings_index(),
)

TRIGGERS = {
    "sqlite": (
        "stored_events_no_delete",
        "stored_events_no_gaps",
        "stored_events_no_replace",
        "stored_events_no_update",
    ),
    "postgresql": ("stored_events_append_lock", "stored_events_no_change"),
}
"""What keeps events from being changed, whoever connects; made by migrations."""

_ROW = {
    dialect: (
        position,
        stored_events.c.originator_id,
        stored_events.c.originator_version,
        stored_events.c.topic,
        stored_events.c.state,
    )
    for dialect, position in POSITION.items()
}

# OFFSET is written out: left to SQLAlchemy, it is one more parameter on SQLite.
LOG = {
    dialect: select(*_ROW[dialect])
    .where(position > bindparam("after"))
    .order_by(position)
    .limit(bindparam("rows"))
    .offset(literal_column("0"))
    for dialect, position in POSITION.items()
}
"""Events after a position: position, stream, version, topic, state."""

STREAM = {
    dialect: select(*row)
    .where(stored_events.c.originator_id == bindparam("stream"))
    .where(stored_events.c.originator_version > bindparam("after"))
    .order_by(stored_events.c.originator_version)
    .limit(bindparam("rows"))
    .offset(literal_column("0"))
    for dialect, row in _ROW.items()
}
"""Events of one stream after a version, in the same columns."""

SETTINGS = {
    dialect: select(*row)
    .where(stored_events.c.originator_id == bindparam("stream"), _is_setting())
    .order_by(stored_events.c.originator_version)
    for dialect, row in _ROW.items()
}
"""The events of one campaign that changed its settings, in the same columns."""

OF_TOPIC = {
    dialect: select(*row)
    .where(stored_events.c.originator_id == bindparam("stream"))
    .where(stored_events.c.topic == bindparam("topic"))
    .order_by(stored_events.c.originator_version)
    for dialect, row in _ROW.items()
}
"""Events of one stream that have one topic, in the same columns."""

TAIL = (
    select(stored_events.c.originator_version, stored_events.c.topic, stored_events.c.state)
    .where(
        stored_events.c.originator_id == bindparam("stream"), stored_events.c.originator_version > bindparam("after")
    )
    .order_by(stored_events.c.originator_version)
)
"""A stream's events after a version."""

STREAMS_BETWEEN = select(stored_events.c.originator_id).where(
    stored_events.c.originator_version == literal_column("1"),
    stored_events.c.originator_id > bindparam("first"),
    stored_events.c.originator_id < bindparam("last"),
)
"""The streams whose names lie between two texts."""

POSITION_OF = {
    dialect: select(position.label("position")).where(
        stored_events.c.originator_id == bindparam("stream"), stored_events.c.originator_version == bindparam("version")
    )
    for dialect, position in POSITION.items()
}
"""Where one event stands in the log, by dialect."""
