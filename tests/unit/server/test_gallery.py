from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cordon_server.domain import InvalidInput, Template
from cordon_server.gallery import Gallery, Reference

MODEL, DIMENSION, THRESHOLD = "m-1", 8, 0.5


def units(count: int, seed: int) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).normal(size=(count, DIMENSION))
    units: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1)[:, None]).astype(np.float32)
    return units


POOL = units(24, seed=1)
PROBES = units(6, seed=2)


def a_gallery() -> Gallery:
    return Gallery(model_id=MODEL, dimension=DIMENSION, threshold=THRESHOLD)


def a_reference(
    entry_id: str,
    number: int,
    vector: NDArray[np.float32],
    *,
    category: str = "",
    threshold: float | None = None,
) -> Reference:
    return Reference(entry_id, f"r{number}", Template(vector, MODEL), category, threshold)


@dataclass
class Plain:
    """What a gallery is, said plainly: every reference by name, compared one by one."""

    references: dict[tuple[str, str], Reference] = field(default_factory=dict)
    newest: dict[str, Reference] = field(default_factory=dict)

    def add(self, reference: Reference) -> None:
        key = (reference.entry_id, reference.reference_id)
        if key not in self.references:
            self.references[key] = self.newest[reference.entry_id] = reference

    def remove(self, entry_id: str) -> None:
        self.newest.pop(entry_id, None)
        self.references = {k: v for k, v in self.references.items() if k[0] != entry_id}

    def scores(self, probe: NDArray[np.float32]) -> dict[tuple[str, str], float]:
        return {key: float(probe @ ref.template.vector) for key, ref in self.references.items()}


ADDED = st.builds(
    lambda entry, number, row, category, threshold: a_reference(
        entry, number, POOL[row], category=category, threshold=threshold
    ),
    st.sampled_from("abcde"),
    st.integers(0, 3),
    st.integers(0, len(POOL) - 1),
    st.sampled_from(["wanted", "missing"]),
    st.none() | st.floats(-1, 1, width=32),
)
CHANGES = st.lists(st.lists(ADDED, max_size=6) | st.sampled_from("abcdef"), max_size=14)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(CHANGES)
def test_a_gallery_equals_a_search_through_everything(
    changes: list[list[Reference] | str],
) -> None:
    gallery, plain = a_gallery(), Plain()
    for change in changes:
        if isinstance(change, str):
            gallery.remove_entry(change)
            plain.remove(change)
        else:
            gallery.add(change)
            for each in change:
                plain.add(each)

    assert len(gallery) == len(plain.references)
    assert {each for each in "abcdef" if each in gallery} == plain.newest.keys()
    assert {each for each in "abcdef" if gallery.candidate_of(each, "r")} == plain.newest.keys()
    for probe, candidate in zip(PROBES, gallery.search(PROBES), strict=True):
        scores = plain.scores(probe)
        if not scores:
            assert candidate is None
            continue
        assert candidate is not None
        best = max(scores.values())
        others = [v for (entry, _), v in scores.items() if entry != candidate.entry_id]
        entry = plain.newest[candidate.entry_id]
        assert candidate.score == pytest.approx(best, abs=1e-6)
        assert scores[candidate.entry_id, candidate.reference_id] == pytest.approx(best, abs=1e-6)
        margin = best - max(others) if others else best
        assert candidate.margin == pytest.approx(margin, abs=2e-6)
        assert candidate.threshold == (THRESHOLD if entry.threshold is None else entry.threshold)
        assert candidate.category == entry.category
        named = gallery.candidate_of(candidate.entry_id, candidate.reference_id)
        assert named == replace(candidate, score=1.0, margin=1.0)
        ranked = gallery.similar(Template(probe, MODEL), 3)
        wanted = sorted(scores.values(), reverse=True)[:3]
        assert [score for *_, score in ranked] == pytest.approx(wanted, abs=1e-6)


def test_the_margin_is_to_another_subject_and_never_to_ones_own_second_picture() -> None:
    gallery = a_gallery()
    axis = np.eye(DIMENSION, dtype=np.float32)
    close = ((axis[0] * 0.99 + axis[1] * 0.141067) / 1.0).astype(np.float32)
    close /= np.linalg.norm(close)
    far = (axis[0] * 0.6 + axis[2] * 0.8).astype(np.float32)
    gallery.add([a_reference("a", 1, axis[0]), a_reference("a", 2, close)])

    (alone,) = gallery.search(axis[:1])
    gallery.add([a_reference("b", 1, far)])
    (candidate,) = gallery.search(axis[:1])

    assert alone is not None
    assert candidate is not None
    assert alone.margin == pytest.approx(1.0)
    assert candidate.margin == pytest.approx(0.4)


def test_an_empty_gallery_finds_nobody_and_no_probes_give_no_answers() -> None:
    gallery = a_gallery()

    assert gallery.search(PROBES) == [None] * len(PROBES)
    assert gallery.search(PROBES[:0]) == []
    assert gallery.similar(Template(PROBES[0], MODEL), 5) == []
    gallery.add([a_reference("a", 1, POOL[0])])
    assert gallery.search(PROBES[:0]) == []


def test_a_probe_that_is_not_a_number_passes_no_threshold() -> None:
    gallery = a_gallery()
    gallery.add([a_reference("a", 1, POOL[0], threshold=-1.0)])

    (candidate,) = gallery.search(np.full((1, DIMENSION), np.nan, dtype=np.float32))

    assert candidate is None or not candidate.score >= candidate.threshold


def changed(row: int, value: float) -> NDArray[np.float32]:
    vector: NDArray[np.float32] = POOL[row].copy()
    vector[3] = value
    return vector


BAD_TEMPLATES = {
    "not a number": Template(changed(0, float("nan")), MODEL),
    "infinite": Template(changed(0, float("inf")), MODEL),
    "zero": Template(np.zeros(DIMENSION, dtype=np.float32), MODEL),
    "a little long": Template(POOL[0] * np.float32(1.01), MODEL),
    "too large to square": Template(np.full(DIMENSION, 3e38, dtype=np.float32), MODEL),
    "too short": Template(np.eye(DIMENSION - 1, dtype=np.float32)[0], MODEL),
    "too long": Template(np.eye(DIMENSION + 1, dtype=np.float32)[0], MODEL),
    "a row of a matrix": Template(POOL[:1], MODEL),
    "a number": Template(np.float32(1.0) * np.ones((), dtype=np.float32), MODEL),
    "another model's": Template(POOL[0], "m-2"),
}


@pytest.mark.parametrize("template", list(BAD_TEMPLATES.values()), ids=list(BAD_TEMPLATES))
def test_a_bad_template_is_refused_with_all_that_came_with_it(template: Template) -> None:
    gallery = a_gallery()
    gallery.add([a_reference("a", 1, POOL[1])])
    good, bad = a_reference("b", 1, POOL[2]), Reference("c", "r1", template)

    with pytest.raises(InvalidInput) as refused:
        gallery.add([good, bad, a_reference("d", 1, POOL[3])])

    assert refused.value.field == "template"
    assert len(gallery) == 1
    assert "b" not in gallery
    gallery.add([good])
    (candidate,) = gallery.search(POOL[2:3])
    assert candidate is not None
    assert candidate.entry_id == "b"


def test_what_float32_rounds_is_still_a_unit_vector() -> None:
    gallery = a_gallery()

    gallery.add([a_reference("a", 1, POOL[0] * np.float32(1.0005))])

    assert len(gallery) == 1


def test_a_reference_given_twice_is_held_once() -> None:
    gallery = a_gallery()
    again = a_reference("a", 1, POOL[0])

    gallery.add([again, again])
    gallery.add(iter([again]))

    assert len(gallery) == 1


def test_a_removed_subject_is_unknown_to_the_next_search_and_may_come_back() -> None:
    gallery = a_gallery()
    gallery.add([a_reference("a", n, POOL[n]) for n in range(3)])
    gallery.add([a_reference("b", 1, POOL[9])])

    gallery.remove_entry("a")
    found = gallery.search(POOL[:3])
    gallery.remove_entry("never there")
    gallery.add([a_reference("a", 0, POOL[0])])
    (back,) = gallery.search(POOL[:1])

    assert {candidate.entry_id for candidate in found if candidate} == {"b"}
    assert back is not None
    assert back.entry_id == "a"
    assert back.score == pytest.approx(1.0)


@pytest.mark.slow
def test_searches_while_it_changes_see_one_state_or_the_next_and_nothing_between() -> None:
    gallery = a_gallery()
    axis = np.eye(DIMENSION, dtype=np.float32)
    near = (axis[0] * 0.8 + axis[1] * 0.6).astype(np.float32)
    gallery.add([a_reference("stays", 0, near, category="kept", threshold=0.25)])
    wrong: list[object] = []
    is_over = threading.Event()
    probes = axis[:1]

    def look() -> None:
        while not is_over.is_set():
            (candidate,) = gallery.search(probes)
            if candidate is None:
                wrong.append(None)
                return
            seen = (
                candidate.entry_id,
                round(candidate.score, 4),
                candidate.threshold,
                candidate.category,
            )
            alone = ("stays", 0.8, 0.25, "kept")
            both = ("comes", 1.0, 0.75, "gone")
            if seen not in (alone, both) or round(candidate.margin, 4) not in (0.8, 0.2):
                wrong.append((seen, candidate.margin))

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for turn in range(60):
            crowd = [a_reference(f"crowd-{turn}-{n}", 0, axis[2 + n]) for n in range(3)]
            gallery.add([a_reference("comes", 0, axis[0], category="gone", threshold=0.75), *crowd])
            gallery.remove_entry("comes")
    finally:
        is_over.set()
        for thread in threads:
            thread.join(10)

    assert wrong == []
