"""G3T: tracked frames/s through the whole server over OpenCV's loop, which embeds every face.

Three cameras stream the same street clip side by side, dated as video, as fast as credit allows:
frames of one camera are worked on one after the other. Two walkers are listed by a frame of the
clip's first second each; both sides must find the same of them in its last two, which are streamed
alone for that. The peer is that of G3.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.bench.cameras import CameraPlan, Plan, run_plan
from tests.bench.harness import Bench, Row, run_program
from tests.bench.measured import MeasuredServer, measured_server
from tests.bench.rounds import middle, others_row, undisturbed
from tests.bench.street import write_frames
from tests.helpers.site import Site

GOAL = 8.0
CAMERAS = 3
CLIP_FPS = 25.0
_SECONDS = 6.0
_WARM_S = 2.0
_LOOK_SECONDS = 4.0
_LAST = 50
"""Frames of the clip's last two seconds."""


@dataclass(frozen=True, slots=True)
class Walker:
    """Someone in the clip, labelled by eye."""

    name: str
    frame: int
    x: int
    y: int
    """A point in the face in that frame."""


WALKERS = (Walker("boy-in-hoodie", 12, 981, 700), Walker("tall-red-haired", 20, 719, 640))


@dataclass(frozen=True, slots=True)
class Tracked:
    """One round."""

    frames_per_s: float
    embedded_per_frame: float
    client_cores: float
    peer_frames_per_s: float

    @property
    def ratio(self) -> float:
        return self.frames_per_s / self.peer_frames_per_s


def measure(bench: Bench) -> list[Row]:
    """The ratio, and whom both found."""
    clip, last, models = (bench.folder / name for name in ("clip", "last", "peer-models"))
    files = write_frames(clip)
    last.mkdir()
    for file in files[-_LAST:]:
        shutil.copy(file, last)
    models.mkdir()
    bench.say("tuning the peer")
    best = run_program("opencv_loop", str(clip), str(models), "--tune")
    setting = [part for name, value in best.items() for part in (f"--{name}", str(value))]
    listed = bench.folder / "walkers.json"
    listed.write_text(json.dumps([(str(files[w.frame]), w.name, w.x, w.y) for w in WALKERS]))

    def plan(server: MeasuredServer, frames: Path, seconds: float) -> Plan:
        cameras = tuple(CameraPlan(str(camera)) for camera in server.cameras)
        return Plan(str(frames), cameras, seconds, warm_s=_WARM_S, clip_fps=CLIP_FPS)

    def one(server: MeasuredServer) -> Tracked:
        peer = run_program("opencv_loop", str(clip), str(models), *setting)
        sent = run_plan(plan(server, clip, _SECONDS))
        return Tracked(
            sent.frames_per_s,
            sent.total("faces", "embedded") / sent.total("fates", "processed"),
            sent.client_cpu_s / sent.seconds,
            peer["frames"] / peer["elapsed_s"],
        )

    def enrol(site: Site, deployment: str) -> None:
        rows = ["external_ref,image,category,face_x,face_y"]
        rows += [f"{w.name},{files[w.frame]},wanted,{w.x},{w.y}" for w in WALKERS]
        listing = bench.folder / "walkers.csv"
        listing.write_text("\n".join(rows))
        site.cordon("admin", "watchlist", "import", deployment, str(listing))

    with measured_server(bench, CAMERAS, tracking=True, enrol=enrol) as server:
        run_plan(plan(server, last, _LOOK_SECONDS))
        found = server.found()
        look = ("--listed", str(listed), *setting)
        peer_found = set(run_program("opencv_loop", str(last), str(models), *look)["found"])
        rounds = undisturbed(bench, server.pid, lambda: one(server))
    return [
        Row(
            "g3t",
            "G3T: tracked frames/s over OpenCV's loop",
            middle(rounds, lambda r: r.ratio),
            goal=GOAL,
        ),
        Row(
            "g3t_found_share",
            "  of the walkers that the loop found",
            len(found & peer_found) / max(1, len(peer_found)),
            goal=1.0,
        ),
        Row("g3t_found", "  found", " ".join(sorted(found))),
        Row("g3t_peer_found", "  found by the loop", " ".join(sorted(peer_found))),
        Row("g3t_frames_per_s", "  frames/s", middle(rounds, lambda r: r.frames_per_s)),
        Row(
            "g3t_embedded",
            "  faces embedded a frame",
            middle(rounds, lambda r: r.embedded_per_frame),
        ),
        Row(
            "g3t_client_cores",
            "  cores taken by the cameras",
            middle(rounds, lambda r: r.client_cores),
        ),
        Row(
            "g3t_peer_frames_per_s",
            "  the loop's frames/s",
            middle(rounds, lambda r: r.peer_frames_per_s),
        ),
        Row("g3t_peer_settings", "  its best setting", best),
        others_row("g3t", rounds),
    ]
