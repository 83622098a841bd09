"""The Merkle tree of RFC 6962, section 2.1, over hashes that are kept; knows no database.

What is kept are complete subtrees: `Node(level, index)` is the hash over the 2^level leaves from
index * 2^level on. They never change, so each root and each proof of any size takes a number of
look-ups that grows with the logarithm of the size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

Node = Callable[[int, int], bytes]
"""The hash of a complete subtree by level and index."""

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(content: bytes) -> bytes:
    """The hash of one leaf."""
    return hashlib.sha256(b"\0" + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees side by side."""
    return hashlib.sha256(b"\1" + left + right).digest()


def completed(index: int, leaf: bytes, node: Node) -> Iterator[tuple[int, int, bytes]]:
    """The subtrees (level, index, hash) that leaf `index` completes, the leaf itself apart."""
    level, found = 0, leaf
    while index & 1:
        found = node_hash(node(level, index - 1), found)
        level, index = level + 1, index >> 1
        yield level, index, found


def root(size: int, node: Node) -> bytes:
    """The tree's root at a size."""
    return _over(0, size, node) if size else EMPTY_ROOT


def inclusion(index: int, size: int, node: Node) -> list[bytes]:
    """The audit path of a leaf in the tree of a size, the leaf's neighbour first."""
    assert 0 <= index < size
    path, start, end = [], 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(_over(middle, end, node))
            end = middle
        else:
            path.append(_over(start, middle, node))
            start = middle
    return path[::-1]


def consistency(old: int, new: int, node: Node) -> list[bytes]:
    """The proof that the tree of the old size is the beginning of the tree of the new one."""
    assert 0 <= old <= new
    path, start, end = [], 0, new
    if old == 0:
        return []
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            path.append(_over(middle, end, node))
            end = middle
        else:
            path.append(_over(start, middle, node))
            start = middle
    if start:
        path.append(_over(start, end, node))
    return path[::-1]


def _over(start: int, end: int, node: Node) -> bytes:
    """The hash over the leaves from start to before end, as the RFC's splitting comes to them."""
    size = end - start
    level = size.bit_length() - 1
    if size == 1 << level:
        return node(level, start >> level)
    middle = start + _split(size)
    return node_hash(_over(start, middle, node), _over(middle, end, node))


def _split(size: int) -> int:
    """The largest power of two below the size."""
    return 1 << (size - 1).bit_length() - 1
