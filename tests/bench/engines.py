"""The prepared networks in ONNX Runtime beside OpenCV's engine, one thread each: one JSON object.

`python -m tests.bench.engines MODELS ROUNDS`. OpenCV gets whichever graph it runs faster, the
folded or the prepared one; the calls alternate. Inputs are a street frame and real faces, and the
outputs are compared: a faster engine that computes something else is no faster engine. The embedder
that runs where the machine multiplies bytes is in int8, and does compute something else: how far
its templates are from OpenCV's is told beside it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from cordon_server.recognition.align import align, to_planes
from cordon_server.recognition.detect import DETECT_HEIGHT, DETECT_WIDTH, FaceDetector
from cordon_server.recognition.models.heads import CELLS, PARTS, STRIDES, part_name, split_cells
from cordon_server.recognition.models.pack import load_pack
from cordon_server.recognition.models.prepare import CROP_SIZE, PreparedPack, prepare
from cordon_server.recognition.models.sessions import open_models
from tests.bench.opencv_loop import write_models
from tests.bench.street import write_frames
from tests.data import shared_data

Planes = NDArray[np.float32]
Run = Callable[[Planes], list[Planes]]

_CALLS = 12
_FACES = 24


@dataclass(frozen=True, slots=True)
class Pair:
    """One network in both engines; outputs in the same order."""

    ours: Run
    theirs: Run


def detector_pairs(prepared: PreparedPack, folder: Path) -> list[Pair]:
    """Ours against OpenCV's, by the graph as it is published and by the prepared one."""
    ours = _joined(_ours(prepared.detector.path))
    names = [part_name(part, stride) for part in PARTS for stride in STRIDES]
    return [
        Pair(ours, _by_part(_theirs(folder / "detector-folded.onnx", names))),
        Pair(ours, _joined(_theirs(prepared.detector.path, [CELLS]))),
    ]


def embedder_pairs(graph: Path, folder: Path) -> list[Pair]:
    """Our graph against OpenCV's two in float32."""
    ours = _ours(graph)
    return [
        Pair(ours, _theirs(folder / f"embedder-{kind}.onnx")) for kind in ("folded", "prepared")
    ]


def _ours(graph: Path) -> Run:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda planes: [np.asarray(value) for value in session.run(None, {name: planes})]


def _theirs(graph: Path, outputs: Sequence[str] = ()) -> Run:
    network = cv2.dnn.readNetFromONNX(str(graph))
    names = list(outputs) or list(network.getUnconnectedOutLayersNames())

    def run(planes: Planes) -> list[Planes]:
        network.setInput(planes)
        return [np.asarray(value, np.float32) for value in network.forward(names)]

    return run


def _joined(run: Run) -> Run:
    return lambda planes: list(split_cells(run(planes)[0]).values())


def _by_part(run: Run) -> Run:
    def joined(planes: Planes) -> list[Planes]:
        values, count = run(planes), len(STRIDES)
        return [
            np.concatenate(values[at : at + count], axis=1) for at in range(0, len(values), count)
        ]

    return joined


def compare(tried: Sequence[Pair], inputs: Sequence[Planes], rounds: int) -> dict[str, Any]:
    """Times of both in milliseconds, round by round, against OpenCV's faster graph."""
    best = min(tried, key=lambda pair: min(_ms(pair.theirs, inputs[0]) for _ in range(3)))
    ours, theirs = [], []
    best.ours(inputs[0])
    for _ in range(rounds):
        times = [(_ms(best.ours, inputs[0]), _ms(best.theirs, inputs[0])) for _ in range(_CALLS)]
        ours.append(median(one for one, _ in times))
        theirs.append(median(other for _, other in times))
    outputs = [(best.ours(each), best.theirs(each)) for each in inputs]
    cosines = [_cosine(a[0], b[0]) for a, b in outputs]
    return {
        "ours_ms": ours,
        "theirs_ms": theirs,
        "apart": max(_apart(a, b) for a, b in outputs),
        "cosine": mean(cosines),
        "cosine_min": min(cosines),
    }


def _apart(ours: Sequence[Planes], theirs: Sequence[Planes]) -> float:
    """The largest difference over the largest value, of the worst output."""
    return max(
        float(np.abs(a.ravel() - b.ravel()).max() / np.abs(b).max())
        for a, b in zip(ours, theirs, strict=True)
    )


def _cosine(a: Planes, b: Planes) -> float:
    return float(a.ravel() @ b.ravel() / (np.linalg.norm(a) * np.linalg.norm(b)))


def _ms(run: Run, planes: Planes) -> float:
    """Of the processor, so that what else runs on the machine counts for less."""
    began_s = time.process_time()
    run(planes)
    return 1000 * (time.process_time() - began_s)


def _scene(folder: Path) -> Planes:
    """A street frame as the detector takes it."""
    picture = cv2.imread(str(write_frames(folder)[0]))
    assert picture is not None
    small = cv2.resize(picture, (DETECT_WIDTH, DETECT_HEIGHT), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(small.transpose(2, 0, 1)[None], np.float32)


def _faces(prepared: PreparedPack) -> Iterator[Planes]:
    """Real faces as the embedder takes them."""
    detector = FaceDetector(open_models(prepared, "cpu"))
    crop = np.zeros((CROP_SIZE, CROP_SIZE, 3), np.uint8)
    for file in sorted(shared_data("lfw", "deepfunneled").glob("*/*_0001.jpg"))[:_FACES]:
        image = cv2.imread(str(file))
        assert image is not None
        picture = np.asarray(image, np.uint8)
        align(picture, detector.find(picture)[0].landmarks, crop)
        planes = np.zeros((1, 3, CROP_SIZE, CROP_SIZE), np.float32)
        to_planes(crop, planes[0], prepared.pack.embedder.normalisation)
        yield planes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path)
    parser.add_argument("rounds", type=int)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    write_models(args.models)
    prepared = prepare(load_pack(), args.models / "prepared")
    running = prepared.for_provider("cpu")
    faces, rounds = list(_faces(prepared)), args.rounds
    embedders = {"embedder": running.embedder.path, "embedder_float32": prepared.embedder.path}
    result = {
        name: compare(embedder_pairs(path, args.models), faces, rounds)
        for name, path in embedders.items()
    }
    scene = _scene(args.models / "frames")
    result["detector"] = compare(detector_pairs(prepared, args.models), [scene], rounds)
    result["embedder"]["is_int8"] = running.embedder != prepared.embedder
    print(json.dumps(result))


if __name__ == "__main__":
    main()
