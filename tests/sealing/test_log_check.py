"""Given a log with gaps between its positions, as a server leaves them, when one event is slipped in or taken out, then
it is named: a gap alone is no fault there.
"""

from __future__ import annotations

from collections.abc import Sequence

from domain.sealing.checkpoints import Checkpoint
from domain.sealing.leaves import StoredRow, leaf_hashes
from domain.sealing.merkle import Frontier
from domain.sealing.verification import Fault, LogCheck, Mark, Seal

POSITIONS = (1, 2, 7, 8, 20)
ROWS: list[StoredRow] = [(position, f"campaign-{position}", 1, "CampaignStarted/1", b"{}") for position in POSITIONS]


def sealed(rows: Sequence[StoredRow]) -> tuple[Mark, Seal]:
    leaves, tree = leaf_hashes(rows), Frontier()
    tree.extend(leaves)
    seal = Seal(len(rows), 0, rows[-1][0], "", tree.packed(), b"".join(leaves))
    return Mark(Checkpoint("a log", tree.size, tree.root()), "a checkpoint", is_kept=True), seal


def fault(rows: Sequence[StoredRow], *, gapless: bool = False, batch: int = 2, kept: bool = True) -> Fault | None:
    """What is found in these rows, if `ROWS` were sealed."""
    mark, seal = sealed(ROWS)
    check = LogCheck([mark], lambda _: seal if kept else None, gapless=gapless)
    for start in range(0, len(rows), batch):
        if not check.take(rows[start : start + batch]):
            break
    return check.finish()


def test_gaps_are_no_fault_on_a_server_and_one_in_a_file() -> None:
    assert fault(ROWS) is None
    found = fault(ROWS, gapless=True)
    assert found is not None
    assert found.position == 3


def test_one_that_was_slipped_in_is_named() -> None:
    new = (5, "campaign-5", 1, "CampaignStarted/1", b"{}")
    found = fault([*ROWS[:2], new, *ROWS[2:]], batch=10)
    assert found == Fault("this event was not there when the log was sealed: it was inserted", 5)


def test_one_that_was_taken_out_is_named_by_the_first_place_it_can_have_had() -> None:
    found = fault([*ROWS[:2], *ROWS[3:]])
    assert found == Fault("the event that was sealed here is not there: it was removed", 3)


def test_one_that_was_taken_out_before_a_checkpoint_is_named_by_the_gap_it_leaves() -> None:
    whole: list[StoredRow] = [(at, f"campaign-{at}", 1, "CampaignStarted/1", b"{}") for at in range(1, 7)]
    mark, seal = sealed(whole[:4])
    check = LogCheck([mark], lambda _: seal, gapless=True)
    check.take([*whole[:3], *whole[4:]])
    assert check.finish() == Fault("the event that was sealed here is not there: it was removed", 4)


def test_one_that_replaces_another_is_named() -> None:
    found = fault([*ROWS[:2], (7, "campaign-7", 1, "CampaignPaused/1", b"{}"), *ROWS[3:]])
    assert found is not None
    assert found.position == 7


def test_without_the_kept_leaves_the_range_is_named() -> None:
    found = fault([*ROWS[:2], (7, "campaign-7", 1, "CampaignPaused/1", b"{}"), *ROWS[3:]], kept=False)
    assert found is not None
    assert "the first that differs stands between 1 and here" in found.what
    assert found.position == 20


def test_what_comes_after_the_last_checkpoint_is_counted_apart() -> None:
    mark, seal = sealed(ROWS[:3])
    check = LogCheck([mark], lambda _: seal, gapless=False)
    assert check.take(ROWS)
    assert (check.finish(), check.size, check.sealed, check.last) == (None, 5, 3, 20)
    assert check.counts["campaign-7", "CampaignStarted/1"] == 1
