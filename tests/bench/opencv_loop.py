"""The peer: OpenCV's FaceDetectorYN and FaceRecognizerSF, one frame after the other, no network.

`python -m tests.bench.opencv_loop FRAMES MODELS` prints one JSON object. The same frames as JPEG,
the same detector size and score, the same weights; every face that is found is embedded. The peer
gets its best setting: with `--tune`, whichever graphs and number of threads are fastest here.

OpenCV 5.0 loads the distributed detector file, but not the distributed recogniser ("empty name can
only be used to set input if there is just one input"); it loads both with their constants folded,
and with everything else that the server's preparation does.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray

from cordon_server.recognition.detect import DETECT_HEIGHT, DETECT_WIDTH
from cordon_server.recognition.models import graph
from cordon_server.recognition.models.pack import ModelFile, load_pack
from cordon_server.recognition.models.prepare import parse, prepare
from tests.bench.street import frame_files

Image = NDArray[np.uint8]
Box = NDArray[np.float32]
Feature = NDArray[np.float32]

_TRIALS = 12
_FACES = 6
"""In a frame, about: what a setting is chosen for."""


def write_models(folder: Path) -> None:
    """Writes each model as OpenCV can load it: folded only, and the embedder fully prepared.

    FaceDetectorYN wants the twelve outputs of the detector's file, which preparation joins.
    """
    pack = load_pack()
    for name, file in (("detector", pack.detector), ("embedder", pack.embedder)):
        onnx.save(_folded(file, name), str(folder / f"{name}-folded.onnx"))
    prepared = prepare(pack, folder / "prepared").embedder.path
    (folder / "embedder-prepared.onnx").write_bytes(prepared.read_bytes())


def _folded(file: ModelFile, name: str) -> onnx.ModelProto:
    model = parse(file.read(), name)
    graph.fold_constants(model)
    return graph.settle_versions(model)


class Loop:
    """OpenCV's two classes on one frame at a time."""

    def __init__(self, models: Path, embedder: str, threads: int, score_min: float) -> None:
        cv2.setNumThreads(threads)
        self._size = (DETECT_WIDTH, DETECT_HEIGHT)
        graph = str(models / "detector-folded.onnx")
        self.detector = cv2.FaceDetectorYN.create(graph, "", self._size, score_min)
        graph = str(models / f"embedder-{embedder}.onnx")
        self.embedder = cv2.FaceRecognizerSF.create(graph, "")

    def analyse(self, jpeg: bytes) -> int:
        """Embeds every face of a frame; how many there were."""
        return len(self.features(jpeg))

    def features(self, jpeg: bytes) -> list[tuple[Box, Feature]]:
        """Each face of a frame: left, top, width and height in pixels, and its feature."""
        image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert image is not None, "the frames are JPEG"
        small, scale = self._fitted(np.asarray(image, np.uint8))
        _, faces = self.detector.detect(small)
        found: list[tuple[Box, Feature]] = []
        for face in [] if faces is None else faces:
            face[:14] /= scale
            feature = self.embedder.feature(self.embedder.alignCrop(image, face))
            found.append((face[:4], np.array(feature[0], np.float32)))
        return found

    def _fitted(self, image: Image) -> tuple[Image, float]:
        """The frame within the detector's input, padded at the right and at the bottom."""
        wide, high = self._size
        scale = min(wide / image.shape[1], high / image.shape[0])
        inner = (round(image.shape[1] * scale), round(image.shape[0] * scale))
        small = cv2.resize(image, inner, interpolation=cv2.INTER_LINEAR)
        right, bottom = wide - inner[0], high - inner[1]
        padded = cv2.copyMakeBorder(small, 0, bottom, 0, right, cv2.BORDER_CONSTANT)
        return np.asarray(padded, np.uint8), scale


def tune(models: Path) -> dict[str, Any]:
    """The fastest number of threads and embedder's graph: all of them are tried."""
    crop = np.full((112, 112, 3), 127, np.uint8)
    blank = np.full((DETECT_HEIGHT, DETECT_WIDTH, 3), 127, np.uint8)
    frame_s = {}
    for threads, kind in product((1, len(os.sched_getaffinity(0))), ("folded", "prepared")):
        loop = Loop(models, kind, threads, 0.6)
        detect_s = _fastest(partial(loop.detector.detect, blank))
        frame_s[threads, kind] = detect_s + _FACES * _fastest(partial(loop.embedder.feature, crop))
    threads, kind = min(frame_s, key=lambda each: frame_s[each])
    return {"threads": threads, "embedder": kind}


def _fastest(step: Callable[[], object]) -> float:
    taken = []
    for _ in range(_TRIALS):
        began_s = time.perf_counter()
        step()
        taken.append(time.perf_counter() - began_s)
    return min(taken)


def run(jpegs: Sequence[bytes], loop: Loop, warm: int) -> dict[str, Any]:
    for jpeg in jpegs[:warm]:
        loop.analyse(jpeg)
    began_s = time.perf_counter()
    faces = sum(loop.analyse(jpeg) for jpeg in jpegs)
    elapsed_s = time.perf_counter() - began_s
    return {"frames": len(jpegs), "faces": faces, "elapsed_s": elapsed_s}


def look_for(
    listed: Sequence[tuple[str, str, int, int]],
    jpegs: Sequence[bytes],
    loop: Loop,
    threshold: float,
) -> list[str]:
    """Who of the listed is in the frames, frame by frame; listed by a picture and a point in it."""
    known = {
        name: _unit(_at(loop.features(Path(file).read_bytes()), x, y))
        for file, name, x, y in listed
    }
    seen = [_unit(feature) for jpeg in jpegs for _, feature in loop.features(jpeg)]
    return [n for n, k in known.items() if any(float(k @ each) >= threshold for each in seen)]


def _at(faces: Sequence[tuple[Box, Feature]], x: int, y: int) -> Feature:
    """The feature of the face whose middle is nearest to a point."""
    return min(faces, key=lambda f: np.hypot(f[0][0] + f[0][2] / 2 - x, f[0][1] + f[0][3] / 2 - y))[
        1
    ]


def _unit(feature: Feature) -> Feature:
    unit: Feature = feature / np.linalg.norm(feature)
    return unit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("frames", type=Path)
    parser.add_argument("models", type=Path)
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--embedder", default="folded")
    parser.add_argument("--warm", type=int, default=4)
    parser.add_argument("--listed", type=Path, help="JSON: [picture, name, x, y] each")
    args = parser.parse_args()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    if args.tune:
        write_models(args.models)
        print(json.dumps(tune(args.models)))
        return
    pack = load_pack()
    loop = Loop(args.models, args.embedder, args.threads, pack.detection_score_min)
    jpegs = [path.read_bytes() for path in frame_files(args.frames)]
    if args.listed is not None:
        listed = json.loads(args.listed.read_text())
        print(json.dumps({"found": look_for(listed, jpegs, loop, pack.score_threshold)}))
        return
    print(json.dumps(run(jpegs, loop, args.warm)))


if __name__ == "__main__":
    main()
