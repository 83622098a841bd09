"""G3: frames a second through the whole server, over OpenCV's own loop, in the same run.

The server runs as an operator runs it, the camera is a process that sends JPEGs over mutual TLS by
credit, every face that is large enough to be compared is embedded and searched. The peer is
`opencv_loop`: no network, no server, at its best setting. Rounds alternate, so that a machine that
slows down slows both; the figure is the median of the rounds' ratios. A round that others disturb
is done again, within reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.contention import SHARE_MAX, Watch
from tests.bench.harness import Bench, Row, run_program
from tests.bench.server import ServerUnderTest, server_under_test
from tests.bench.street import write_frames

GOAL = 2.0

_TRIES = 2
"""Times the rounds asked for, at most, when others disturb."""


@dataclass(frozen=True, slots=True)
class Round:
    """What both did with the same frames, and how much of the machine others took meanwhile."""

    ours: dict[str, Any]
    peer: dict[str, Any]
    others: float

    def ratio(self, what: str = "frames") -> float:
        return _rate(self.ours, what) / _rate(self.peer, what)

    def __str__(self) -> str:
        return (
            f"{_rate(self.ours):.1f} frames/s, peer {_rate(self.peer):.1f}, "
            f"ratio {self.ratio():.2f}, others took {self.others:.0%} of the machine"
        )


def measure(bench: Bench) -> list[Row]:
    """The ratio and what it is made of."""
    frames = bench.folder / "frames"
    write_frames(frames)
    models = bench.folder / "peer-models"
    models.mkdir()
    bench.say("tuning the peer")
    best = run_program("opencv_loop", str(frames), str(models), "--tune")
    settings = [part for name, value in best.items() for part in (f"--{name}", str(value))]
    with server_under_test(bench) as server:
        rounds = _undisturbed(bench, lambda: _round(server, frames, models, settings))
        rss_mb, rss_peak_mb = server.memory_mb("VmRSS"), server.memory_mb("VmHWM")
    ours, peers = [each.ours for each in rounds], [each.peer for each in rounds]
    ratios = [each.ratio() for each in rounds]
    return [
        Row("g3", "G3: frames/s over OpenCV's loop", median(ratios), goal=GOAL),
        Row("g3_rounds", "  each round", [round(ratio, 3) for ratio in ratios]),
        Row(
            "g3_faces",
            "  the same by embedded faces/s",
            median(each.ratio("faces") for each in rounds),
        ),
        Row("frames_per_s", "frames/s through mutual TLS", median(map(_rate, ours))),
        Row("faces_per_s", "embedded faces/s", median(_rate(o, "faces") for o in ours)),
        Row("faces_per_frame", "embedded faces a frame", ours[0]["faces"] / ours[0]["frames"]),
        Row("peer_frames_per_s", "peer's frames/s", median(map(_rate, peers))),
        Row(
            "peer_faces_per_s", "peer's embedded faces/s", median(_rate(p, "faces") for p in peers)
        ),
        Row(
            "peer_faces_per_frame",
            "peer's embedded faces a frame",
            peers[0]["faces"] / peers[0]["frames"],
        ),
        Row("peer_settings", "peer's best setting", best),
        Row("rss_mb", "server's memory after the rounds", rss_mb, "MB"),
        Row("rss_peak_mb", "server's memory at most", rss_peak_mb, "MB"),
        Row("rounds", "rounds", len(rounds)),
        Row("others_share", "CPU taken by others, worst round", max(r.others for r in rounds)),
    ]


def _round(server: ServerUnderTest, frames: Path, models: Path, settings: list[str]) -> Round:
    """The peer, then the server, on the same frames."""
    watch = Watch(server.pid)
    peer = run_program("opencv_loop", str(frames), str(models), *settings)
    ours = run_program("sender", str(server.camera), str(frames))
    return Round(ours, peer, watch.others_share())


def _undisturbed(bench: Bench, run: Callable[[], Round]) -> list[Round]:
    """As many rounds as asked for, those in which others took the least of the machine."""
    rounds: list[Round] = []
    for number in range(1, bench.rounds * _TRIES + 1):
        rounds.append(run())
        bench.say(f"round {number}: {rounds[-1]}")
        if sum(each.others <= SHARE_MAX for each in rounds) >= bench.rounds:
            break
    return sorted(rounds, key=lambda each: each.others)[: bench.rounds]


def _rate(result: dict[str, Any], what: str = "frames") -> float:
    return float(result[what] / result["elapsed_s"])
