"""The library's own test cases for recorders, run on ours over the tables that ship; and why the others are not."""

from __future__ import annotations

import shutil
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from unittest import TestCase
from unittest.mock import patch
from uuid import uuid4

import pytest
from eventsourcing.utils import Environment

from runner.store.recorder import LedgerFactory, SqliteRecorder
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
    "ApplicationRecorderTestCase.optional_test_insert_subscribe": "the library's SQLite recorder cannot subscribe",
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

    @pytest.fixture(autouse=True)
    def _find(self, tmp_path: Path, template: Path) -> None:
        self._folder, self._template = tmp_path, template

    def new_originator_id(self) -> str:
        return str(uuid4())

    def create_recorder(self) -> SqliteRecorder:
        database = shutil.copy(self._template, self._folder / "ledger.db")
        env = {"SQLITE_DBNAME": str(database), "CREATE_TABLE": "n", "ORIGINATOR_ID_TYPE": "text"}
        factory = LedgerFactory(Environment("Sendledger", env))
        self.addCleanup(factory.close)
        self.addCleanup(_wait_for_readers)
        recorder = factory.application_recorder()
        assert isinstance(recorder, SqliteRecorder)
        return recorder


def _wait_for_readers() -> None:
    """A case tells its readers to stop and ends: a connection that is closed under one of them takes Python down."""
    for thread in threading.enumerate():
        if "read_continuously" in thread.name:
            thread.join(TIMEOUT_S)


class TestApplicationRecorder(_OnOurRecorder, persistence.ApplicationRecorderTestCase[SqliteRecorder]):
    """Appending, conflicts, the log, and ten writers beside two readers."""

    test_performance = None  # type: ignore[assignment]


class TestNonInterleavingPositions(_OnOurRecorder, persistence.NonInterleavingNotificationIDsBaseCase):
    """Two large appends at once: the positions of one come before all of the other's."""


def test_every_case_of_the_library_is_run_or_left_out_for_a_reason() -> None:
    """A new release may bring more: then this says which."""
    cases = {name: case for name, case in vars(persistence).items() if name.endswith("Case") and name != "TestCase"}
    for name, case in cases.items():
        tests = {test for test in vars(case) if "test" in test.split("_")}
        ran = set(RUN.get(name, "").split())
        left = {test for test in tests if f"{name}.{test}" in NOT_RUN}
        assert name in NOT_RUN or tests == ran | left, name
    assert {entry.partition(".")[0] for entry in [*RUN, *NOT_RUN]} == set(cases)
