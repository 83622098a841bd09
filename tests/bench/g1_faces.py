"""G1: faces a second through mutual TLS over those of the embedder alone, on the same cores.

The frames are 1080p mosaics of 24 faces, sent as stills, so that every face is embedded. The peer
is the same prepared embedder in ONNX Runtime without anything around it, at its best setting.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.bench.cameras import CameraPlan, Plan, run_plan
from tests.bench.harness import Bench, Row, run_program
from tests.bench.measured import MeasuredServer, measured_server
from tests.bench.mosaic import write_mosaics
from tests.bench.rounds import middle, others_row, undisturbed

GOAL = 0.85
_FRAMES = 20
_SECONDS = 6.0
_BARE_SECONDS = "3"


@dataclass(frozen=True, slots=True)
class Both:
    """One round."""

    faces_per_s: float
    frames_per_s: float
    bare_faces_per_s: float

    @property
    def ratio(self) -> float:
        return self.faces_per_s / self.bare_faces_per_s


def measure(bench: Bench) -> list[Row]:
    """The ratio and what it is made of."""
    frames = bench.folder / "mosaics"
    write_mosaics(frames, width=1920, height=1080, columns=6, rows=4, frames=_FRAMES)
    models = bench.folder / "bare-models"
    bench.say("looking for the embedder's best setting")
    best = run_program("bare_embedder", str(models), "0.1")["setting"]
    setting = [part for name, value in best.items() for part in (f"--{name}", str(value))]

    def one(server: MeasuredServer) -> Both:
        bare = run_program("bare_embedder", str(models), _BARE_SECONDS, *setting)
        camera = CameraPlan(str(server.cameras[0]), stills=True)
        sent = run_plan(Plan(str(frames), (camera,), _SECONDS, warm_s=1.5))
        return Both(sent.faces_per_s, sent.frames_per_s, bare["faces_per_s"])

    with measured_server(bench) as server:
        rounds = undisturbed(bench, server.pid, lambda: one(server))
    faces = middle(rounds, lambda r: r.faces_per_s)
    return [
        Row(
            "g1",
            "G1: faces/s over the embedder's alone",
            middle(rounds, lambda r: r.ratio),
            goal=GOAL,
        ),
        Row("g1_faces_per_s", "  faces/s through mutual TLS", faces),
        Row(
            "g1_bare_faces_per_s",
            "  faces/s, embedder alone",
            middle(rounds, lambda r: r.bare_faces_per_s),
        ),
        Row("g1_bare_setting", "  its best setting", best),
        Row(
            "g1_faces_per_frame",
            "  faces a frame",
            faces / middle(rounds, lambda r: r.frames_per_s),
        ),
        others_row("g1", rounds),
    ]
