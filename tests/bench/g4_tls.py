"""G4: frames a second with TLS over without it, from one server process with a port for each.

The port without TLS is the bench's own; the product has none.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.bench.cameras import CameraPlan, Plan, run_plan
from tests.bench.harness import Bench, Row
from tests.bench.measured import MeasuredServer, measured_server
from tests.bench.rounds import middle, others_row, undisturbed
from tests.bench.street import write_frames

GOAL = 0.97
_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class OnAndOff:
    """One round, frames a second."""

    tls: float
    plain: float


def measure(bench: Bench) -> list[Row]:
    """The ratio and both rates."""
    frames = bench.folder / "frames"
    write_frames(frames)

    def rate(server: MeasuredServer, address: str) -> float:
        camera = CameraPlan(str(server.cameras[0]), stills=True, plain_address=address)
        return run_plan(Plan(str(frames), (camera,), _SECONDS)).frames_per_s

    with measured_server(bench, plain=True) as server:
        address = server.plain_address
        rounds = undisturbed(
            bench, server.pid, lambda: OnAndOff(rate(server, ""), rate(server, address))
        )
    return [
        Row(
            "g4",
            "G4: frames/s, TLS on over off",
            middle(rounds, lambda r: r.tls / r.plain),
            goal=GOAL,
        ),
        Row("g4_tls_frames_per_s", "  frames/s with TLS", middle(rounds, lambda r: r.tls)),
        Row("g4_plain_frames_per_s", "  frames/s without", middle(rounds, lambda r: r.plain)),
        others_row("g4", rounds),
    ]
