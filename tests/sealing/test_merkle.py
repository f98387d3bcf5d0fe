"""The Merkle tree of RFC 6962: known roots, and proofs that hold for what is there and for nothing else."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.sealing.merkle import (
    EMPTY_ROOT,
    Frontier,
    ProofFails,
    check_consistency,
    check_inclusion,
    consistency_path,
    inclusion_path,
    leaf_hash,
    root_of,
)

ENTRIES = ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
"""The test tree of Certificate Transparency, which many implementations agree on."""

SIZES = st.integers(1, 40)


def leaves(count: int) -> list[bytes]:
    return [leaf_hash(str(number).encode()) for number in range(count)]


def root_by_the_book(hashed: list[bytes]) -> bytes:
    """RFC 6962, 2.1, word for word."""
    if len(hashed) == 1:
        return hashed[0]
    split = 1
    while split * 2 < len(hashed):
        split *= 2
    return sha256(b"\x01" + root_by_the_book(hashed[:split]) + root_by_the_book(hashed[split:])).digest()


def test_the_roots_are_those_that_everybody_gets() -> None:
    tree = Frontier()
    assert tree.root() == EMPTY_ROOT == sha256().digest()
    for entry, root in zip(ENTRIES, ROOTS, strict=True):
        tree.extend([leaf_hash(bytes.fromhex(entry))])
        assert tree.root().hex() == root


@given(SIZES)
def test_the_root_of_any_number_is_that_of_the_definition(size: int) -> None:
    assert root_of(leaves(size)) == root_by_the_book(leaves(size))


@given(st.integers(0, 40), st.integers(0, 40))
def test_a_tree_goes_on_from_what_was_kept_of_it(first: int, more: int) -> None:
    tree = Frontier()
    tree.extend(leaves(first + more)[:first])
    again = Frontier.unpacked(tree.size, tree.packed())
    again.extend(leaves(first + more)[first:])
    assert (again.size, again.root()) == (first + more, root_of(leaves(first + more)))
    assert len(again.packed()) == 32 * again.size.bit_count()


@pytest.mark.parametrize("packed", [b"", b"x" * 31, b"x" * 64])
def test_what_is_no_frontier_of_that_size_is_refused(packed: bytes) -> None:
    with pytest.raises(ValueError, match=r"subtrees|hashes"):
        Frontier.unpacked(8, packed)


@settings(max_examples=60)
@given(SIZES, st.data())
def test_a_path_proves_its_leaf_at_its_index_and_no_other(size: int, data: st.DataObject) -> None:
    hashed = leaves(size)
    index = data.draw(st.integers(0, size - 1))
    path, root = inclusion_path(hashed, index), root_of(hashed)

    check_inclusion(hashed[index], index, size, path, root)

    others: list[tuple[bytes, int, int, list[bytes], bytes]] = [
        (leaf_hash(b"forged"), index, size, path, root),
        (hashed[index], index, size, path, leaf_hash(b"forged")),
        (hashed[index], index, size, [*path, root], root),
        (hashed[index], size, size, path, root),
        (hashed[index], -1, size, path, root),
    ]
    others += [(hashed[index], other, size, path, root) for other in range(size) if other != index]
    others += [(hashed[index], index, size, path[:-1], root)] if path else []
    for each in others:
        with pytest.raises(ProofFails):
            check_inclusion(*each)


@settings(max_examples=60)
@given(SIZES, st.data())
def test_a_path_proves_that_a_tree_grew_and_no_other_did(size: int, data: st.DataObject) -> None:
    hashed = leaves(size)
    old = data.draw(st.integers(1, size))
    path, then, now = consistency_path(hashed, old), root_of(hashed[:old]), root_of(hashed)

    check_consistency(old, size, path, then, now)

    forged = leaf_hash(b"forged")
    others = [(old, size, path, forged, now), (old, size, path, then, forged), (old, size, [*path, now], then, now)]
    others += [(old, size, path[:-1], then, now)] if path else []
    others += [(0, size, path, then, now), (size + 1, size, path, then, now)]
    others += [(old, size, [forged, *path[1:]], then, now)] if path else []
    for each in others:
        with pytest.raises(ProofFails):
            check_consistency(*each)


def test_a_leaf_or_a_tree_that_is_not_there_has_no_path() -> None:
    with pytest.raises(IndexError, match="no leaf 3 in a tree of 3"):
        inclusion_path(leaves(3), 3)
    with pytest.raises(IndexError, match="no tree of 4 leaves"):
        consistency_path(leaves(3), 4)
