"""One core's time for searching a face and for embedding one: prints one JSON object.

A program of its own, to be run on one core. Times are of the processor, so that what else runs on
the machine counts for less.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from cordon_server.gallery.exact import ExactTier
from cordon_server.gallery.groups import ProductProposer, build_groups
from cordon_server.gallery.hnsw import build_graph
from cordon_server.gallery.rows import RowStore
from cordon_server.recognition.embed import Embedder
from cordon_server.recognition.models.prepare import CROP_SIZE
from tests.bench.accuracy import shipped_models
from tests.bench.crowd import Crowd, real_faces, references

SIZES = (2_000, 5_000, 10_000, 20_000, 50_000, 100_000)
"""References; the last is the one that counts."""
FACES = 6
"""Probes in a batch: the faces of a street frame."""
_REFERENCES_EACH = 5
"""20,000 subjects at the last size: as many as the default limits allow."""
_ONE_IN = 6
_CALLS = 5


def main() -> None:
    rounds = int(sys.argv[1])
    models = shipped_models()
    crowd = Crowd(*real_faces(_ONE_IN), seed=11)
    centres = crowd.people(SIZES[-1] // _REFERENCES_EACH)
    rows = np.tile(np.arange(len(centres)), _REFERENCES_EACH)[crowd.shuffled(SIZES[-1])]
    listed = list(
        references([f"s{row}" for row in rows], crowd.pictures(centres[rows]), models.pack.model_id)
    )
    embedder = Embedder(models)
    crops = list(np.random.default_rng(1).integers(0, 255, (FACES, CROP_SIZE, CROP_SIZE, 3), "u1"))
    exact, store = ExactTier(), RowStore(models.pack.model_id, centres.shape[1])
    sweep: dict[str, dict[str, float]] = {}
    all_ratios: list[float] = []
    for size in SIZES:
        store.append(listed[len(store.now) : size])
        now = store.now
        product = build_groups(now, exact, lambda means, _: ProductProposer(means), lambda: True)
        start = time.process_time()
        graph = build_groups(now, exact, build_graph, lambda: True)
        build_s = time.process_time() - start
        assert product is not None
        assert graph is not None
        tiers = {"exact": exact.search, "product": product.search, "graph": graph.search}
        times: dict[str, list[float]] = {name: [] for name in (*tiers, "embed")}
        for _ in range(rounds):
            # New people each time: what was just searched for is in the cache.
            probes = crowd.pictures(centres[rows[crowd.shuffled(size)[:FACES]]])
            for name, search in tiers.items():
                times[name].append(_us_a_face(search, now, probes))
            times["embed"].append(_us_a_face(embedder.embed, crops))
        all_ratios = [s / e for s, e in zip(times["product"], times["embed"], strict=True)]
        sweep[str(size)] = {name: round(median(each), 1) for name, each in times.items()}
        sweep[str(size)] |= {
            "build_s": round(build_s, 2),
            "index_mb": round(graph.memory_bytes / 1e6, 1),
        }
    result: dict[str, Any] = {"ratios": all_ratios, "sweep": sweep}
    print(json.dumps(result))


def _us_a_face(call: Callable[..., object], *arguments: object) -> float:
    call(*arguments)
    start = time.process_time()
    for _ in range(_CALLS):
        call(*arguments)
    return (time.process_time() - start) / (_CALLS * FACES) * 1e6


if __name__ == "__main__":
    main()
