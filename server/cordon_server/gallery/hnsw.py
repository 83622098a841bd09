"""The nearest of very many means by a graph of near neighbours (HNSW); misses some.

Built once, never changed, and only ever in memory: a damaged index file can crash the process that
loads it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from usearch.index import Index, Matches

DTYPE = "f16"
"""Half of float32's memory and time for the same decisions; int8 decides worse."""
CONNECTIVITY = 32
EXPANSION_ADD = 128
EXPANSION_SEARCH = 384
"""With 20,000 groups the graph then misses no group that matters: its decisions are those of the
product. Twice as much takes a third more time."""
ADDED_AT_ONCE = 16
"""Means a single call adds; the library holds the interpreter for so long, 3 ms."""


class GraphProposer:
    """Finds groups by a graph over their means."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._one_at_a_time = threading.Lock()
        """Searches of one index share its scratch space: the library gives every caller the
        first place in it."""

    @property
    def memory_bytes(self) -> int:
        return int(self._index.memory_usage)

    def nearest(self, probes: NDArray[np.float32], count: int) -> list[NDArray[np.int64]]:
        with self._one_at_a_time:
            found = self._index.search(np.ascontiguousarray(probes), count, threads=1)
        # The library unpacks a batch of one.
        batch = [found] if len(probes) == 1 else [found[i] for i in range(len(probes))]
        return [matches.keys.astype(np.int64) for matches in cast("list[Matches]", batch)]


def build_graph(means: NDArray[np.float32], is_wanted: Callable[[], bool]) -> GraphProposer | None:
    """Some means at a time; None as soon as it is not wanted any more."""
    index = empty_index(means.shape[1])
    for start in range(0, len(means), ADDED_AT_ONCE):
        if not is_wanted():
            return None
        some = means[start : start + ADDED_AT_ONCE]
        index.add(np.arange(start, start + len(some), dtype=np.uint64), some, threads=1)
    return GraphProposer(index)


def empty_index(dimension: int) -> Index:
    """An index to fill."""
    # Here, not above: most lists never need it. And in this order: usearch 2.26 carries a C++
    # runtime of its own, and onnxruntime crashes the process when it is loaded after that.
    import onnxruntime  # noqa: F401  # for the order alone
    from usearch.index import Index

    return Index(
        ndim=dimension,
        metric="ip",
        dtype=DTYPE,
        connectivity=CONNECTIVITY,
        expansion_add=EXPANSION_ADD,
        expansion_search=EXPANSION_SEARCH,
    )
