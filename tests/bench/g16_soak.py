"""G16: does the server's memory grow while eight cameras come and go? Slope over the second half.

One round of five minutes; of one with --short, which is not judged: for a minute or two memory
grows until the allocator's arenas and the caches have what they need. Tracking is on, as it is for
who installs Cordon.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict

import numpy as np

from tests.bench.cameras import CameraPlan, Plan
from tests.bench.harness import Bench, Row
from tests.bench.measured import measured_server
from tests.bench.street import write_frames

GOAL = 1.0
CAMERAS = 8
FPS = 3.0
SECONDS, SHORT_SECONDS = 300.0, 60.0
_SAMPLE_S = 0.5


def measure(bench: Bench) -> list[Row]:
    """The slope, and what the server did meanwhile."""
    frames = bench.folder / "frames"
    write_frames(frames)
    seconds = SHORT_SECONDS if bench.is_short else SECONDS
    samples: list[tuple[float, float]] = []
    with measured_server(bench, CAMERAS, tracking=True) as server:
        cameras = tuple(CameraPlan(str(camera), fps=FPS) for camera in server.cameras)
        plan = json.dumps(asdict(Plan(str(frames), cameras, seconds)))
        soak = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.soak", plan], stdout=subprocess.PIPE
        )
        try:
            began_s = time.monotonic()
            while (now_s := time.monotonic() - began_s) < seconds and soak.poll() is None:
                samples.append((now_s / 60, server.memory_mb()))
                time.sleep(_SAMPLE_S)
            told, _ = soak.communicate(timeout=60)
        finally:
            soak.kill()
    if soak.returncode:
        raise RuntimeError(f"soak exited {soak.returncode}; what it said is above")
    counts = json.loads(told)
    minutes, megabytes = np.array(samples).T
    half = minutes >= minutes[-1] / 2
    slope, _ = np.polyfit(minutes[half], megabytes[half], 1)
    return [
        Row(
            "g16",
            "G16: memory slope, second half of the soak",
            float(slope),
            "MB/min",
            goal=None if bench.is_short else GOAL,
            is_ceiling=True,
        ),
        Row("g16_minutes", "  of a soak of", round(seconds / 60, 1), "min"),
        Row("g16_visits", "  cameras came", counts["visits"]),
        Row("g16_frames", "  frames processed", counts["processed"]),
        Row("g16_half_mb", "  memory half way", float(megabytes[half][0]), "MB"),
        Row("g16_end_mb", "  memory at the end", float(megabytes[-1]), "MB"),
    ]
