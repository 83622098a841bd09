"""G2: how much of the machine is recognition: frames/s x the stages' core-seconds a frame / cores.

The stages' cost is processor time of the threads that analyse, so that waiting is not counted as
work. What is missing to 1 is gRPC, TLS, the sending process on the same cores, and idling.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from tests.bench.cameras import CameraPlan, Plan, run_plan
from tests.bench.harness import Bench, Row
from tests.bench.measured import MeasuredServer, measured_server
from tests.bench.rounds import middle, others_row, undisturbed
from tests.bench.street import write_frames

GOAL = 0.85
_SECONDS = 6.0


@dataclass(frozen=True, slots=True)
class Efficiency:
    """One round."""

    frames_per_s: float
    core_ms: float
    """Of the stages, a frame."""
    client_share: float
    """Of the machine, taken by the sending process."""
    stages_ms: dict[str, float]

    @property
    def share(self) -> float:
        return self.frames_per_s * self.core_ms / 1000 / _cores()


def measure(bench: Bench) -> list[Row]:
    """The share, and the stages by themselves."""
    frames = bench.folder / "frames"
    write_frames(frames)

    def one(server: MeasuredServer) -> Efficiency:
        before = server.stages()
        camera = CameraPlan(str(server.cameras[0]), stills=True)
        sent = run_plan(Plan(str(frames), (camera,), _SECONDS))
        taken = server.stages().since(before)
        count = len(taken.cpu_s)
        return Efficiency(
            sent.frames_per_s,
            1000 * sum(taken.cpu_s) / count,
            sent.client_cpu_s / sent.seconds / _cores(),
            {name: round(1000 * value / count, 2) for name, value in taken.stages.items()},
        )

    with measured_server(bench) as server:
        rounds = undisturbed(bench, server.pid, lambda: one(server))
    return [
        Row(
            "g2",
            "G2: share of the machine that is recognition",
            middle(rounds, lambda r: r.share),
            goal=GOAL,
        ),
        Row("g2_frames_per_s", "  frames/s", middle(rounds, lambda r: r.frames_per_s)),
        Row(
            "g2_core_ms",
            "  stages, core-milliseconds a frame",
            middle(rounds, lambda r: r.core_ms),
            "ms",
        ),
        Row("g2_stages_ms", "  each stage by the clock, ms a frame", rounds[0].result.stages_ms),
        Row(
            "g2_client_share",
            "  share of the sending process",
            middle(rounds, lambda r: r.client_share),
        ),
        others_row("g2", rounds),
    ]


def _cores() -> int:
    return len(os.sched_getaffinity(0))
