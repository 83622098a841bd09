"""On a GPU: faces and frames a second against bare ONNX Runtime, batches, decoding, cameras held.

Measured with `python -m tests.bench --provider cuda` alone. A report, without goals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.bench.cameras import CameraPlan, Plan, Streamed, run_plan
from tests.bench.harness import Bench, Row, percentile, run_program
from tests.bench.measured import MeasuredServer, measured_server
from tests.bench.mosaic import write_mosaics
from tests.bench.rounds import middle, undisturbed
from tests.bench.street import write_frames

P99_MS_MAX = 500.0
SERVED_MIN = 0.95
"""Of the frames that were offered: one that is dropped has no age to be judged by."""
FPS = 10.0
CAMERAS_MAX = 256
CAMERAS_A_PROCESS = 16
"""It sends 160 frames a second then, and the sender is not what is measured."""
_SWEEP_SECONDS = "1.0"
_MOSAICS = 20
_STILLS_CAMERAS = 8
_SECONDS = 6.0
_HELD_SECONDS = 8.0


def measure(bench: Bench) -> list[Row]:
    """Every figure of the table, or one row that says why there is none."""
    bench.say("both networks, bare and by the lane")
    folder = str(bench.folder / "gpu-models")
    networks = run_program("gpu_networks", folder, _SWEEP_SECONDS, "--provider", bench.provider)
    if "why_not" in networks:
        return [Row("gpu", "GPU", f"none here, nothing was measured: {networks['why_not']}")]
    street = bench.folder / "street"
    write_frames(street)
    bench.say("decoding")
    pictures = run_program("gpu_pictures", str(street), _SWEEP_SECONDS)
    return [
        *network_rows(networks),
        *picture_rows(pictures),
        *_server_rows(bench, networks),
        *_camera_rows(bench, str(street)),
    ]


def network_rows(found: dict[str, Any]) -> list[Row]:
    """The sweeps, and how near the lane comes to what there is to have."""
    rows = [
        Row("gpu", "GPU and driver", found["device"]),
        Row("gpu_warm_up_s", "  until every batch was ready", found["warm_up_s"], "s"),
    ]
    for network, unit in (("embedder", "faces/s"), ("detector", "frames/s")):
        bare, lane = found[network]["bare"]["sweep"], found[network]["lane"]
        best = max(bare, key=lambda batch: bare[batch])
        rows += [
            Row(
                f"gpu_{network}",
                f"{network}: lane as workers ask over bare at its best batch",
                lane["as_asked"] / bare[best],
            ),
            Row(f"gpu_{network}_lane", "  lane", lane["as_asked"], unit),
            Row(f"gpu_{network}_bare", f"  bare, batch {best}", bare[best], unit),
            Row(f"gpu_{network}_sweep_bare", "  bare by batch", _rounded(bare), unit),
            Row(f"gpu_{network}_sweep_lane", "  lane by batch", _rounded(lane["sweep"]), unit),
        ]
    return rows


def picture_rows(found: dict[str, Any]) -> list[Row]:
    """What nvImageCodec decodes, where it does."""
    core = Row("gpu_decode_core", "  one core", found["core_pictures_per_s"], "frames/s")
    if "pictures_per_s" not in found:
        return [Row("gpu_decode", "nvImageCodec", "does not work here: frames on the CPU"), core]
    rates, together = _rounded(found["pictures_per_s"]), found["together"]
    return [
        Row("gpu_decode", "1080p decoded by nvImageCodec, by workers", rates, "frames/s"),
        Row("gpu_decode_together", "  frames in a batch", _rounded(together)),
        core,
    ]


def _server_rows(bench: Bench, networks: dict[str, Any]) -> list[Row]:
    """Through mutual TLS, every face embedded, over the networks alone."""
    frames = bench.folder / "mosaics"
    write_mosaics(frames, width=1920, height=1080, columns=6, rows=4, frames=_MOSAICS)

    def one(server: MeasuredServer) -> tuple[float, float]:
        cameras = tuple(CameraPlan(str(each), stills=True) for each in server.cameras)
        sent = run_plan(Plan(str(frames), cameras, _SECONDS, warm_s=1.5))
        return sent.faces_per_s, sent.frames_per_s

    with measured_server(bench, _STILLS_CAMERAS) as server:
        rounds = undisturbed(bench, server.pid, lambda: one(server))
    faces, frames_per_s = middle(rounds, lambda r: r[0]), middle(rounds, lambda r: r[1])
    embedder = max(networks["embedder"]["bare"]["sweep"].values())
    detector = max(networks["detector"]["bare"]["sweep"].values())
    alone = 1 / (1 / detector + faces / frames_per_s / embedder)
    return [
        Row("gpu_g1", "faces/s through mutual TLS over the embedder's alone", faces / embedder),
        Row("gpu_g1_faces_per_s", "  faces/s", faces),
        Row("gpu_g1_frames_per_s", "  frames/s of 24 faces", frames_per_s),
        Row("gpu_frames", "frames/s over both networks' alone", frames_per_s / alone),
    ]


def _camera_rows(bench: Bench, street: str) -> list[Row]:
    """How many street cameras are held, as the product tracks them."""
    more = {"CORDON_LIMITS__CAMERAS_CONNECTED_MAX": str(CAMERAS_MAX)}
    tried: dict[int, float] = {}
    another = replace(bench, folder=bench.folder / "held")
    with measured_server(another, CAMERAS_MAX, tracking=True, environment=more) as server:

        def is_held(count: int) -> bool:
            sent = _sent(street, server.cameras[:count])
            offered = sum(camera["offered"] for each in sent for camera in each.cameras)
            served = sum(each.total("fates", "processed") for each in sent) / offered
            ages_ms = [age for each in sent for age in each.ages_ms]
            tried[count] = percentile(ages_ms, 0.99) if ages_ms else float("inf")
            bench.say(f"{count} cameras: {served:.1%} served, p99 {tried[count]:.0f} ms")
            return served >= SERVED_MIN and tried[count] <= P99_MS_MAX

        held = most_held(is_held, CAMERAS_MAX)
    return [
        Row(
            "gpu_cameras", f"1080p cameras at {FPS:g} frames/s held, p99 ≤ {P99_MS_MAX:g} ms", held
        ),
        Row("gpu_cameras_p99_ms", "  p99 by cameras", _rounded(dict(sorted(tried.items()))), "ms"),
    ]


def _sent(street: str, identities: Sequence[Path]) -> list[Streamed]:
    """What became of every camera's frames; no process sends for more than it can."""
    cameras = [CameraPlan(str(each), fps=FPS) for each in identities]
    plans = [
        Plan(street, tuple(cameras[at : at + CAMERAS_A_PROCESS]), _HELD_SECONDS, warm_s=3.0)
        for at in range(0, len(cameras), CAMERAS_A_PROCESS)
    ]
    with ThreadPoolExecutor(len(plans)) as pool:
        return list(pool.map(run_plan, plans))


def most_held(is_held: Callable[[int], bool], most: int) -> int:
    """The largest count up to `most` that is held: doubled while it is, then halved between."""
    low, high = 0, 1
    while high <= most and is_held(high):
        low, high = high, high * 2
    if high > most:
        high = most + 1
    while high - low > max(1, low // 16):
        middle_count = (low + high) // 2
        if is_held(middle_count):
            low = middle_count
        else:
            high = middle_count
    return low


def _rounded(values: dict[Any, float]) -> dict[str, float]:
    return {str(name): round(value, 1) for name, value in values.items()}
