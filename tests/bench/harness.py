"""What all figures share: rows, the machine they were measured on, programs that print one object.

A figure is a module of this folder with `measure(bench) -> list[Row]`, named in `MODULES` of
`__main__`. What it needs from a machine it builds itself; what it measures runs in processes of its
own, so that nothing shares an interpreter lock with what it is compared to.
"""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAM_S_MAX = 300.0
_SHOWN_MAX = 8
"""Parts of a value that a table shows; longer ones are for the plots."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measured value."""

    key: str
    """In the JSON object."""
    label: str
    """In the table."""
    value: Any
    unit: str = ""
    goal: float | None = None
    """At least this much."""
    is_ceiling: bool = False
    """The goal is at most this much instead."""

    @property
    def is_met(self) -> bool:
        if self.goal is None or self.value is None:
            return self.goal is None
        return bool(self.value <= self.goal if self.is_ceiling else self.value >= self.goal)


@dataclass(frozen=True, slots=True)
class Bench:
    """How to measure."""

    rounds: int
    provider: str
    folder: Path
    """Empty, removed afterwards."""
    say: Callable[[str], None]
    """Talk about progress."""
    is_short: bool = False
    """What takes minutes by default takes one."""


def machine() -> dict[str, Any]:
    """What the figures are measured on, and how busy it was already."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
    }


def run_program(module: str, *arguments: str) -> dict[str, Any]:
    """Runs a module of this folder as a process of its own; its last line is one JSON object."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.bench.{module}", *arguments],
        capture_output=True,
        text=True,
        timeout=PROGRAM_S_MAX,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{module} exited {done.returncode}:\n{done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table that is readable as it is."""
    cells = [("figure", "value", "goal")]
    cells += [(row.label, _value(row), _goal(row)) for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(3)]
    lines = [f"| {' | '.join(c.ljust(w) for c, w in zip(r, widths, strict=True))} |" for r in cells]
    lines.insert(1, f"|{'|'.join('-' * (width + 2) for width in widths)}|")
    return "\n".join(lines)


def _value(row: Row) -> str:
    match row.value:
        case float():
            shown = f"{row.value:.4g}" if abs(row.value) < 1 else f"{row.value:.2f}"
        case list():
            shown = ", ".join(f"{each:.2f}" for each in row.value)
        case dict() if len(row.value) > _SHOWN_MAX:
            first, *_, last = row.value.items()
            shown = f"{first[0]} {first[1]} … {last[0]} {last[1]}"
        case dict():
            shown = ", ".join(f"{name} {each}" for name, each in row.value.items())
        case _:
            shown = str(row.value)
    return f"{shown} {row.unit}".strip()


def _goal(row: Row) -> str:
    if row.goal is None:
        return ""
    bound = "≤" if row.is_ceiling else "≥"
    return f"{bound} {row.goal:g} {'met' if row.is_met else 'MISSED'}"


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
