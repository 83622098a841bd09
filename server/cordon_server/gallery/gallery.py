"""The references of one armed deployment, searched by whichever tier suits their number.

The gallery is derived: LMDB is the truth, the gallery is rebuilt from it at arming and follows
every change after its commit. Searches run in many threads while one thread changes it: a search
works on an immutable snapshot, a change replaces the snapshot.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cordon_server.domain import Candidate, Template
from cordon_server.gallery.exact import ExactTier, Hits
from cordon_server.gallery.groups import GroupTier, ProductProposer, Proposer, build_groups
from cordon_server.gallery.hnsw import build_graph
from cordon_server.gallery.rows import Reference, Rows, RowStore, Subject

CROSSOVER = 10_000
"""References above which the index answers.

A list made for one place and time is shorter as a rule: every reference of it is compared, and the
index is never built. The default limits allow 200,000. Microseconds a face, for a street frame's
six, on one core of an AMD EPYC that others used too (`python -m tests.bench --only g11_search`; an
embedding took 5,300):

    references     2,000   5,000  10,000  20,000  50,000  100,000
    every one         45     100     172     331   1,379    2,835
    the index        115     100     116     141     177      203
    by the graph     237     363     492     603     879    1,180

The two meet at 5,000; up to twice that an exact answer is worth its hundredth of an embedding.
"""
GRAPH_FROM = 300_000
"""Groups of references, as a rule subjects, from which on the index proposes by a graph. With fewer
a product with their means is faster: at 20,000, as many subjects as the default limits allow, by
five times. Where they meet is reckoned from that, not measured."""

_TAIL_SHARE = 0.5
"""Of the crossover: younger references that are compared one by one before the index is renewed."""
_REMOVED_SHARE = 0.02
"""Of the index: references it still holds though they were removed, before it is renewed."""


class Tier(Protocol):
    """A way to search: the best reference, and the best of another subject, for each probe."""

    def search(self, rows: Rows, probes: NDArray[np.float32]) -> Hits: ...


class Gallery:
    """The references that probes are compared with; of one model and one dimension.

    One thread changes it at a time; any number search. Above `crossover` references an index is
    built by a thread of the gallery's own, and renewed when it has aged; until it is there, the
    exact tier answers. A removed reference is never found again and its template leaves the
    rows with it; the mean it had a part in stays in the index until that is renewed.
    """

    def __init__(
        self,
        *,
        model_id: str,
        dimension: int,
        threshold: float,
        crossover: int = CROSSOVER,
        graph_from: int = GRAPH_FROM,
    ) -> None:
        self.model_id = model_id
        self.dimension = dimension
        self._threshold = threshold
        self._crossover = crossover
        self._graph_from = graph_from
        self._store = RowStore(model_id, dimension)
        self._exact = ExactTier()
        self._index: GroupTier | None = None
        self._index_thread: threading.Thread | None = None
        self._index_lock = threading.Lock()

    def __len__(self) -> int:
        """How many references it holds."""
        return len(self._store.now)

    def __contains__(self, entry_id: object) -> bool:
        """Whether a subject is listed."""
        return entry_id in self._store

    @property
    def rows(self) -> Rows:
        """What a search would see now; it stays as it is, and the gallery goes on."""
        return self._store.now

    @property
    def is_indexed(self) -> bool:
        """Whether the index answers; otherwise every reference is compared."""
        return self._index is not None

    def add(self, references: Iterable[Reference]) -> None:
        """Adds references, passing over those it has; raises `InvalidInput`, adding none, when a
        template is not finite, not of unit norm, or of another model or dimension."""
        self._store.append(references)
        self._renew_index()

    def remove_entry(self, entry_id: str) -> None:
        """Removes a subject with all references; the next search does not know it."""
        if self._store.remove(entry_id):
            self._renew_index()

    def search(self, probes: NDArray[np.float32]) -> list[Candidate | None]:
        """The best subject for each of (n, dimension) unit probes; None on an empty gallery."""
        rows, tier = self._store.now, self._tier()
        if not len(rows) or not len(probes):
            return [None] * len(probes)
        hits = tier.search(rows, probes)
        return [
            self._found(rows, int(row), float(score), float(other))
            for row, score, other in zip(hits.rows, hits.scores, hits.others, strict=True)
        ]

    def candidate_of(self, entry_id: str, reference_id: str) -> Candidate | None:
        """What a search would say of an entry that it found by this reference, score and margin 1;
        None where it would find none. For the thread that changes the gallery."""
        subject = self._store.subject(entry_id)
        return None if subject is None else self._candidate(subject, reference_id, 1.0, 0.0)

    def similar(self, template: Template, count: int) -> list[tuple[str, str, float]]:
        """The `count` most similar references: (entry id, reference id, score), best first.

        Always compares with every one: this is asked once an enrolment, and a duplicate missed
        stays missed.
        """
        rows = self._store.now
        scores = rows.matrix @ template.vector
        chosen = np.arange(len(scores))
        if count < len(scores):
            chosen = np.argpartition(-scores, count)[:count]
        ranked = chosen[np.argsort(-scores[chosen], kind="stable")]
        return [(*rows.names[row], float(scores[row])) for row in ranked]

    def wait_for_index(self, timeout_s: float) -> bool:
        """Waits until no index is being built; whether one answers. For measuring and tests."""
        while (thread := self._index_thread) is not None and thread.is_alive():
            thread.join(timeout_s)
            if thread.is_alive():
                break
        return self.is_indexed

    def _tier(self) -> Tier:
        return self._index or self._exact

    def _found(self, rows: Rows, row: int, score: float, other: float) -> Candidate:
        subject = rows.subjects[rows.subject_of[row]]
        assert subject is not None
        return self._candidate(subject, rows.names[row][1], score, other)

    def _candidate(
        self, subject: Subject, reference_id: str, score: float, other: float
    ) -> Candidate:
        return Candidate(
            entry_id=subject.entry_id,
            reference_id=reference_id,
            score=score,
            margin=score if other == -np.inf else score - other,
            threshold=self._threshold if subject.threshold is None else subject.threshold,
            category=subject.category,
            margin_min=subject.margin_min,
            look_alikes=tuple(each for each in subject.look_alikes if each in self),
        )

    def _renew_index(self) -> None:
        """Starts building an index if one is needed and none is being built."""
        with self._index_lock:
            # Well below, so that a list that hovers at the crossover is not indexed at each turn.
            if len(self) <= self._crossover // 2:
                self._index = None
            if self._index_thread is None and self._is_due():
                self._index_thread = threading.Thread(
                    target=_keep_indexed,
                    args=(weakref.ref(self), self._graph_from),
                    name="gallery-index",
                )
                self._index_thread.start()

    def _is_due(self) -> bool:
        rows, index = self._store.now, self._index
        if index is None:
            return len(rows) > self._crossover
        younger = len(rows) - rows.since(index.serial_end)
        removed = len(index) - (len(rows) - younger)
        return younger > _TAIL_SHARE * self._crossover or removed > _REMOVED_SHARE * len(index)

    def _next_snapshot(self) -> Rows | None:
        """What to index next; None, and no thread any more, when the index is young enough."""
        with self._index_lock:
            if self._is_due():
                return self._store.now
            self._index_thread = None
            return None

    def _take(self, index: GroupTier) -> None:
        with self._index_lock:
            self._index = index if len(self) > self._crossover // 2 else None


def _keep_indexed(gallery: weakref.ref[Gallery], graph_from: int) -> None:
    """What the index thread does: builds until the index is young enough, or nobody needs it.

    Holds the gallery weakly: one that is dropped while it is indexed goes at once, and so does its
    deployment's biometric data.
    """

    def is_wanted() -> bool:
        return gallery() is not None and threading.main_thread().is_alive()

    def build(means: NDArray[np.float32], is_wanted: Callable[[], bool]) -> Proposer | None:
        return build_graph(means, is_wanted) if len(means) >= graph_from else ProductProposer(means)

    while (rows := _snapshot_to_index(gallery)) is not None:
        index = build_groups(rows, ExactTier(), build, is_wanted)
        if index is None:
            return
        if (owner := gallery()) is not None:
            owner._take(index)
        del owner, rows


def _snapshot_to_index(gallery: weakref.ref[Gallery]) -> Rows | None:
    owner = gallery()
    return None if owner is None else owner._next_snapshot()
