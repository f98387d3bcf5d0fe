"""Tamper drills: given a sealed ledger, when somebody who owns the database changes it below its triggers, then the
verification finds it, and names the first position that is not as it was sealed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from domain.sealing.checkpoints import Checkpoint
from domain.sealing.notes import signed
from runner.sealing.file import CheckpointFile
from runner.sealing.keys import Signer, new_key
from runner.sealing.sealer import NotTheSealedLedger, Sealer
from tests.sealing.given import SEALED_AT, SealedLedger

EVENTS, SEALED = 18, SEALED_AT[-1]

CHANGED = "this is not the event that was sealed here"
REMOVED = "the event that was sealed here is not there: it was removed"
ONE = "UPDATE stored_events SET {{position}} = {to} WHERE {{position}} = {at}"


def move(at: int, to: int) -> str:
    return ONE.format(at=at, to=to)


def moved_up(first: int, last: int, by: int) -> list[str]:
    """All from `first` to `last` stand `by` places further on, in an order in which no two meet."""
    order = range(last, first - 1, -1) if by > 0 else range(first, last + 1)
    return [move(position, position + by) for position in order]


def swapped(column: str, one: int, other: int) -> list[str]:
    """These columns of two events change places."""
    swap = (
        "UPDATE stored_events AS mine SET {column} = (SELECT other.{column} FROM stored_events AS other"
        " WHERE other.{{position}} = {sum} - mine.{{position}}) WHERE mine.{{position}} IN ({one}, {other})"
    )
    return [swap.format(column=column, sum=one + other, one=one, other=other)]


INSERTED = (
    "INSERT INTO stored_events ({position}, originator_id, originator_version, topic, state)"
    " SELECT 5, 'campaign-9', 1, topic, state FROM stored_events WHERE {position} = 4"
)

DRILLS: dict[str, tuple[list[str], int, str]] = {
    "a changed byte": (["UPDATE stored_events SET state = {digit_changed} WHERE {position} = 4"], 4, CHANGED),
    "a changed type": (["UPDATE stored_events SET topic = 'EmailSkipped/1' WHERE {position} = 14"], 14, CHANGED),
    "a changed byte in the first event": (["UPDATE stored_events SET topic = 'x/1' WHERE {position} = 1"], 1, CHANGED),
    "a changed byte in the last that is sealed": (
        ["UPDATE stored_events SET topic = 'x/1' WHERE {position} = 16"],
        16,
        CHANGED,
    ),
    "two that changed places": ([move(4, 99), move(3, 4), move(99, 3)], 3, "this is not the event"),
    "two whose bytes changed places": (swapped("state", 3, 6), 3, CHANGED),
    "a swapped stream": (["UPDATE stored_events SET originator_id = 'campaign-2' WHERE {position} = 9"], 9, CHANGED),
    "a renamed stream": (
        ["UPDATE stored_events SET originator_id = 'campaign-2' WHERE originator_id = 'campaign-1'"],
        2,
        CHANGED,
    ),
    "removed in the middle": (["DELETE FROM stored_events WHERE {position} = 5"], 5, REMOVED),
    "removed in the middle, and the gap closed": (
        ["DELETE FROM stored_events WHERE {position} = 5", *moved_up(6, EVENTS, -1)],
        5,
        CHANGED,
    ),
    "removed at the beginning": (["DELETE FROM stored_events WHERE {position} = 1"], 1, REMOVED),
    "removed at the end": (["DELETE FROM stored_events WHERE {position} > 15"], 16, "the log ends here"),
    "removed at the end, down to a checkpoint": (
        ["DELETE FROM stored_events WHERE {position} > 12"],
        13,
        "the log ends here",
    ),
    "all removed": (["DELETE FROM stored_events"], 1, "the log ends here"),
    "one inserted, and the others moved": ([*moved_up(5, EVENTS, 1), INSERTED], 5, CHANGED),
    "a whole that was rewritten": (
        ["UPDATE stored_events SET state = {year_changed}"],
        1,
        CHANGED,
    ),
    "a changed byte, and the leaves beside the signature changed to fit nothing": (
        [
            "UPDATE stored_events SET topic = 'x/1' WHERE {position} = 9",
            "UPDATE checkpoints SET leaves = frontier WHERE size = 12",
        ],
        12,
        "the first that differs stands between 7 and here",
    ),
}


def test_a_ledger_that_nobody_touched_is_whole(sealed: SealedLedger) -> None:
    found = sealed.verified()
    assert found.faults == []
    assert (found.events, found.sealed, found.in_database, found.in_file) == (EVENTS, SEALED, 3, 3)


@pytest.mark.parametrize("drill", DRILLS)
def test_what_was_changed_in_the_events_is_found_at_its_place(sealed: SealedLedger, drill: str) -> None:
    statements, position, words = DRILLS[drill]
    sealed.tamper(*statements)
    [fault, *_] = sealed.faults()
    assert fault.position == position
    assert words in fault.what


# --- what is not sealed yet ---


def test_one_removed_behind_the_last_checkpoint_is_missed_by_its_stream(sealed: SealedLedger) -> None:
    sealed.tamper("DELETE FROM stored_events WHERE {position} = 17")
    [fault] = sealed.faults()
    assert fault.position in (17, 18)
    assert "removed" in fault.what


# --- checkpoints in the database ---


def note_at(sealed: SealedLedger, size: int, *, root: bytes = bytes(32), by: Signer | None = None) -> str:
    by = by or sealed.signer
    return signed(Checkpoint(sealed.signer.public.name, size, root).text, by.public, by.sign)


def replaced(sealed: SealedLedger, size: int, note: str) -> None:
    sealed.tamper(f"UPDATE checkpoints SET note = '{note}' WHERE size = {size}")  # noqa: S608 - it is meant to do harm


def words(sealed: SealedLedger) -> str:
    return "; ".join(map(str, sealed.faults()))


def test_a_forged_checkpoint_is_found(sealed: SealedLedger) -> None:
    sealed.tamper("UPDATE checkpoints SET note = replace(note, '12', '11') WHERE size = 12")
    assert "12 events in the database is forged or damaged: its signature does not hold" in words(sealed)


def test_a_signature_by_another_key_is_found(sealed: SealedLedger) -> None:
    """Its owner has rewritten everything, and signed it with a key of the same name."""
    forger = Signer(new_key("ledger"))
    sealed.tamper("UPDATE stored_events SET topic = 'x/1' WHERE {position} = 2", "DELETE FROM checkpoints")
    sealed.file.path.unlink()
    Sealer(sealed.ledger, forger, sealed.file).seal()
    told = words(sealed)
    assert told.count(f"it is signed by another key: sendledger/ledger {forger.public.hash.hex()}") == 2


def test_a_note_of_our_own_at_another_size_is_found(sealed: SealedLedger) -> None:
    [row] = [note for note in sealed.file.notes() if "\n6\n" in note]
    replaced(sealed, 12, row)
    assert "the checkpoint of 12 events in the database says 6 events: its row was changed" in words(sealed)


BESIDE = {
    "leaves": "UPDATE checkpoints SET leaves = frontier WHERE size = 12",
    "frontier": "UPDATE checkpoints SET frontier = leaves WHERE size = 12",
    "position": "UPDATE checkpoints SET position = 11 WHERE size = 12",
    "since": "UPDATE checkpoints SET since = 5 WHERE size = 12",
}


@pytest.mark.parametrize("column", BESIDE)
def test_what_stands_beside_a_signature_cannot_be_changed_either(sealed: SealedLedger, column: str) -> None:
    sealed.tamper(BESIDE[column])
    assert "changed" in words(sealed)


def test_a_checkpoint_that_was_removed_from_the_middle_is_missed(sealed: SealedLedger) -> None:
    sealed.tamper("DELETE FROM checkpoints WHERE size = 12")
    assert words(sealed) == (
        "the checkpoint of 16 events in the database goes on from 12, the one before ends at 6: "
        "one was removed or changed"
    )


def test_the_file_still_knows_what_was_removed_with_its_checkpoints(sealed: SealedLedger) -> None:
    sealed.tamper("DELETE FROM stored_events WHERE {position} > 12", "DELETE FROM checkpoints WHERE size > 12")
    [fault] = sealed.faults()
    assert fault.position == 13
    assert f"the checkpoint of 16 events in {sealed.file.path}" not in fault.what or "ends" in fault.what


# --- the file ---


def test_a_file_that_was_cut_is_found(sealed: SealedLedger) -> None:
    sealed.file.path.write_text("".join(sealed.file.notes()[:-1]))
    assert "ends at 12 events, the database's last checkpoint at 16: the file was cut" in words(sealed)


def test_a_file_that_was_cut_within_a_note_is_found(sealed: SealedLedger) -> None:
    sealed.file.path.write_bytes(sealed.file.path.read_bytes()[:-20])
    assert "ends at 12 events" in words(sealed)


def test_a_file_that_is_gone_is_found(sealed: SealedLedger) -> None:
    sealed.file.path.unlink()
    assert "ends at 0 events" in words(sealed)


def test_a_changed_note_in_the_file_is_found(sealed: SealedLedger) -> None:
    text = sealed.file.path.read_text()
    sealed.file.path.write_text(text.replace("\n6\n", "\n7\n"))
    assert f"the checkpoint of 7 events in {sealed.file.path} is forged or damaged" in words(sealed)


def test_notes_in_another_order_are_found(sealed: SealedLedger) -> None:
    first, second, third = sealed.file.notes()
    sealed.file.path.write_text(second + first + third)
    assert f"the checkpoints in {sealed.file.path} are not in their order" in words(sealed)


def test_a_copy_from_earlier_is_enough_for_all_that_it_seals(sealed: SealedLedger, tmp_path: Path) -> None:
    """Who cuts database and file alike is found by whoever keeps a copy of the file."""
    copy = CheckpointFile(Path(shutil.copy(sealed.file.path, tmp_path / "copy")))
    sealed.tamper("DELETE FROM stored_events WHERE {position} > 12", "DELETE FROM checkpoints WHERE size > 12")
    sealed.file.path.write_text("".join(sealed.file.notes()[:-1]))
    assert sealed.faults() == []  # nothing here remembers
    [fault] = sealed.verified(copy, older=True).faults
    assert fault.position == 13


def test_a_copy_from_earlier_may_end_early_if_that_is_said(sealed: SealedLedger, tmp_path: Path) -> None:
    copy = CheckpointFile(tmp_path / "copy")
    copy.path.write_text("".join(sealed.file.notes()[:1]))
    assert sealed.verified(copy, older=True).faults == []
    assert len(sealed.verified(copy).faults) == 1


# --- who seals does not sign what was changed ---

REFUSALS: dict[str, Callable[[SealedLedger], None]] = {
    "a restored backup": lambda sealed: sealed.tamper(
        "DELETE FROM stored_events WHERE {position} > 14", "DELETE FROM checkpoints WHERE size > 12"
    ),
    "events rewritten under the file": lambda sealed: sealed.tamper(
        "UPDATE stored_events SET topic = 'x/1' WHERE {position} = 13", "DELETE FROM checkpoints WHERE size > 12"
    ),
    "another frontier": lambda sealed: sealed.tamper("UPDATE checkpoints SET frontier = leaves WHERE size = 16"),
    "a forged last checkpoint": lambda sealed: replaced(sealed, 16, note_at(sealed, 16, by=Signer(new_key("ledger")))),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_nothing_is_signed_over_what_was_changed(sealed: SealedLedger, case: str) -> None:
    REFUSALS[case](sealed)
    before = sealed.file.path.read_bytes()
    with pytest.raises(NotTheSealedLedger, match=r"audit (verify|seal)"):
        sealed.sealer.seal()
    assert sealed.file.path.read_bytes() == before
