"""The Merkle tree against the vectors of Certificate Transparency, the RFC's own recursion, and the
verifier, which shares no line with it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cordon_admin import verifier
from cordon_server.audit import tree

# certificate-transparency's cpp/merkletree/merkle_tree_test.cc, which every implementation of
# RFC 6962 is tested with.
CT_LEAVES = [
    bytes.fromhex(text)
    for text in (
        *("", "00", "10", "2021", "3031", "40414243", "5051525354555657"),
        "606162636465666768696a6b6c6d6e6f",
    )
]
CT_ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
CT_PATHS = {
    (0, 1): (),
    (0, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (5, 8): (
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 3): ("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",),
    (1, 5): (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ),
}
CT_CONSISTENCY = {
    (1, 1): (),
    (1, 8): CT_PATHS[0, 8],
    (6, 8): (
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 5): (
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ),
}


# RFC 6962, section 2.1, as it is written there.


def naive_root(leaves: Sequence[bytes]) -> bytes:
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    k = naive_split(len(leaves))
    return hashlib.sha256(b"\1" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


def naive_path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = naive_split(len(leaves))
    if m < k:
        return [*naive_path(m, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_path(m - k, leaves[k:]), naive_root(leaves[:k])]


def naive_proof(m: int, leaves: Sequence[bytes], is_whole: bool = True) -> list[bytes]:
    if m == len(leaves):
        return [] if is_whole else [naive_root(leaves)]
    k = naive_split(len(leaves))
    if m <= k:
        return [*naive_proof(m, leaves[:k], is_whole), naive_root(leaves[k:])]
    return [*naive_proof(m - k, leaves[k:], False), naive_root(leaves[:k])]


def naive_split(n: int) -> int:
    k = 1
    while 2 * k < n:
        k *= 2
    return k


class Kept:
    """The complete subtrees of some leaves, as the record keeps them."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.nodes: dict[tuple[int, int], bytes] = {}
        for index, leaf in enumerate(leaves):
            found = tree.leaf_hash(leaf)
            self.nodes[0, index] = found
            for level, at, made in tree.completed(index, found, self):
                self.nodes[level, at] = made

    def __call__(self, level: int, index: int) -> bytes:
        return self.nodes[level, index]


LEAVES = [f"leaf {number}".encode() for number in range(300)]
NODES = Kept(LEAVES)
SIZES = st.integers(1, len(LEAVES))


@pytest.mark.serves("R12")
def test_the_vectors_of_certificate_transparency() -> None:
    nodes = Kept(CT_LEAVES)

    for size, root in enumerate(CT_ROOTS):
        assert tree.root(size, nodes).hex() == root == naive_root(CT_LEAVES[:size]).hex()
    for (index, size), path in CT_PATHS.items():
        assert tuple(each.hex() for each in tree.inclusion(index, size, nodes)) == path
    for (old, new), proof in CT_CONSISTENCY.items():
        assert tuple(each.hex() for each in tree.consistency(old, new, nodes)) == proof


@given(SIZES)
@settings(max_examples=60, deadline=None)
def test_roots_are_the_rfcs(size: int) -> None:
    streamed = verifier.Tree()
    for leaf in LEAVES[:size]:
        streamed.add(leaf)

    assert tree.root(size, NODES) == naive_root(LEAVES[:size]) == streamed.root()


@given(SIZES, st.data())
@settings(max_examples=150, deadline=None)
def test_paths_are_the_rfcs_and_show_their_leaf_alone(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    path, root = tree.inclusion(index, size, NODES), tree.root(size, NODES)

    assert path == naive_path(index, LEAVES[:size])
    assert verifier.is_included(LEAVES[index], index, size, path, root)
    assert not verifier.is_included(b"another", index, size, path, root)
    other = data.draw(st.integers(0, size - 1))
    assert verifier.is_included(LEAVES[index], other, size, path, root) == (other == index)
    for wrong in changed(path, data):
        assert not verifier.is_included(LEAVES[index], index, size, wrong, root)


@given(SIZES, st.data())
@settings(max_examples=150, deadline=None)
def test_proofs_of_growth_are_the_rfcs_and_hold_for_their_sizes_alone(
    new: int, data: st.DataObject
) -> None:
    old = data.draw(st.integers(1, new))
    proof = tree.consistency(old, new, NODES)
    before, after = tree.root(old, NODES), tree.root(new, NODES)

    assert proof == naive_proof(old, LEAVES[:new])
    assert verifier.is_consistent(old, before, new, after, proof)
    assert not verifier.is_consistent(old, bytes(32), new, after, proof)
    assert not verifier.is_consistent(old, before, new, bytes(32), proof)
    for wrong in changed(proof, data):
        assert not verifier.is_consistent(old, before, new, after, wrong)


def changed(proof: list[bytes], data: st.DataObject) -> list[list[bytes]]:
    """The proof with a hash too many, one too few, and one bit changed."""
    found = [[*proof, bytes(32)]]
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        bit = 1 << data.draw(st.integers(0, 255))
        turned = (int.from_bytes(proof[at], "big") ^ bit).to_bytes(32, "big")
        found += [proof[:at] + proof[at + 1 :], [*proof[:at], turned, *proof[at + 1 :]]]
    return found


def test_everything_begins_with_nothing_and_a_record_with_itself() -> None:
    root = tree.root(5, NODES)

    assert tree.consistency(0, 5, NODES) == tree.consistency(5, 5, NODES) == []
    assert verifier.is_consistent(0, tree.EMPTY_ROOT, 5, root, [])
    assert verifier.is_consistent(5, root, 5, root, [])
    assert not verifier.is_consistent(0, root, 5, root, [])
    assert not verifier.is_consistent(5, root, 5, bytes(32), [])
    assert not verifier.is_consistent(5, root, 5, root, [root])
    assert not verifier.is_consistent(6, root, 5, root, [])
    assert not verifier.is_consistent(3, tree.root(3, NODES), 5, root, [])
    assert not verifier.is_included(LEAVES[0], 5, 5, [], root)
    assert not verifier.is_included(LEAVES[0], -1, 5, [], root)


def test_a_proof_looks_up_no_more_than_the_logarithm_of_the_size() -> None:
    looked_up = 0

    def node(level: int, index: int) -> bytes:
        nonlocal looked_up
        looked_up += 1
        return bytes(32)

    tree.inclusion(123_456_789, 999_999_999, node)
    tree.consistency(123_456_789, 999_999_999, node)

    assert looked_up < 4 * 30
