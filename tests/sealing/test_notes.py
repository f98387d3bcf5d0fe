"""Signed notes and keys in the forms that others read: known ones are read, and what was changed is not believed."""

from __future__ import annotations

import base64

import pytest

from domain.errors import InvalidInput
from domain.sealing.checkpoints import Checkpoint, claimed_size, opened_checkpoint
from domain.sealing.leaves import StoredEvent, leaf_data, leaf_hashes, read_leaf
from domain.sealing.merkle import leaf_hash
from domain.sealing.notes import NotVerified, PrivateKey, PublicKey, opened, signed, split_notes
from runner.sealing.keys import Signer, new_key, signer, verify

PUBLIC = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PRIVATE = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
NOTE = (
    f"{TEXT}\n— PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
"""The example of the package that defined the form, golang.org/x/mod/sumdb/note."""

KEY = Signer(new_key("a ledger"))
OTHER = Signer(new_key("a ledger"))


def test_a_note_that_others_signed_is_opened_and_signed_again_to_the_byte() -> None:
    key = PublicKey.parsed(PUBLIC)
    assert opened(NOTE, [key], verify) == (TEXT, key)
    theirs = signer(PRIVATE)
    assert str(theirs.public) == PUBLIC
    assert signed(TEXT, theirs.public, theirs.sign) == NOTE


def test_a_key_survives_its_line_and_does_not_show_itself() -> None:
    private = new_key("1f 2e")
    assert private.name == "sendledger/1f-2e"
    assert PrivateKey.parsed(private.line()) == private
    assert PublicKey.parsed(str(Signer(private).public)) == Signer(private).public
    assert base64.b64encode(private.seed).decode() not in repr(private)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "x",
        PRIVATE,
        PUBLIC.replace("c74f20a3", "c74f20a4"),
        PUBLIC.replace("Peter", "Paul"),
        PUBLIC[:-4],
        "a b" + PUBLIC,
    ],
)
def test_what_is_no_public_key_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="key"):
        PublicKey.parsed(line)


@pytest.mark.parametrize(
    "line", ["", PUBLIC, PRIVATE.replace("c74f20a3", "c74f20a4"), PRIVATE[:-4], PRIVATE[:-4] + "!!!!"]
)
def test_what_is_no_private_key_is_refused_and_not_repeated(line: str) -> None:
    with pytest.raises(InvalidInput, match="signing_key") as refused:
        signer(line)
    assert "AYEKFALV" not in str(refused.value)


def note(text: str = "origin\n", by: Signer = KEY) -> str:
    return signed(text, by.public, by.sign)


CHANGED = {
    "a letter of the text": note().replace("origin", "0rigin"),
    "a line more": "more\n" + note(),
    "a letter of the signature": note()[:-6] + ("A" if note()[-6] != "A" else "B") + note()[-5:],
    "signed by another key of that name": note(by=OTHER),
    "signed twice": note() + note().rpartition("\n\n")[2],
    "no signature": "origin\n\n",
    "nothing": "",
    "cut": note()[:-1],
    "a signature that is none": note() + "— \n",
    "a short signature": f"origin\n\n— {KEY.public.name} {base64.b64encode(KEY.public.hash + b'short').decode()}\n",
}


@pytest.mark.parametrize("case", CHANGED)
def test_a_note_that_was_changed_is_not_opened(case: str) -> None:
    with pytest.raises(NotVerified):
        opened(CHANGED[case], [KEY.public], verify)


def test_a_witness_may_sign_too_and_an_older_key_may_be_trusted() -> None:
    both = note() + note(by=OTHER).rpartition("\n\n")[2]
    assert opened(both, [KEY.public], verify)[0] == "origin\n"
    assert opened(note(by=OTHER), [KEY.public, OTHER.public], verify)[1] == OTHER.public


def checkpoint_note(text: str) -> str:
    return signed(text, KEY.public, KEY.sign)


def test_a_checkpoint_is_read_as_it_was_written() -> None:
    checkpoint = Checkpoint(KEY.public.name, 12, bytes(range(32)))
    written = checkpoint_note(checkpoint.text)
    assert written.startswith(f"sendledger/a-ledger\n12\n{base64.b64encode(bytes(range(32))).decode()}\n\n— ")
    assert opened_checkpoint(written, [KEY.public], verify) == checkpoint
    assert claimed_size(written) == 12


@pytest.mark.parametrize(
    "text",
    [
        "sendledger/a-ledger\n12\n",
        "sendledger/a-ledger\n012\nAAAA\n",
        "sendledger/a-ledger\n-1\n" + "A" * 43 + "=\n",
        "sendledger/a-ledger\n" + "9" * 5000 + "\n" + "A" * 43 + "=\n",
        "sendledger/a-ledger\n12\nAAAA\n",
        "sendledger/another\n12\n" + "A" * 43 + "=\n",
    ],
)
def test_a_signed_text_that_is_no_checkpoint_of_this_log_is_refused(text: str) -> None:
    with pytest.raises(NotVerified):
        opened_checkpoint(checkpoint_note(text), [KEY.public], verify)
    assert claimed_size(checkpoint_note(text)) <= 12


def test_notes_that_stand_one_after_the_other_come_apart_and_one_that_is_cut_is_left_out() -> None:
    notes = [note("a\n1\n"), note("b\n\n2\n") + note("b\n\n2\n", OTHER).rpartition("\n\n")[2], note("c\n3\n")]
    assert split_notes("".join(notes)) == notes
    assert split_notes("".join(notes)[:-1]) == notes[:-1]
    assert split_notes("no note") == split_notes("") == []


def test_a_leaf_says_everything_that_is_stored_and_where() -> None:
    row = (7, "campaign-1", 3, "EmailSent/1", b'{"code":250}')
    assert read_leaf(leaf_data(*row)) == StoredEvent(*row)
    assert leaf_hashes([row]) == [leaf_hash(leaf_data(*row))]
    others = [(8, *row[1:]), (7, "campaign-2", *row[2:]), (*row[:2], 4, *row[3:]), (*row[:3], "EmailSent/2", row[4])]
    moved = (7, "campaign-1E", 3, "mailSent/1", b'{"code":250}')
    assert len(set(leaf_hashes([row, *others, moved, (*row[:4], b'{"code":251}')]))) == 7


@pytest.mark.parametrize(
    "data", [b"", b"sendledger event v1\n", leaf_data(1, "campaign-1", 1, "EmailSent/1", b"")[:-3]]
)
def test_bytes_that_are_no_leaf_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="event"):
        read_leaf(data)
