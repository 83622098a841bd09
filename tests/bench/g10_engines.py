"""G10: the prepared networks in ONNX Runtime against OpenCV's engine, one thread, equal outputs."""

from __future__ import annotations

from statistics import median

from tests.bench.harness import Bench, Row, run_program

GOALS = {"detector": 3.0, "embedder": 1.6}
APART_MAX = 1e-3
"""Of the largest value of an output: what engines that compute the same may differ by."""
_NAMES = {"detector": "YuNet", "embedder": "SFace"}


def measure(bench: Bench) -> list[Row]:
    """The ratio, the times and the difference of each network."""
    models = bench.folder / "models"
    models.mkdir()
    bench.say("both networks in both engines, one thread each")
    result = run_program("engines", str(models), str(bench.rounds))
    rows = []
    for kind, goal in GOALS.items():
        ours, theirs = result[kind]["ours_ms"], result[kind]["theirs_ms"]
        ratio = median(other / one for one, other in zip(ours, theirs, strict=True))
        rows += [
            Row(f"g10_{kind}", f"G10: {_NAMES[kind]}, OpenCV's time over ours", ratio, goal=goal),
            Row(f"g10_{kind}_ms", "  ours", median(ours), "ms"),
            Row(f"g10_{kind}_opencv_ms", "  OpenCV's", median(theirs), "ms"),
            Row(
                f"g10_{kind}_apart",
                "  outputs differ by",
                result[kind]["apart"],
                goal=APART_MAX,
                is_ceiling=True,
            ),
        ]
    return rows
