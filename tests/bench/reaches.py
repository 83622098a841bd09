"""Measures how far the embedder's values reach on faces: `python -m tests.bench.reaches`.

Writes `sface-reaches.json` beside the built-in model pack: for each layer and channel the largest
absolute value before the PRelu over faces of two test sets, to three digits. Every second picture
is used; the others, and all of LFW, are for measuring accuracy. The pack pins the file's hash,
which is printed. Ranges are all that is kept: no picture can be had back from them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
import simplejpeg
from numpy.typing import NDArray
from onnx import TensorProto, helper

from cordon_server.recognition.align import align, to_planes
from cordon_server.recognition.detect import FaceDetector
from cordon_server.recognition.models.chain import read_chain
from cordon_server.recognition.models.pack import BUILT_IN, load_pack
from cordon_server.recognition.models.prepare import CROP_SIZE, parse, plain_embedder
from tests.bench.accuracy import shipped_models
from tests.data import shared_data

FILE = BUILT_IN.with_name("sface-reaches.json")
_BORDER = 40
"""Pixels added round the tightly cut pictures, so that faces are found."""


def reaches() -> tuple[list[NDArray[np.float32]], int]:
    """The reaches by layer and channel, and how many faces they are from."""
    pack = load_pack()
    model = plain_embedder(parse(pack.embedder.read(), pack.embedder.name), pack)
    names = [layer.bent for layer in read_chain(model).layers]
    for name in names:
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: list[NDArray[np.float32]] = []
    faces = 0
    for crop in _crops():
        values = session.run(names, {session.get_inputs()[0].name: crop[None]})
        largest = [np.abs(value).max((0, 2, 3)) for value in values]
        found = [np.maximum(a, b) for a, b in zip(found or largest, largest, strict=True)]
        faces += 1
    return found, faces


def _crops() -> Iterator[NDArray[np.float32]]:
    models = shipped_models()
    detector = FaceDetector(models)
    crop = np.zeros((CROP_SIZE, CROP_SIZE, 3), np.uint8)
    planes = np.zeros((3, CROP_SIZE, CROP_SIZE), np.float32)
    for picture in _pictures():
        for face in detector.find(picture):
            align(picture, face.landmarks, crop)
            to_planes(crop, planes, models.pack.embedder.normalisation)
            yield planes


def _pictures() -> Iterator[NDArray[np.uint8]]:
    """As a camera would send them, compressed."""
    for folder, border in (("utkface", _BORDER), ("aaf", 0)):
        for file in sorted(shared_data(folder).rglob("*.jpg"))[1::2]:
            picture = cv2.imread(str(file))
            assert picture is not None, file
            framed = cv2.copyMakeBorder(
                picture, border, border, border, border, cv2.BORDER_CONSTANT
            )
            jpeg = simplejpeg.encode_jpeg(np.asarray(framed, np.uint8), 95, "BGR")
            yield simplejpeg.decode_jpeg(jpeg, "BGR")


def write_reaches(file: Path = FILE) -> str:
    """Writes the file and returns what to pin."""
    found, faces = reaches()
    layers = [[float(f"{max(value, 1e-3):.3g}") for value in layer] for layer in found]
    lines = ",\n".join(json.dumps(layer, separators=(",", ":")) for layer in layers)
    content = f"[\n{lines}\n]\n".encode()
    file.write_bytes(content)
    return f"{faces} faces; reaches_sha256 = {hashlib.sha256(content).hexdigest()!r}"


if __name__ == "__main__":
    print(write_reaches())
