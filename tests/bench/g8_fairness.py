"""G8: sixteen cameras at three times what the server can do, one of them offering ten times its
share: how many frames does the least served get for one of the most served?

The frames are small, of two faces, so that a round counts enough of each camera.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.bench.cameras import CameraPlan, Plan, run_plan
from tests.bench.harness import Bench, Row
from tests.bench.measured import MeasuredServer, measured_server
from tests.bench.mosaic import write_mosaics
from tests.bench.rounds import middle, others_row, undisturbed

GOAL = 0.9
CAMERAS = 16
OVERLOAD = 3.0
_GREEDY = 10.0
_FRAMES = 40
_CAPACITY_SECONDS = 3.0
_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class Shares:
    """One round."""

    capacity: float
    served: list[int]
    """Frames of each camera; the first is the greedy one."""

    @property
    def fairness(self) -> float:
        return min(self.served) / max(self.served)


def measure(bench: Bench) -> list[Row]:
    """The ratio, and what the greedy one got."""
    frames = bench.folder / "mosaics"
    write_mosaics(frames, width=640, height=360, columns=2, rows=1, frames=_FRAMES)

    def one(server: MeasuredServer) -> Shares:
        closed = tuple(CameraPlan(str(camera)) for camera in server.cameras)
        capacity = run_plan(Plan(str(frames), closed, _CAPACITY_SECONDS)).frames_per_s
        fps = OVERLOAD * capacity / CAMERAS
        cameras = tuple(
            CameraPlan(str(camera), fps=fps * (1.0 if number else _GREEDY))
            for number, camera in enumerate(server.cameras)
        )
        sent = run_plan(Plan(str(frames), cameras, _SECONDS))
        return Shares(capacity, [each["fates"].get("processed", 0) for each in sent.cameras])

    with measured_server(bench, CAMERAS) as server:
        rounds = undisturbed(bench, server.pid, lambda: one(server))
    return [
        Row(
            "g8",
            "G8: least over most served of 16 cameras at 3x",
            middle(rounds, lambda r: r.fairness),
            goal=GOAL,
        ),
        Row(
            "g8_greedy",
            "  the one offering 10x, over the others' mean",
            middle(rounds, lambda r: r.served[0] / (sum(r.served[1:]) / (CAMERAS - 1))),
        ),
        Row(
            "g8_served_min", "  frames of the least served", middle(rounds, lambda r: min(r.served))
        ),
        Row("g8_capacity", "  capacity, frames/s", middle(rounds, lambda r: r.capacity)),
        others_row("g8", rounds),
    ]
