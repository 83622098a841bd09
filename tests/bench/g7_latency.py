"""G7: one frame at a time through an idle server, over the sum of its stages.

What is above 1 is the way there and back: protobuf, mutual TLS, the loop, waking a worker.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.bench.harness import Bench, Row, percentile, run_program
from tests.bench.measured import MeasuredServer, measured_server
from tests.bench.rounds import middle, others_row, undisturbed
from tests.bench.street import frame_files, write_frames

GOAL = 1.25
_PAUSE_S = "0.02"
_FRAMES = 30


@dataclass(frozen=True, slots=True)
class Idle:
    """One round, medians of its frames."""

    latency_ms: float
    stages_ms: float


def measure(bench: Bench) -> list[Row]:
    """The ratio and both times."""
    frames = bench.folder / "frames"
    write_frames(frames)
    for file in frame_files(frames)[_FRAMES:]:
        file.unlink()

    def one(server: MeasuredServer) -> Idle:
        before = server.stages()
        sent = run_program("sender", str(server.cameras[0]), str(frames), "--pause", _PAUSE_S)
        stage_s = server.stages().since(before).stage_s[-_FRAMES:]
        return Idle(percentile(sent["latencies_ms"], 0.5), 1000 * percentile(stage_s, 0.5))

    with measured_server(bench) as server:
        rounds = undisturbed(bench, server.pid, lambda: one(server))
    return [
        Row(
            "g7",
            "G7: idle latency, p50, over its stages",
            middle(rounds, lambda r: r.latency_ms / r.stages_ms),
            goal=GOAL,
            is_ceiling=True,
        ),
        Row("g7_latency_ms", "  latency, p50", middle(rounds, lambda r: r.latency_ms), "ms"),
        Row("g7_stages_ms", "  its stages, p50", middle(rounds, lambda r: r.stages_ms), "ms"),
        others_row("g7", rounds),
    ]
