"""Sealing: the engine's frames a second with it over without it, and how long a full list takes to
arm; in the same run."""

from __future__ import annotations

from statistics import median

from tests.bench.harness import Bench, Row, run_program

GOAL = 0.95
ARMING_S_MAX = 10.0


def measure(bench: Bench) -> list[Row]:
    """The ratio, both rates and the time."""
    bench.say("frames with matches into a sealed and a plain database, and 20,000 sealed entries")
    result = run_program("sealing_cost", str(bench.rounds))
    sealed, plain = result["sealed"], result["plain"]
    ratio = median(one / other for one, other in zip(sealed, plain, strict=True))
    return [
        Row("sealing", "Sealing: frames/s with it over without", ratio, goal=GOAL),
        Row("sealing_sealed_frames_per_s", "  frames a core-second, sealed", median(sealed)),
        Row("sealing_plain_frames_per_s", "  frames a core-second, plain", median(plain)),
        Row("sealing_matches", "  matches logged a frame", result["matches_a_frame"]),
        Row(
            "sealing_arming_s",
            "Sealing: arming 20,000 entries",
            result["arming_s"],
            "s",
            goal=ARMING_S_MAX,
            is_ceiling=True,
        ),
    ]
