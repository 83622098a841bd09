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
from cordon_server.gallery.coarse import coarse_scores, to_bytes
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
    units,
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
def test_a_product_proposes_the_nearest_groups_and_few_more(groups: int) -> None:
    means, probes = people(groups, 40), people(5, 41)

    found = ProductProposer(means).nearest(probes, 128)

    for scores, nearest in zip(probes @ means.T, found, strict=True):
        # As near as bytes can tell.
        level = np.sort(scores)[-128:][0] + 0.03
        assert set(np.flatnonzero(scores > level)) <= set(nearest)
        assert min(groups, 128) <= len(set(nearest)) == len(nearest) <= 192


@pytest.mark.parametrize("dimension", [1, 8, 128, 130])
@pytest.mark.parametrize("count", [1, 4, 5, 9])
def test_bytes_score_almost_as_floats_do(dimension: int, count: int) -> None:
    chance = np.random.default_rng(50)
    rows = units(chance.normal(size=(300, dimension)))
    probes = units(chance.normal(size=(count, dimension)))

    scores = coarse_scores(to_bytes(rows), probes)

    exact = probes @ rows.T
    for found, wanted in zip(scores, exact, strict=True):
        scale = (found @ wanted) / (found @ found.astype(float))
        assert found * scale == pytest.approx(wanted, abs=0.03)


def test_what_a_byte_cannot_hold_is_cut_and_never_turns_its_sign() -> None:
    axes = np.eye(128, dtype=np.float32)

    rows = to_bytes(np.concatenate([axes, -axes]))

    assert rows.max() == 127
    assert rows.min() == -127
    assert (coarse_scores(rows, axes[:3]).argmax(axis=1) == np.arange(3)).all()


def test_an_index_that_is_not_wanted_is_not_finished() -> None:
    store = RowStore(MODEL, DIMENSION)
    store.append(references(people(100, 32), 1, 33))
    answers = iter([True, True, False])

    assert build_groups(store.now, ExactTier(), build_graph, lambda: next(answers)) is None


@pytest.mark.slow
def test_removal_from_a_hundred_thousand_references_takes_no_seconds() -> None:
    gallery = a_gallery("exact")
    gallery.add(references(people(20_000, 34), 5, 35))

    start_s = time.thread_time()  # what it costs, however busy the machine is
    for person in range(5):
        gallery.remove_entry(f"s{person * 1000}")

    assert len(gallery) == 99_975
    assert time.thread_time() - start_s < 5 * 0.5


@pytest.mark.slow
@pytest.mark.parametrize("first", ["bytes", "index", "models"])
def test_the_gallery_and_the_inference_engine_share_a_process(first: str) -> None:
    # Loaded the wrong way round, engine and index end the process with a segmentation fault.
    loads = {
        "bytes": "import cordon_server.gallery.coarse",
        "models": "import onnxruntime; onnxruntime.get_available_providers()",
        "index": "from cordon_server.gallery.hnsw import empty_index; empty_index(8)",
    }
    steps = [loads.pop(first), *loads.values()]

    done = subprocess.run([sys.executable, "-c", "; ".join(steps)], check=False, timeout=60)

    assert done.returncode == 0
