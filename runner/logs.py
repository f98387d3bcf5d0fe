"""Logs on standard error, as text for people or JSON for machines. Nothing of a person is ever logged:
campaigns and leads by number, codes without the server's words, database errors without parameters.
"""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

WITHOUT_VALUES = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
"""The library would write down what every variable held, and some hold a mail."""


def configure(form: Literal["text", "json"], level: int = logging.INFO) -> None:
    """Set the form of all logs of this process."""
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[structlog.typing.Processor] = (
        [structlog.processors.ExceptionRenderer(WITHOUT_VALUES), structlog.processors.JSONRenderer()]
        if form == "json"
        else [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    )
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    if logging.lastResort is not None:
        logging.getLogger("psycopg").addHandler(logging.lastResort)  # a runner lives on, and tells of lost connections
