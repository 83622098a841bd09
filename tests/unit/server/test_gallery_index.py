"""The gallery's index: how it is built, renewed and dropped; and the steps it is made of."""

from __future__ import annotations

import gc
import subprocess
import sys
import time
import weakref

import numpy as np
import pytest

from cordon_server.domain import Template
from cordon_server.gallery import Reference
from cordon_server.gallery.exact import PROBES_AT_ONCE, ROWS_AT_ONCE, ExactTier
from cordon_server.gallery.groups import (
    ProductProposer,
    build_groups,
)
from cordon_server.gallery.hnsw import build_graph
from cordon_server.gallery.rows import RowStore
from tests.unit.server.faces import (
    DIMENSION,
    MODEL,
    SOON,
    a_gallery,
    assert_decides_like,
    people,
    references,
    settled,
)


@pytest.mark.parametrize("rows", [1, ROWS_AT_ONCE - 1, ROWS_AT_ONCE, 2 * ROWS_AT_ONCE + 3])
def test_chunks_and_batches_of_any_size_give_the_same_answer(rows: int) -> None:
    centres = people(rows, 3)
    store = RowStore(MODEL, DIMENSION)
    # Two subjects take turns at being the best of a chunk, so that chunks are looked at again.
    store.append(
        Reference(f"s{row % 2 if row % 7 else row}", f"r{row}", Template(vector, MODEL))
        for row, vector in enumerate(centres)
    )
    probes = people(PROBES_AT_ONCE + 5, 4)

    hits = ExactTier().search(store.now, probes)

    scores = store.now.matrix @ probes.T
    assert hits.scores == pytest.approx(scores.max(axis=0), abs=1e-6)
    assert scores[hits.rows, range(len(probes))] == pytest.approx(hits.scores, abs=1e-6)
    is_same = store.now.subject_of[:, None] == store.now.subject_of[hits.rows]
    others = np.where(is_same, -np.inf, scores).max(axis=0)
    assert hits.others == pytest.approx(others, abs=1e-6)


def test_removed_references_leave_the_index_when_it_is_renewed() -> None:
    gallery = a_gallery("graph")
    gallery.add(references(people(100, 12), 2, 13))
    assert gallery.wait_for_index(60)
    before = gallery._index
    assert before is not None

    for person in range(10):
        gallery.remove_entry(f"s{person}")
    settled(gallery)

    assert gallery._index is not None
    assert gallery._index is not before
    assert len(before) == 200
    # The last few wait until enough of them have come together.
    assert 180 <= len(gallery._index) <= 184


def test_a_list_that_shrinks_is_compared_whole_again() -> None:
    gallery = a_gallery("graph")
    listed = references(people(40, 18), 1, 19)
    gallery.add(listed)
    assert gallery.wait_for_index(60)

    for person in range(SOON // 2, 40):
        gallery.remove_entry(f"s{person}")
    settled(gallery)

    assert not gallery.is_indexed
    assert_decides_like(gallery, listed[: SOON // 2], people(20, 20))


def test_a_gallery_that_is_dropped_while_it_is_indexed_leaves_nothing() -> None:
    gallery = a_gallery("graph")
    gallery.add(references(people(3000, 30), 10, 31))
    thread, dropped = gallery._index_thread, weakref.ref(gallery)
    assert thread is not None

    del gallery
    gc.collect()

    assert dropped() is None
    thread.join(5)
    assert not thread.is_alive()


@pytest.mark.parametrize("groups", [3, 128, 129, 2050, 5003])
def test_a_product_proposes_the_very_nearest_groups(groups: int) -> None:
    means, probes = people(groups, 40), people(5, 41)

    found = ProductProposer(means).nearest(probes, 128)

    wanted = np.argsort(-(probes @ means.T), axis=1)[:, :128]
    for row, nearest in zip(found, wanted, strict=True):
        assert set(row.tolist()) - {-1} == set(nearest.tolist())


def test_an_index_that_is_not_wanted_is_not_finished() -> None:
    store = RowStore(MODEL, DIMENSION)
    store.append(references(people(100, 32), 1, 33))
    answers = iter([True, True, False])

    assert build_groups(store.now, ExactTier(), build_graph, lambda: next(answers)) is None


@pytest.mark.slow
def test_removal_from_a_hundred_thousand_references_takes_no_seconds() -> None:
    gallery = a_gallery("exact")
    gallery.add(references(people(20_000, 34), 5, 35))

    start = time.monotonic()
    for person in range(5):
        gallery.remove_entry(f"s{person * 1000}")

    assert len(gallery) == 99_975
    assert time.monotonic() - start < 5 * 0.5


@pytest.mark.slow
@pytest.mark.parametrize("first", ["index", "models"])
def test_the_index_and_the_inference_engine_share_a_process(first: str) -> None:
    # Loaded the wrong way round, the two end the process with a segmentation fault.
    index = "from cordon_server.gallery.hnsw import empty_index; empty_index(8)"
    models = "import onnxruntime; onnxruntime.get_available_providers()"
    steps = [index, models] if first == "index" else [models, index]

    done = subprocess.run([sys.executable, "-c", "; ".join(steps)], check=False, timeout=60)

    assert done.returncode == 0
