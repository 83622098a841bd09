"""G12: does the index decide as an exact search does, at 200,000 references?

As many as the default limits allow: 20,000 subjects with ten pictures each, among them the people
of LFW with the pictures they have. Probes are real (another picture of a listed person; people who
are not listed) and synthetic (the same two). A decision is who, if anybody, reaches the threshold
that the model pack recommends. The graph is made to propose, though at this number of subjects a
product does by default: both are measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cordon_server.domain import Candidate
from cordon_server.gallery import Gallery
from cordon_server.gallery.gallery import CROSSOVER
from cordon_server.recognition.decide import DecisionRule
from tests.bench.accuracy import shipped_models
from tests.bench.crowd import Crowd, Vectors, real_faces, references
from tests.bench.harness import Bench, Row

GOAL = 0.999
REFERENCES = 200_000
_REFERENCES_EACH = 10
_PROBES_EACH = 4_000
_BATCH = 64
_BUILD_S_MAX = 400.0
_NEVER = 10**9


@dataclass(frozen=True, slots=True)
class List:
    """Who is listed by which vectors, and who comes by."""

    names: list[str]
    vectors: Vectors
    probes: dict[str, Vectors]
    """By kind."""


def measure(bench: Bench) -> list[Row]:
    """The share of equal decisions, in all and by kind of probe."""
    pack = shipped_models().pack
    bench.say("reading faces")
    listed = _draw()
    exact, graph, product = (
        Gallery(
            model_id=pack.model_id,
            dimension=listed.vectors.shape[1],
            threshold=pack.score_threshold,
            crossover=crossover,
            graph_from=graph_from,
        )
        for crossover, graph_from in ((_NEVER, 0), (CROSSOVER, 0), (CROSSOVER, _NEVER))
    )
    exact.add(references(listed.names, listed.vectors, pack.model_id))
    build_s = {}
    for name, gallery in (("graph", graph), ("product", product)):
        bench.say(f"indexing {len(exact)} references: {name}")
        start = time.monotonic()
        gallery.add(references(listed.names, listed.vectors, pack.model_id))
        assert gallery.wait_for_index(_BUILD_S_MAX)
        build_s[name] = time.monotonic() - start
    assert graph._index is not None
    by_kind, pairs, product_pairs = {}, [], []
    for kind, probes in listed.probes.items():
        bench.say(f"{len(probes)} probes: {kind}")
        wanted = _search(exact, probes)
        some = list(zip(wanted, _search(graph, probes), strict=True))
        by_kind[kind] = _share(some, _who)
        pairs += some
        product_pairs += list(zip(wanted, _search(product, probes), strict=True))
    return [
        Row("g12", "G12: HNSW's decisions as an exact search's", _share(pairs, _who), goal=GOAL),
        Row("g12_by_kind", "  by kind of probe", by_kind),
        Row("g12_with_margin", "  with the margin's decision", _share(pairs, _who_by_rule)),
        Row("g12_candidate", "  the best candidate, at any score", _share(pairs, _best)),
        Row("g12_product", "  the same by the default's product", _share(product_pairs, _who)),
        Row("g12_probes", "  probes", len(pairs)),
        Row("g12_above", "  at or above the threshold", _above(pairs)),
        Row("g12_references", "  references", len(exact)),
        Row("g12_build_s", "  read and build the graph", build_s["graph"], "s"),
        Row("g12_product_build_s", "  read and build the default", build_s["product"], "s"),
        Row("g12_index_mb", "  the graph in memory", graph._index.memory_bytes / 1e6, "MB"),
    ]


def _draw() -> List:
    known, others = real_faces()
    crowd = Crowd(known, others, seed=12)
    names, rows, mated = [], [], []
    for name, vectors in known.by_person().items():
        enrolled = vectors[: max(1, len(vectors) - 1)][:_REFERENCES_EACH]
        names += [name] * len(enrolled)
        rows.append(enrolled)
        mated.append(vectors[len(enrolled) :][:5])
    centres = crowd.people((REFERENCES - len(names)) // _REFERENCES_EACH)
    for _ in range(_REFERENCES_EACH):
        names += [f"synthetic-{n}" for n in range(len(centres))]
        rows.append(crowd.pictures(centres))
    order = crowd.shuffled(len(names))
    probes = {
        "real, listed": np.concatenate(mated),
        "real, strangers": others.vectors,
        "synthetic, listed": crowd.pictures(centres[:_PROBES_EACH]),
        "synthetic, strangers": crowd.people(_PROBES_EACH),
    }
    return List([names[i] for i in order], np.concatenate(rows)[order], probes)


def _search(gallery: Gallery, probes: Vectors) -> list[Candidate]:
    found = [
        candidate
        for start in range(0, len(probes), _BATCH)
        for candidate in gallery.search(probes[start : start + _BATCH])
    ]
    assert all(found)
    return [candidate for candidate in found if candidate is not None]


def _who(candidate: Candidate) -> str | None:
    return candidate.entry_id if candidate.score >= candidate.threshold else None


def _who_by_rule(candidate: Candidate) -> str | None:
    return _who(candidate) if candidate.margin >= DecisionRule().margin_min else None


def _best(candidate: Candidate) -> str:
    return candidate.entry_id


Pairs = list[tuple[Candidate, Candidate]]


def _share(pairs: Pairs, decision: Callable[[Candidate], str | None]) -> float:
    return round(sum(decision(a) == decision(b) for a, b in pairs) / len(pairs), 5)


def _above(pairs: Pairs) -> int:
    return sum(exact.score >= exact.threshold for exact, _ in pairs)
