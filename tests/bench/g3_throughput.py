"""G3: frames a second through the whole server, over OpenCV's own loop, in the same run.

The server runs as an operator runs it, the camera is a process that sends JPEGs over mutual TLS by
credit, every face that is large enough to be compared is embedded and searched. The peer is
`opencv_loop`: no network, no server, at its best setting. Rounds alternate, so that a machine that
slows down slows both; the figure is the median of the rounds' ratios.
"""

from __future__ import annotations

from statistics import median
from typing import Any

from tests.bench.harness import Bench, Row, run_program
from tests.bench.server import server_under_test
from tests.bench.street import write_frames

GOAL = 1.5


def measure(bench: Bench) -> list[Row]:
    """The ratio and what it is made of."""
    frames = bench.folder / "frames"
    write_frames(frames)
    models = bench.folder / "peer-models"
    models.mkdir()
    bench.say("tuning the peer")
    best = run_program("opencv_loop", str(frames), str(models), "--tune")
    settings = [part for name, value in best.items() for part in (f"--{name}", str(value))]
    ours: list[dict[str, Any]] = []
    peers: list[dict[str, Any]] = []
    with server_under_test(bench) as server:
        for number in range(1, bench.rounds + 1):
            peers.append(run_program("opencv_loop", str(frames), str(models), *settings))
            ours.append(run_program("sender", str(server.camera), str(frames)))
            ratio = _rate(ours[-1]) / _rate(peers[-1])
            bench.say(
                f"round {number} of {bench.rounds}: {_rate(ours[-1]):.1f} frames/s, "
                f"peer {_rate(peers[-1]):.1f}, ratio {ratio:.2f}"
            )
        rss_mb, rss_peak_mb = server.memory_mb("VmRSS"), server.memory_mb("VmHWM")
    pairs = list(zip(ours, peers, strict=True))
    ratios = [_rate(our) / _rate(peer) for our, peer in pairs]
    face_ratios = [_rate(our, "faces") / _rate(peer, "faces") for our, peer in pairs]
    return [
        Row("g3", "G3: frames/s over OpenCV's loop", median(ratios), goal=GOAL),
        Row("g3_rounds", "  each round", [round(ratio, 3) for ratio in ratios]),
        Row("g3_faces", "  the same by embedded faces/s", median(face_ratios)),
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
        Row("rounds", "rounds", bench.rounds),
    ]


def _rate(result: dict[str, Any], what: str = "frames") -> float:
    return float(result[what] / result["elapsed_s"])
