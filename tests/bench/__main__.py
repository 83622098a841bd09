"""The figures: `python -m tests.bench [--json] [--rounds N] [--only NAME] [--provider P]`.

Prints a table; with --json one JSON object on standard output, talk on standard error. Ends with 1
if a goal is missed, and with 0 and a word where the data is not at hand.
"""

from __future__ import annotations

import argparse
import importlib
import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.bench.harness import Bench, Row, machine, table

FIGURES = ("g3_throughput", "latency")
"""Modules of this folder, in the order of the table."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds (5)")
    parser.add_argument("--only", action="append", choices=FIGURES, help="this figure (repeatable)")
    parser.add_argument("--provider", default="cpu", choices=("auto", "cpu", "cuda"))
    args = parser.parse_args()
    # The server and its folder go, however the bench is ended.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    rows: list[Row] = []
    facts = machine()
    try:
        rows = [
            row
            for name in args.only or FIGURES
            for row in _measure(name, args.rounds, args.provider)
        ]
    except pytest.skip.Exception as absent:
        print(f"skipped: {absent}", file=sys.stderr)
        if args.json:
            print(json.dumps({"skipped": str(absent)}))
        return 0
    print(_as_json(rows, facts) if args.json else f"{_heading(facts)}\n\n{table(rows)}")
    return 0 if all(row.is_met for row in rows) else 1


def _measure(name: str, rounds: int, provider: str) -> list[Row]:
    module = importlib.import_module(f"tests.bench.{name}")
    with tempfile.TemporaryDirectory(prefix="cordon-bench-") as folder:
        bench = Bench(rounds, provider, Path(folder), lambda words: _say(f"{name}: {words}"))
        bench.say("begins")
        rows: list[Row] = module.measure(bench)
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
