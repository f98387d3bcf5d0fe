"""The demonstration, as a newcomer runs it: twice."""

from __future__ import annotations

import re

import pytest

from tests.cli.desk import Desk, ended


@pytest.fixture
def desk(desk_on_each: Desk) -> Desk:
    """What a newcomer goes through does not depend on the database."""
    return desk_on_each


def test_a_second_run_goes_on_sends_nothing_twice_and_says_so(desk: Desk) -> None:
    first = ended(desk.process("demo"))
    assert (first.code, first.err) == (0, "")
    assert "Two campaigns made and started" in first.out
    second = ended(desk.process("demo"))
    assert second.code == 0
    assert "Going on with the ledger of an earlier run" in second.out
    sent = [mails(said) for said in (first.out, second.out)]
    assert f"Before this run {sent[0]} mails had been sent; nobody got a second one." in second.out
    assert "Before this run" not in first.out
    filed = [file.read_bytes() for file in (desk.folder / "demo" / "mails" / "new").iterdir()]
    ids = re.findall(rb"^Message-ID: (<[^>]+>)", b"".join(filed), re.MULTILINE | re.IGNORECASE)
    assert len(ids) == len(set(ids)) == len(filed) == sum(sent)
    for said in (first.out, second.out):
        assert "FAIL" not in said
        assert said.count("PASS") >= 10


def mails(said: str) -> int:
    """How many mails a run sent; the mail server and the ledger agree on it."""
    found = re.search(r"(\d+) mails accepted by the local mail server, (\d+) recorded as sent", said)
    assert found is not None
    accepted, recorded = map(int, found.groups())
    assert accepted == recorded > 0
    return accepted
