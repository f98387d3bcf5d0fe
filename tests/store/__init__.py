"""Tests of the event store: mapper, recorder, ledger, snapshots."""
