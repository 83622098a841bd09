"""Synthetic people and galleries of every tier, for the gallery's tests."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from cordon_server.domain import Template
from cordon_server.gallery import Gallery, Reference

MODEL, DIMENSION, THRESHOLD = "m-1", 32, 0.5
NEVER, SOON = 10**9, 16
"""Crossovers: the exact tier always, the index almost always."""
TIERS = {"exact": (NEVER, NEVER), "product": (SOON, NEVER), "graph": (SOON, 0)}
"""(crossover, graph_from)"""

Vectors = NDArray[np.float32]


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
