"""The Merkle tree of RFC 6962: its root over any number of leaves, and what proves one leaf, or that a tree only grew.

`Frontier` holds a growing tree by one hash for each bit of its size: a leaf more costs one hash on average, a million
leaves take 20 hashes of memory. Proofs are made from the leaves' hashes, and checked from a handful.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

HASH_BYTES = 32
LEAF, NODE = b"\x00", b"\x01"
"""What begins each preimage, so that nobody can pass an inner node off as a leaf."""
EMPTY_ROOT = sha256(b"").digest()


class ProofFails(ValueError):
    """A proof that does not prove what it should."""


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf."""
    return sha256(LEAF + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees side by side."""
    return sha256(NODE + left + right).digest()


class Frontier:
    """A growing tree: its size, and the roots of its perfect subtrees, the largest first."""

    __slots__ = ("_roots", "size")

    def __init__(self, size: int = 0, roots: Sequence[bytes] = ()) -> None:
        if len(roots) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} perfect subtrees, not {len(roots)}")
        self.size = size
        self._roots = list(roots)

    def extend(self, leaves: Iterable[bytes]) -> None:
        """More leaves, by their hashes. Written out, for it runs once an event."""
        roots, size, digest = self._roots, self.size, sha256
        for root in leaves:
            full = size
            while full & 1:
                root = digest(NODE + roots.pop() + root).digest()
                full >>= 1
            roots.append(root)
            size += 1
        self.size = size

    def root(self) -> bytes:
        """The root of the tree as it is now."""
        if not self._roots:
            return EMPTY_ROOT
        *others, root = self._roots
        for left in reversed(others):
            root = node_hash(left, root)
        return root

    def packed(self) -> bytes:
        """The roots, one after the other."""
        return b"".join(self._roots)

    @classmethod
    def unpacked(cls, size: int, packed: bytes) -> Frontier:
        """The tree again. Raises `ValueError` for what is no frontier of that size."""
        return cls(size, hashes(packed))


def hashes(packed: bytes) -> list[bytes]:
    """Hashes that stand one after the other."""
    if len(packed) % HASH_BYTES:
        raise ValueError("not a whole number of hashes")
    return [packed[start : start + HASH_BYTES] for start in range(0, len(packed), HASH_BYTES)]


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root over these leaves' hashes."""
    tree = Frontier()
    tree.extend(leaves)
    return tree.root()


def inclusion_path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """What proves that the leaf at this index (0-based) is in the tree: RFC 6962, 2.1.1."""
    if not 0 <= index < len(leaves):
        raise IndexError(f"there is no leaf {index} in a tree of {len(leaves)}")
    path = []
    while len(leaves) > 1:
        split = _split(len(leaves))
        left, right = leaves[:split], leaves[split:]
        if index < split:
            path.append(root_of(right))
            leaves = left
        else:
            path.append(root_of(left))
            leaves, index = right, index - split
    return path[::-1]


def consistency_path(leaves: Sequence[bytes], old: int) -> list[bytes]:
    """What proves that the tree of the first `old` leaves is the beginning of this one: RFC 6962, 2.1.2."""
    if not 0 < old <= len(leaves):
        raise IndexError(f"no tree of {old} leaves is the beginning of one of {len(leaves)}")
    path, is_whole = [], True  # is_whole: the old tree's own root is known to who checks
    while old != len(leaves):
        split = _split(len(leaves))
        if old <= split:
            path.append(root_of(leaves[split:]))
            leaves = leaves[:split]
        else:
            path.append(root_of(leaves[:split]))
            leaves, old, is_whole = leaves[split:], old - split, False
    if not is_whole:
        path.append(root_of(leaves))
    return path[::-1]


def check_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Raise `ProofFails` unless the path leads from this leaf to this root: RFC 9162, 2.1.3.2."""
    if not 0 <= index < size:
        raise ProofFails(f"a tree of {size} leaves has none at index {index}")
    node, last, found = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise ProofFails("the path is longer than the tree is high")
        if node & 1 or node == last:
            found = node_hash(sibling, found)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        node, last = node >> 1, last >> 1
    if last != 0:
        raise ProofFails("the path is shorter than the tree is high")
    if found != root:
        raise ProofFails("the path does not lead to the root")


def check_consistency(old: int, size: int, path: Sequence[bytes], old_root: bytes, root: bytes) -> None:
    """Raise `ProofFails` unless the old tree is the beginning of the new one: RFC 9162, 2.1.4.2."""
    if not 0 < old <= size:
        raise ProofFails(f"no tree of {old} leaves is the beginning of one of {size}")
    if old == size:
        if path or old_root != root:
            raise ProofFails("two trees of one size with different roots")
        return
    path = [old_root, *path] if old.bit_count() == 1 else path
    if not path:
        raise ProofFails("the path is empty")
    node, last = old - 1, size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    then = now = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise ProofFails("the path is longer than the tree is high")
        if node & 1 or node == last:
            then, now = node_hash(sibling, then), node_hash(sibling, now)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            now = node_hash(now, sibling)
        node, last = node >> 1, last >> 1
    if last != 0:
        raise ProofFails("the path is shorter than the tree is high")
    if then != old_root or now != root:
        raise ProofFails("the path does not lead from the old root to the new one")


def _split(size: int) -> int:
    """The largest power of two that is smaller."""
    return 1 << (size - 1).bit_length() - 1
