"""Both prepared networks in ONNX Runtime beside OpenCV's engine, one thread each: one JSON object.

`python -m tests.bench.engines MODELS ROUNDS`. OpenCV gets whichever graph it runs faster, the
folded or the prepared one; the calls alternate. Inputs are a street frame and real faces, and the
outputs are compared: a faster engine that computes something else is no faster engine.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from cordon_server.recognition.detect import DETECT_HEIGHT, DETECT_WIDTH
from cordon_server.recognition.models.pack import load_pack
from cordon_server.recognition.models.prepare import CROP_SIZE, DETECTOR_OUTPUTS, prepare
from tests.bench.opencv_loop import write_models
from tests.data import shared_data

Planes = NDArray[np.float32]
Run = Callable[[], list[Planes]]

_CALLS = 12


@dataclass(frozen=True, slots=True)
class Pair:
    """One network in both engines, on the same input."""

    ours: Run
    theirs: Run


def pairs(folder: Path, name: str, planes: Planes, outputs: Sequence[str]) -> list[Pair]:
    """Our session against OpenCV's network, by each graph that OpenCV can load."""
    prepared = prepare(load_pack(), folder / "prepared")
    ours = _ours(getattr(prepared, name).path, planes, outputs)
    graphs = [folder / f"{name}-{kind}.onnx" for kind in ("folded", "prepared")]
    return [Pair(ours, _theirs(graph, planes, outputs)) for graph in graphs]


def _ours(graph: Path, planes: Planes, outputs: Sequence[str]) -> Run:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    names = list(outputs) or [value.name for value in session.get_outputs()]
    feed = {session.get_inputs()[0].name: planes}
    return lambda: [np.asarray(value) for value in session.run(names, feed)]


def _theirs(graph: Path, planes: Planes, outputs: Sequence[str]) -> Run:
    network = cv2.dnn.readNetFromONNX(str(graph))
    names = list(outputs) or list(network.getUnconnectedOutLayersNames())

    def run() -> list[Planes]:
        network.setInput(planes)
        return [np.asarray(value, np.float32) for value in network.forward(names)]

    return run


def compare(tried: Sequence[Pair], rounds: int) -> dict[str, Any]:
    """Times of both in milliseconds, round by round, against OpenCV's faster graph."""
    best = min(tried, key=lambda pair: min(_ms(pair.theirs) for _ in range(3)))
    ours, theirs = [], []
    best.ours()
    for _ in range(rounds):
        times = [(_ms(best.ours), _ms(best.theirs)) for _ in range(_CALLS)]
        ours.append(median(one for one, _ in times))
        theirs.append(median(other for _, other in times))
    return {"ours_ms": ours, "theirs_ms": theirs, "apart": _apart(best.ours(), best.theirs())}


def _apart(ours: Sequence[Planes], theirs: Sequence[Planes]) -> float:
    """The largest difference over the largest value, of the worst output."""
    return max(
        float(np.abs(a.ravel() - b.ravel()).max() / np.abs(b).max())
        for a, b in zip(ours, theirs, strict=True)
    )


def _ms(run: Run) -> float:
    """Of the processor, so that what else runs on the machine counts for less."""
    began_s = time.process_time()
    run()
    return 1000 * (time.process_time() - began_s)


def _picture(file: Path, width: int, height: int) -> Planes:
    picture = cv2.imread(str(file))
    assert picture is not None, file
    image = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path)
    parser.add_argument("rounds", type=int)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    write_models(args.models)
    people = sorted(shared_data("lfw", "deepfunneled").glob("*/*_0001.jpg"))
    scene = _picture(people[0], DETECT_WIDTH, DETECT_HEIGHT)
    face = _picture(people[0], CROP_SIZE, CROP_SIZE)
    detector = compare(pairs(args.models, "detector", scene, list(DETECTOR_OUTPUTS)), args.rounds)
    embedder = compare(pairs(args.models, "embedder", face, ()), args.rounds)
    print(json.dumps({"detector": detector, "embedder": embedder}))


if __name__ == "__main__":
    main()
