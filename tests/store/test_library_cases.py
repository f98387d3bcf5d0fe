"""The library's own test cases for recorders, run on ours over the tables that ship; and why the others are not."""

from __future__ import annotations

import sys
import threading
from types import SimpleNamespace
from typing import ClassVar
from unittest import TestCase
from unittest.mock import patch
from uuid import uuid4

import pytest
from sqlalchemy.engine import URL

from runner.store.ledger import Ledger
from runner.store.recorder import LedgerRecorder
from tests.faults.processes import TIMEOUT_S

# The cases import the library's cipher, and that a package for cryptography: none of those that are run here uses it.
with patch.dict(sys.modules, {"eventsourcing.cipher": SimpleNamespace(AESCipher=None)}):
    from eventsourcing.tests import persistence

RUN = {
    "ApplicationRecorderTestCase": "test_insert_select test_concurrent_no_conflicts test_concurrent_throughput",
    "NonInterleavingNotificationIDsBaseCase": "test",
}

NOT_RUN = {
    "ApplicationRecorderTestCase.test_performance": "it prints a figure and asserts nothing; ours are in benchmarks",
    "ApplicationRecorderTestCase.optional_test_insert_subscribe": "nobody subscribes: the projector pulls the log, so "
    "our appends notify nobody, and the library's SQLite recorder could not",
    "RecorderTestCase": "it holds no tests, only what the others share",
    "AggregateRecorderTestCase": "for recorders without a log: it asserts that an append returns no positions",
    "TrackingRecorderTestCase": "we record no tracking: the projector keeps its position beside the views",
    "ProcessRecorderTestCase": "the same",
    "InfrastructureFactoryTestCase": "it asks a factory for tracking and process recorders, ciphers and compressors, "
    "none of which the ledger has; and for a mapper, where the ledger gives its own (test_mapper)",
    "TranscoderTestCase": "events are pydantic models and write their own JSON (test_mapper)",
}


class _OnOurRecorder(TestCase):
    """With text for the ids of streams, as the ledger has them."""

    database: ClassVar[URL]

    def new_originator_id(self) -> str:
        return str(uuid4())

    def create_recorder(self) -> LedgerRecorder:
        ledger = Ledger(self.database)
        self.addCleanup(ledger.close)
        self.addCleanup(_wait_for_readers)
        assert isinstance(ledger.recorder, LedgerRecorder)
        return ledger.recorder


def _wait_for_readers() -> None:
    """A case tells its readers to stop and ends: a connection that is closed under one of them takes Python down."""
    for thread in threading.enumerate():
        if "read_continuously" in thread.name:
            thread.join(TIMEOUT_S)


@pytest.mark.parametrize(("case", "test"), [(case, test) for case, tests in RUN.items() for test in tests.split()])
def test_a_case_of_the_library_passes_on_our_recorder(database: URL, case: str, test: str) -> None:
    ours: type[TestCase] = type(case, (_OnOurRecorder, getattr(persistence, case)), {"database": database})
    ours(test).debug()  # as run(), but what fails is raised


def test_every_case_of_the_library_is_run_or_left_out_for_a_reason() -> None:
    """A new release may bring more: then this says which."""
    cases = {name: case for name, case in vars(persistence).items() if name.endswith("Case") and name != "TestCase"}
    for name, case in cases.items():
        tests = {test for test in vars(case) if "test" in test.split("_")}
        ran = set(RUN.get(name, "").split())
        left = {test for test in tests if f"{name}.{test}" in NOT_RUN}
        assert name in NOT_RUN or tests == ran | left, name
    assert {entry.partition(".")[0] for entry in [*RUN, *NOT_RUN]} == set(cases)
