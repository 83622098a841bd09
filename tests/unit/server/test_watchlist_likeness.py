"""Who looks like whom, on synthetic faces: doubles, look-alikes and hubs are where planted."""

from __future__ import annotations

import numpy as np
import pytest

from cordon_server.authority.watchlist_likeness import (
    HUB_RAISE,
    LOOK_ALIKE_MARGIN,
    NO_COHORT,
    Faces,
    Pair,
    known_apart,
    likenesses,
)
from cordon_server.domain import Template
from cordon_server.gallery import Gallery, Reference
from cordon_server.recognition.decide import STILLS_RULE, passes
from tests.unit.server.faces import DIMENSION, MODEL, Vectors, people, units

THRESHOLD = 0.6


def a_reference(entry_id: str, vector: Vectors, number: int = 0) -> Reference:
    return Reference(entry_id, f"r{number}", Template(vector, MODEL), "wanted")


def between(one: Vectors, other: Vectors, score: float) -> Vectors:
    """A face at a score with one, towards another."""
    aside = other - (other @ one) * one
    aside /= np.linalg.norm(aside)
    found: Vectors = units((score * one + np.sqrt(1 - score**2) * aside)[None])[0]
    return found


def apart(count: int) -> Vectors:
    """Faces that look like nobody."""
    rows = np.linalg.qr(np.random.default_rng(1).normal(size=(DIMENSION, count)))[0].T
    return units(rows)


def brute_pairs(references: list[Reference], score_min: float) -> set[tuple[str, str, float]]:
    best: dict[tuple[str, str], float] = {}
    for one in references:
        for other in references:
            if one.entry_id < other.entry_id:
                score = float(one.template.vector @ other.template.vector)
                pair = one.entry_id, other.entry_id
                best[pair] = max(best.get(pair, -1.0), score)
    return {(*pair, round(score, 5)) for pair, score in best.items() if score >= score_min}


def told(pair: Pair) -> tuple[str, str, float]:
    first, second = sorted((pair.first.entry_id, pair.second.entry_id))
    return first, second, round(pair.score, 5)


def test_pairs_are_those_of_comparing_everyone_with_everyone() -> None:
    faces = people(700, seed=3)  # More than one block.
    references = [
        a_reference(f"e{number // 2 if number < 60 else number}", vector, number)
        for number, vector in enumerate(faces)
    ]

    found = Faces(references).close_pairs(0.55)

    assert {told(pair) for pair in found} == brute_pairs(references, 0.55)
    assert [pair.score for pair in found] == sorted((p.score for p in found), reverse=True)


def test_near_counts_are_those_of_comparing_everyone_with_everyone() -> None:
    references = [a_reference(f"e{n // 3}", v, n) for n, v in enumerate(people(90, seed=5))]
    cohort = people(600, seed=6)
    faces = Faces(references)

    counts = faces.near_counts(cohort, 0.4)

    for number, entry_id in enumerate(faces.entries):
        own = [each.template.vector for each in references if each.entry_id == entry_id]
        assert counts[number] == int(((np.stack(own) @ cohort.T).max(axis=0) >= 0.4).sum())
    alone = [a_reference(f"e{n}", v) for n, v in enumerate(people(40, seed=7))]
    near = Faces(alone).near_each_other(0.3)
    scores = Faces(alone).matrix @ Faces(alone).matrix.T
    assert list(near) == list((scores >= 0.3).sum(axis=1) - 1)


def test_an_empty_list_has_no_likeness() -> None:
    assert likenesses(Faces([]), NO_COHORT, THRESHOLD) == {}
    assert known_apart([], people(3, seed=1), THRESHOLD) == []


@pytest.mark.serves("R6", "R17")
def test_a_match_on_a_look_alike_takes_a_greater_lead_and_names_the_other() -> None:
    a, b, c = apart(3)
    listed = [
        a_reference("a", a),
        a_reference("b", between(a, b, THRESHOLD - 0.01)),
        a_reference("c", c),
    ]
    gallery = Gallery(model_id=MODEL, dimension=DIMENSION, threshold=THRESHOLD)
    gallery.add(known_apart(listed, NO_COHORT, THRESHOLD))
    doubtful = units((listed[0].template.vector + 0.75 * listed[1].template.vector)[None])

    (candidate,) = gallery.search(doubtful)
    (other,) = gallery.search(c[None])

    assert candidate is not None
    assert candidate.look_alikes == ("b",)
    assert candidate.score > candidate.threshold
    assert STILLS_RULE.margin_min < candidate.margin < LOOK_ALIKE_MARGIN
    assert not passes(candidate, STILLS_RULE)
    assert other is not None
    assert (other.look_alikes, other.margin_min) == ((), 0.0)
    assert passes(other, STILLS_RULE)
    gallery.remove_entry("b")
    (alone,) = gallery.search(doubtful)
    assert alone is not None
    assert alone.look_alikes == ()


@pytest.mark.serves("R17")
def test_who_strangers_come_near_needs_a_higher_score() -> None:
    listed = [a_reference(f"e{n}", v) for n, v in enumerate(apart(12))]
    hub, far = listed[0].template.vector, people(40, seed=9)
    strangers = np.stack([between(hub, each, THRESHOLD - 0.05) for each in far[:6]])

    found = {
        each.entry_id: each.threshold
        for each in known_apart(listed, np.concatenate([strangers, far]), THRESHOLD)
    }

    assert found.pop("e0") == pytest.approx(THRESHOLD + HUB_RAISE)
    assert set(found.values()) == {None}
