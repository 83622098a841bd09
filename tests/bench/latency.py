"""Latency at a light load: from sending a frame to its result, one frame at a time.

Nothing waits behind anything, so this is what the path itself costs: encoding to protobuf, mutual
TLS, decoding, detection, six embeddings, search, and the way back.
"""

from __future__ import annotations

from tests.bench.harness import Bench, Row, percentile, run_program
from tests.bench.server import server_under_test
from tests.bench.street import write_frames

_PAUSE_S = 0.05


def measure(bench: Bench) -> list[Row]:
    """Percentiles over every frame of the clip."""
    frames = bench.folder / "frames"
    write_frames(frames)
    with server_under_test(bench) as server:
        pause = ("--pause", str(_PAUSE_S))
        result = run_program("sender", str(server.camera), str(frames), *pause)
    latencies_ms = result["latencies_ms"]
    bench.say(f"{len(latencies_ms)} frames, one at a time")
    return [
        Row("latency_ms_p50", "latency at light load, p50", percentile(latencies_ms, 0.50), "ms"),
        Row("latency_ms_p99", "latency at light load, p99", percentile(latencies_ms, 0.99), "ms"),
        Row("latency_frames", "  frames measured", len(latencies_ms)),
    ]
