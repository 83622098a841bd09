"""The figures: `python -m tests.bench [--json] [--only g1,g5] [--rounds N] [--short]`, and those of
a GPU: `python -m tests.bench --provider cuda`.

Prints a table; with --json one JSON object on standard output, talk on standard error. Draws a
plot of each sweep that was measured. Ends with 1 if a goal is missed, and with 0 and a word where
the data is not at hand.
"""

from __future__ import annotations

import argparse
import importlib
import json
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from tests.bench.harness import Bench, Row, machine, table
from tests.bench.plots import draw_all

MODULES = {
    "g1_faces": ("g1",),
    "g2_efficiency": ("g2",),
    "g3_throughput": ("g3",),
    "g3t_tracked": ("g3t",),
    "g4_tls": ("g4",),
    "g5_g6_overload": ("g5", "g6"),
    "g7_latency": ("g7",),
    "g8_fairness": ("g8",),
    "g10_engines": ("g10",),
    "g11_search": ("g11",),
    "g12_hnsw": ("g12",),
    "g14_camera_cpu": ("g14",),
    "g16_soak": ("g16",),
    "faults": ("faults",),
    "identity": ("identity",),
    "sealing": ("sealing",),
    "latency": ("latency",),
    "thresholds": ("thresholds",),
}
"""Modules of this folder, in the order of the table, and the figures that each measures."""
GPU_MODULES = {"gpu": ("gpu",)}
"""The same for `--provider cuda`. Where there is no GPU they say so, and no figure."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds (%(default)s)")
    known = ", ".join(sum((MODULES | GPU_MODULES).values(), ()))
    parser.add_argument("--only", metavar="NAMES", type=_modules, help=f"some alone, of {known}")
    parser.add_argument("--short", action="store_true", help="a soak of one minute, not five")
    parser.add_argument(
        "--provider",
        default="cpu",
        choices=("auto", "cpu", "cuda"),
        help="what recognises (%(default)s)",
    )
    args = parser.parse_args()
    # The server and its folder go, however the bench is ended.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    rows: list[Row] = []
    facts = machine()
    try:
        names = args.only or (GPU_MODULES if args.provider == "cuda" else MODULES)
        rows = [row for name in names for row in _measure(name, args)]
    except pytest.skip.Exception as absent:
        print(f"skipped: {absent}", file=sys.stderr)
        if args.json:
            print(json.dumps({"skipped": str(absent)}))
        return 0
    for plot in draw_all(rows):
        _say(f"drew {plot}")
    print(_as_json(rows, facts) if args.json else f"{_heading(facts)}\n\n{table(rows)}")
    return 0 if all(row.is_met for row in rows) else 1


def _modules(names: str) -> list[str]:
    """The modules that measure the figures named, separated by commas."""
    modules = MODULES | GPU_MODULES
    known = {name: module for module, figures in modules.items() for name in (module, *figures)}
    if unknown := [name for name in names.split(",") if name not in known]:
        raise argparse.ArgumentTypeError(
            f"no figure {', '.join(unknown)}; there are {', '.join(sum(modules.values(), ()))}"
        )
    return list(dict.fromkeys(known[name] for name in names.split(",")))


def _measure(name: str, args: argparse.Namespace) -> list[Row]:
    module = importlib.import_module(f"tests.bench.{name}")
    with tempfile.TemporaryDirectory(prefix="cordon-bench-") as folder:
        bench = Bench(
            args.rounds,
            args.provider,
            Path(folder),
            lambda words: _say(f"{name}: {words}"),
            args.short,
        )
        began_s = time.monotonic()
        bench.say("begins")
        rows: list[Row] = module.measure(bench)
        bench.say(f"took {time.monotonic() - began_s:.0f} s")
    return rows


def _as_json(rows: list[Row], facts: dict[str, Any]) -> str:
    values = {
        row.key: round(row.value, 3) if isinstance(row.value, float) else row.value for row in rows
    }
    return json.dumps(values | facts)


def _heading(facts: dict[str, Any]) -> str:
    return f"{facts['cpu']}, {facts['cores']} cores, load before {facts['load_before']}"


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
