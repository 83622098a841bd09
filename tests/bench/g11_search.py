"""G11: searching a face among 100,000 references over embedding it, one core each, in the same run.

The references are those of 20,000 subjects, as many as the default limits allow.

Beside it the sweep that the gallery's crossover was chosen by: what the exact tier and the index
take for a street frame's faces at growing lists.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

from cordon_server.gallery.gallery import CROSSOVER
from tests.bench.harness import Bench, Row, run_program

GOAL = 0.05


def measure(bench: Bench) -> list[Row]:
    """The ratio and the sweep."""
    bench.say("reading faces and building lists of up to 100,000 references on one core")
    with _on_one_core():
        result = run_program("search_cost", str(bench.rounds))
    sweep: dict[str, dict[str, Any]] = result["sweep"]
    last = sweep["100000"]
    return [
        Row(
            "g11",
            "G11: search over embedding, 100,000 references",
            median(result["ratios"]),
            goal=GOAL,
            is_ceiling=True,
        ),
        Row("g11_search_us", "search a face, indexed", last["product"], "µs"),
        Row("g11_graph_us", "search a face, by the graph", last["graph"], "µs"),
        Row("g11_exact_us", "search a face, compared with all", last["exact"], "µs"),
        Row("g11_embed_us", "embed a face", last["embed"], "µs"),
        Row("g11_build_s", "build the graph, one core", last["build_s"], "s"),
        Row("g11_index_mb", "the graph in memory", last["index_mb"], "MB"),
        Row("g11_crossover", "crossover", CROSSOVER, "references"),
        Row("g11_sweep_exact_us", "  compared with all, µs a face", _column(sweep, "exact")),
        Row("g11_sweep_product_us", "  indexed, µs a face", _column(sweep, "product")),
        Row("g11_sweep_graph_us", "  by the graph, µs a face", _column(sweep, "graph")),
    ]


def _column(sweep: dict[str, dict[str, Any]], name: str) -> dict[str, float]:
    return {size: times[name] for size, times in sweep.items()}


@contextmanager
def _on_one_core() -> Iterator[None]:
    """What is started inside sees a machine of one core, and sizes its thread pools by it."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
