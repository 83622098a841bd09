"""Both tiers of the gallery under one contract: what brute force decides, they decide."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cordon_server.domain import InvalidInput, Template
from cordon_server.gallery import Gallery, Reference
from cordon_server.gallery.exact import PROBES_AT_ONCE, ROWS_AT_ONCE, ExactTier
from cordon_server.gallery.groups import GROUP_MAX, GROUPS_PROPOSED, build_groups
from cordon_server.gallery.hnsw import build_graph
from cordon_server.gallery.rows import RowStore

MODEL, DIMENSION, THRESHOLD = "m-1", 32, 0.5
NEVER, SOON = 10**9, 16
"""Crossovers: the exact tier always, the index almost always."""
TIERS = {"exact": (NEVER, NEVER), "product": (SOON, NEVER), "graph": (SOON, 0)}
"""(crossover, graph_from)"""

Vectors = NDArray[np.float32]
NewGallery = Callable[[], Gallery]


def units(rows: NDArray[np.float64]) -> Vectors:
    vectors: Vectors = (rows / np.linalg.norm(rows, axis=1)[:, None]).astype(np.float32)
    return vectors


def people(count: int, seed: int) -> Vectors:
    return units(np.random.default_rng(seed).normal(size=(count, DIMENSION)))


def pictures(centres: Vectors, noise: float, seed: int) -> Vectors:
    aside = np.random.default_rng(seed).normal(size=centres.shape) * noise / DIMENSION**0.5
    return units(centres + aside)


def references(centres: Vectors, count: int, seed: int, prefix: str = "s") -> list[Reference]:
    return [
        Reference(f"{prefix}{person}", f"r{number}", Template(vector, MODEL), "wanted", None)
        for number in range(count)
        for person, vector in enumerate(pictures(centres, 0.5, seed + number))
    ]


def a_gallery(tier: str) -> Gallery:
    crossover, graph_from = TIERS[tier]
    return Gallery(
        model_id=MODEL,
        dimension=DIMENSION,
        threshold=THRESHOLD,
        crossover=crossover,
        graph_from=graph_from,
    )


def settled(gallery: Gallery) -> Gallery:
    gallery.wait_for_index(60)
    return gallery


@pytest.fixture(params=list(TIERS))
def new_gallery(request: pytest.FixtureRequest) -> NewGallery:
    tier: str = request.param
    return lambda: a_gallery(tier)


def brute_force(listed: list[Reference], probe: Vectors) -> tuple[str, str, float, float]:
    """(entry, reference, score, margin), said plainly."""
    scores = [float(probe @ each.template.vector) for each in listed]
    best = int(np.argmax(scores))
    winner = listed[best]
    others = [
        score
        for score, each in zip(scores, listed, strict=True)
        if each.entry_id != winner.entry_id
    ]
    margin = scores[best] - max(others) if others else scores[best]
    return winner.entry_id, winner.reference_id, scores[best], margin


def assert_decides_like(gallery: Gallery, listed: list[Reference], probes: Vectors) -> None:
    for probe, candidate in zip(probes, gallery.search(probes), strict=True):
        assert candidate is not None
        entry, reference, score, margin = brute_force(listed, probe)
        assert (candidate.score >= THRESHOLD) == (score >= THRESHOLD)
        if score >= THRESHOLD:
            assert (candidate.entry_id, candidate.reference_id) == (entry, reference)
            assert candidate.score == pytest.approx(score, abs=1e-6)
            assert candidate.margin == pytest.approx(margin, abs=2e-6)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(list(TIERS)),
    st.lists(st.tuples(st.booleans(), st.integers(0, 59)), max_size=30),
    st.integers(0, 5),
)
def test_whatever_changed_each_tier_decides_as_brute_force_does(
    tier: str, changes: list[tuple[bool, int]], seed: int
) -> None:
    centres = people(60, seed)
    every = references(centres, 3, seed)
    gallery = a_gallery(tier)
    gallery.add(every[:90])
    listed = every[:90]
    for is_removed, person in changes:
        if is_removed:
            gallery.remove_entry(f"s{person}")
            listed = [each for each in listed if each.entry_id != f"s{person}"]
        else:
            more = [each for each in every if each.entry_id == f"s{person}"]
            gallery.add(more)
            listed += [each for each in more if each not in listed]

    probes = np.concatenate([pictures(centres, 0.5, seed + 9), people(8, seed + 1)])
    assert len(gallery) == len(listed)
    assert_decides_like(gallery, listed, probes)
    settled(gallery)
    assert_decides_like(gallery, listed, probes)


def test_thousands_of_references_are_decided_as_brute_force_does(new_gallery: NewGallery) -> None:
    centres = people(500, 1)
    listed = references(centres, 4, 2)
    gallery = new_gallery()
    gallery.add(listed)

    assert_decides_like(settled(gallery), listed, pictures(centres[:200], 0.6, 7))


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


def test_the_margin_is_right_where_one_subject_fills_all_that_is_fetched(
    new_gallery: NewGallery,
) -> None:
    (centre,) = people(1, 5)
    same = pictures(np.repeat(centre[None], (GROUPS_PROPOSED + 5) * GROUP_MAX, axis=0), 0.05, 6)
    crowd = references(people(40, 8), 1, 9, prefix="other")
    listed = [Reference("a", f"r{n}", Template(v, MODEL)) for n, v in enumerate(same)] + crowd
    gallery = new_gallery()
    gallery.add(listed)

    assert_decides_like(settled(gallery), listed, centre[None])


def test_a_subject_alone_leads_by_its_whole_score(new_gallery: NewGallery) -> None:
    (centre,) = people(1, 5)
    same = pictures(np.repeat(centre[None], 40, axis=0), 0.05, 6)
    gallery = new_gallery()
    gallery.add(Reference("a", f"r{n}", Template(v, MODEL)) for n, v in enumerate(same))

    (candidate,) = settled(gallery).search(centre[None])

    assert candidate is not None
    assert candidate.margin == candidate.score


def test_a_removed_subject_is_gone_from_the_very_next_search(new_gallery: NewGallery) -> None:
    centres = people(300, 10)
    listed = references(centres, 2, 11)
    gallery = new_gallery()
    gallery.add(listed)
    settled(gallery)

    for person in range(40):
        gallery.remove_entry(f"s{person}")
        found = gallery.search(centres[: person + 1])
        gone = {f"s{n}" for n in range(person + 1)}
        assert not gone & {candidate.entry_id for candidate in found if candidate}
        assert not gone & {entry for entry, *_ in gallery.similar(Template(centres[0], MODEL), 9)}
    left = [each for each in listed if int(each.entry_id[1:]) >= 40]
    assert_decides_like(settled(gallery), left, centres)


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


def test_a_subject_may_come_back_with_the_same_names(new_gallery: NewGallery) -> None:
    centres = people(60, 14)
    listed = references(centres, 2, 15)
    gallery = new_gallery()
    gallery.add(listed)
    settled(gallery)

    for _ in range(3):
        gallery.remove_entry("s7")
        gallery.add(listed)
        assert_decides_like(gallery, listed, centres)
    assert_decides_like(settled(gallery), listed, centres)


def test_an_entrys_own_threshold_and_category_come_with_its_candidate(
    new_gallery: NewGallery,
) -> None:
    centres = people(60, 16)
    gallery = new_gallery()
    gallery.add(references(centres, 1, 17))
    gallery.add([Reference("s3", "newest", Template(centres[3], MODEL), "missing", 0.31)])

    own, other = settled(gallery).search(centres[3:5])

    assert own is not None
    assert other is not None
    assert (own.threshold, own.category) == (0.31, "missing")
    assert (other.threshold, other.category) == (THRESHOLD, "wanted")


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


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0])
def test_a_damaged_template_enters_neither_tier(new_gallery: NewGallery, value: float) -> None:
    centres = people(60, 21)
    listed = references(centres, 1, 22)
    gallery = new_gallery()
    gallery.add(listed)
    bad = Template(np.full(DIMENSION, value, np.float32), MODEL)

    with pytest.raises(InvalidInput):
        gallery.add([*references(centres, 1, 23, "more"), Reference("bad", "r", bad)])

    assert len(gallery) == 60
    assert_decides_like(settled(gallery), listed, centres)


def test_a_probe_that_is_no_number_passes_no_threshold_and_spoils_no_other(
    new_gallery: NewGallery,
) -> None:
    centres = people(60, 24)
    listed = references(centres, 1, 25)
    gallery = new_gallery()
    gallery.add(listed)
    settled(gallery)
    for value in (np.nan, np.inf):
        probes = centres[:3].copy()
        probes[1, 4] = value
        with np.errstate(invalid="ignore"):
            first, bad, last = gallery.search(probes)

        assert bad is None or not THRESHOLD <= bad.score < np.inf
        assert first is not None
        assert last is not None
        assert (first.entry_id, last.entry_id) == ("s0", "s2")


def test_searches_in_many_threads_never_find_the_removed_nor_miss_the_listed(
    new_gallery: NewGallery,
) -> None:
    centres = people(120, 26)
    gallery = new_gallery()
    gallery.add(references(centres[:60], 2, 27))
    later = [references(centres, 1, 28 + n, prefix=f"later{n}-")[60:] for n in range(12)]
    wrong: list[str] = []
    is_over = threading.Event()

    def look(start: int) -> None:
        probes = centres[start:60:3]
        wanted = [f"s{n}" for n in range(start, 60, 3)]
        while not is_over.is_set():
            found = gallery.search(probes)
            wrong.extend(
                w for w, c in zip(wanted, found, strict=True) if c is None or c.entry_id != w
            )

    threads = [threading.Thread(target=look, args=(start,)) for start in range(3)]
    for thread in threads:
        thread.start()
    try:
        for turn, more in enumerate(later):
            gallery.add(more)
            for person in range(60, 120):
                gallery.remove_entry(f"later{turn}-{person - 60 + 60}")
            found = gallery.search(centres[60:])
            wrong += [c.entry_id for c in found if c and c.entry_id.startswith("later")]
    finally:
        is_over.set()
        for thread in threads:
            thread.join(10)
    settled(gallery)

    assert wrong == []
    assert len(gallery) == 120


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
