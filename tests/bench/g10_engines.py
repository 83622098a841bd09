"""G10: the prepared networks in ONNX Runtime against OpenCV's engine, one thread.

In float32 the outputs are equal, by goal. What runs where the machine multiplies bytes is the
embedder in int8: its goal is the same, and how far its templates are from OpenCV's is told.

What bounds float32: YuNet at 640x384 is 413 million floating-point operations, SFace 1,148 million.
A core of the AMD EPYC of RESULTS.md does 112 thousand million a second in the 1x1 convolutions (two
fused multiply-adds of eight a cycle), so an engine without any loss takes 3.7 and 10.3 ms there,
and OpenCV's 11.0 and 15.7 ms are 3.0 and 1.5 times that.
"""

from __future__ import annotations

from statistics import median
from typing import Any

from tests.bench.harness import Bench, Row, run_program

GOALS = {"detector": 3.0, "embedder": 1.6, "embedder_float32": 1.6}
APART_MAX = 1e-3
"""Of the largest value of an output: what engines that compute the same may differ by."""
_NAMES = {
    "detector": "YuNet",
    "embedder": "SFace as it runs",
    "embedder_float32": "SFace in float32",
}


def measure(bench: Bench) -> list[Row]:
    """The ratio, the times and the difference of each network."""
    models = bench.folder / "models"
    models.mkdir()
    bench.say("both networks in both engines, one thread each")
    result = run_program("engines", str(models), str(bench.rounds))
    is_int8 = result["embedder"]["is_int8"]
    rows = []
    for kind, goal in GOALS.items():
        if kind == "embedder_float32" and not is_int8:
            continue  # It is what runs.
        rows += _rows(kind, goal, result[kind], equal=kind != "embedder" or not is_int8)
    return rows


def _rows(kind: str, goal: float, result: dict[str, Any], *, equal: bool) -> list[Row]:
    ours, theirs = result["ours_ms"], result["theirs_ms"]
    ratio = median(other / one for one, other in zip(ours, theirs, strict=True))
    if equal:
        apart = result["apart"]
        told = [Row(f"g10_{kind}_apart", "  outputs differ by", apart, "", APART_MAX, True)]
    else:
        told = [
            Row(f"g10_{kind}_cosine", "  in int8; cosine to OpenCV's float32", result["cosine"]),
            Row(f"g10_{kind}_cosine_min", "    of the worst face", result["cosine_min"]),
        ]
    return [
        Row(f"g10_{kind}", f"G10: {_NAMES[kind]}, OpenCV's time over ours", ratio, goal=goal),
        Row(f"g10_{kind}_ms", "  ours", median(ours), "ms"),
        Row(f"g10_{kind}_opencv_ms", "  OpenCV's", median(theirs), "ms"),
        *told,
    ]
