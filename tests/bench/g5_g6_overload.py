"""G5 and G6: cameras offer three times what the server can do. Does it do less, and how old is what
it does?

Capacity is found by the same cameras in a closed loop. Tracking is off, so that every frame costs
what the others cost. The sweep offers from half of the capacity to four times it.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.bench.cameras import CameraPlan, Plan, Streamed, run_plan
from tests.bench.harness import Bench, Row, percentile
from tests.bench.measured import MeasuredServer, measured_server
from tests.bench.rounds import middle, others_row, undisturbed
from tests.bench.street import write_frames

CAMERAS = 6
OVERLOAD = 3.0
SWEEP = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
_SECONDS = 5.0
_SWEEP_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class Overload:
    """One round."""

    capacity: float
    """Frames a second."""
    frames_per_s: float
    """At the overload."""
    age_p95_ms: float
    capacity_client_s: float
    client_s: float
    """Processor seconds a second of the cameras' process, at capacity and at the overload."""

    @property
    def age_bound_ms(self) -> float:
        """One service time for each camera and one frame interval."""
        interval_s = CAMERAS / (OVERLOAD * self.capacity)
        return 1000 * (CAMERAS / self.capacity + interval_s)


def measure(bench: Bench) -> list[Row]:
    """Both figures and the sweep."""
    frames = bench.folder / "frames"
    write_frames(frames)

    def one(server: MeasuredServer) -> Overload:
        at_capacity = _offer(server, str(frames), 0.0, _SECONDS)
        capacity = at_capacity.frames_per_s
        over = _offer(server, str(frames), OVERLOAD * capacity, _SECONDS)
        return Overload(
            capacity,
            over.frames_per_s,
            percentile(over.ages_ms, 0.95),
            at_capacity.client_cpu_s / _SECONDS,
            over.client_cpu_s / _SECONDS,
        )

    with measured_server(bench, CAMERAS) as server:
        rounds = undisturbed(bench, server.pid, lambda: one(server))
        capacity = middle(rounds, lambda r: r.capacity)
        sweep = {}
        for load in SWEEP:
            bench.say(f"offering {load} of the capacity")
            sweep[load] = _offer(server, str(frames), load * capacity, _SWEEP_SECONDS)
    return [
        Row(
            "g5",
            "G5: frames/s at 3x offered load over capacity",
            middle(rounds, lambda r: r.frames_per_s / r.capacity),
            goal=0.95,
        ),
        Row("g5_capacity", "  capacity, frames/s", capacity),
        Row("g5_frames_per_s", "  frames/s at 3x", middle(rounds, lambda r: r.frames_per_s)),
        Row(
            "g5_client_cores",
            "  cores taken by the cameras, at 3x",
            middle(rounds, lambda r: r.client_s),
        ),
        Row(
            "g5_client_cores_capacity",
            "  cores taken by the cameras, at capacity",
            middle(rounds, lambda r: r.capacity_client_s),
        ),
        Row(
            "g5_sweep_frames_per_s",
            "  frames/s by offered load",
            {load: round(each.frames_per_s, 1) for load, each in sweep.items()},
        ),
        Row(
            "g6",
            "G6: p95 age at 3x over (service time x cameras + interval)",
            middle(rounds, lambda r: r.age_p95_ms / r.age_bound_ms),
            goal=2.0,
            is_ceiling=True,
        ),
        Row("g6_age_p95_ms", "  p95 age at 3x", middle(rounds, lambda r: r.age_p95_ms), "ms"),
        Row(
            "g6_bound_ms",
            "  service time x cameras + interval",
            middle(rounds, lambda r: r.age_bound_ms),
            "ms",
        ),
        Row(
            "g6_sweep_age_p95_ms",
            "  p95 age by offered load, ms",
            {load: round(percentile(each.ages_ms, 0.95)) for load, each in sweep.items()},
        ),
        others_row("g5", rounds),
    ]


def _offer(server: MeasuredServer, frames: str, fps: float, seconds: float) -> Streamed:
    """All cameras together offer `fps`; 0 is a closed loop."""
    each = tuple(CameraPlan(str(camera), fps=fps / CAMERAS) for camera in server.cameras)
    return run_plan(Plan(frames, each, seconds))
