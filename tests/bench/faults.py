"""What a camera that misbehaves costs the others: their 99th percentile of a result's age, over
what it is beside a camera that takes its full turn and no more, in alternating stretches.

Four cameras at a pace that leaves half of the server free, and a fifth in a process of its own: see
`bad_camera`. What is free any camera may take, so one that does and keeps the protocol is the
measure; beside it is shown what the others have when nobody does.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from operator import methodcaller

from tests.bench.bad_camera import KINDS
from tests.bench.cameras import CameraPlan, Plan, run_plan
from tests.bench.harness import PROGRAM_S_MAX, Bench, Row, percentile
from tests.bench.measured import MeasuredServer, measured_server
from tests.bench.rounds import middle, others_row, undisturbed
from tests.bench.street import write_frames

GOAL = 1.2
GOOD = 4
LOAD = 0.5
"""What all five ask for, as a share of what the server can do, while all behave."""
_CAPACITY_SECONDS = 4.0
_SECONDS = 12.0
_EARLY_S = 2.0
"""The fifth camera begins before the others are counted, and ends after."""


@dataclass(frozen=True, slots=True)
class Ages:
    """One round: by kind of the fifth camera, the 99th percentile of the others, ms, and the frames
    it sent a second."""

    p99_ms: dict[str, float]
    sent_per_s: dict[str, float]

    def over_greedy(self, kind: str) -> float:
        return self.p99_ms[kind] / self.p99_ms["greedy"]


def measure(bench: Bench) -> list[Row]:
    """The ratio for each fault, and for the worst of them."""
    frames = bench.folder / "frames"
    write_frames(frames)
    with measured_server(bench, GOOD + 1, tracking=True) as server:
        closed = tuple(CameraPlan(str(camera)) for camera in server.cameras)
        fps = LOAD * run_plan(Plan(str(frames), closed, _CAPACITY_SECONDS)).frames_per_s
        rounds = undisturbed(bench, server.pid, lambda: _one(server, str(frames), fps / (GOOD + 1)))
    kinds = [kind for kind in KINDS if kind not in ("good", "greedy")]
    ratios = {kind: middle(rounds, methodcaller("over_greedy", kind)) for kind in kinds}
    return [
        Row(
            "faults",
            "FAULTS: p99 age beside a bad camera, over a greedy one's",
            max(ratios.values()),
            goal=GOAL,
            is_ceiling=True,
        ),
        *(Row(f"faults_{kind}", f"  {kind}", ratio) for kind, ratio in ratios.items()),
        Row("faults_good", "  nobody greedy", middle(rounds, methodcaller("over_greedy", "good"))),
        Row("faults_p99_ms", "  p99, greedy", middle(rounds, lambda r: r.p99_ms["greedy"]), "ms"),
        Row("faults_fps", "  frames/s of each camera", fps / (GOOD + 1)),
        Row(
            "faults_flood_fps",
            "  frames/s of the one that floods",
            middle(rounds, lambda r: r.sent_per_s["flood"]),
        ),
        others_row("faults", rounds),
    ]


def _one(server: MeasuredServer, frames: str, fps: float) -> Ages:
    p99_ms, sent_per_s = {}, {}
    for kind in KINDS:
        p99_ms[kind], sent_per_s[kind] = _beside(server, frames, fps, kind)
    return Ages(p99_ms, sent_per_s)


def _beside(server: MeasuredServer, frames: str, fps: float, kind: str) -> tuple[float, float]:
    """The good cameras' p99 beside one of that kind, and what it sent a second."""
    good = tuple(CameraPlan(str(camera), fps=fps) for camera in server.cameras[:GOOD])
    seconds = _SECONDS + 2 * _EARLY_S
    plan = (str(server.cameras[GOOD]), frames, kind, str(fps), str(seconds))
    bad = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.bad_camera", *plan], stdout=subprocess.PIPE, text=True
    )
    try:
        ages_ms = run_plan(Plan(frames, good, _SECONDS, warm_s=_EARLY_S)).ages_ms
        told, _ = bad.communicate(timeout=PROGRAM_S_MAX)
    finally:
        bad.kill()
    if bad.returncode:
        raise RuntimeError(f"the camera of kind {kind} exited {bad.returncode}; see above")
    return percentile(ages_ms, 0.99), int(told) / seconds
