"""Turns a pack's pinned files into graphs that run, once; keeps them in a cache that it checks.

The cache is derived: whatever is damaged or missing there is made again from the pinned files.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import google.protobuf.message
import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from cordon_server.domain import ModelRefused
from cordon_server.recognition.models import graph
from cordon_server.recognition.models.chain import read_chain
from cordon_server.recognition.models.heads import (
    DETECTOR_OUTPUTS,
    PARTS,
    STRIDES,
    join_heads,
    part_name,
    split_cells,
)
from cordon_server.recognition.models.pack import QUANTISER_VERSION, ModelFile, ModelPack
from cordon_server.recognition.models.quantise import is_exact_here, parse_reaches, quantise

__all__ = [
    "CROP_SIZE",
    "DETECTOR_OUTPUTS",
    "PREPARATION_VERSION",
    "PreparedFile",
    "PreparedPack",
    "parse",
    "plain_embedder",
    "prepare",
    "prepare_detector",
    "prepare_embedder",
    "prepare_int8",
]

# Raise it with every change of what preparation makes.
PREPARATION_VERSION = 4

CROP_SIZE = 112

# How far the prepared graph may be from the original's mathematics: the largest difference,
# relative to the largest value.
_TOLERANCE = 1e-4

Outputs = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class PreparedFile:
    """A prepared graph on disk and the hash it must still have when it is opened."""

    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class PreparedPack:
    """A pack whose graphs are ready to run."""

    pack: ModelPack
    detector: PreparedFile
    embedder: PreparedFile
    """In float32, computing exactly what the pinned file says."""
    embedder_int8: PreparedFile | None = None
    """The same in int8, where the pack asks for it and this machine multiplies bytes exactly."""

    def for_provider(self, provider: str) -> PreparedPack:
        """What runs there: only CPUs gain by int8. Its model id is that of what runs."""
        if provider == "cpu" and self.embedder_int8 is not None:
            return replace(self, embedder=self.embedder_int8)
        return replace(self, pack=replace(self.pack, reaches=None), embedder_int8=None)


def prepare(pack: ModelPack, cache_dir: Path) -> PreparedPack:
    """The graphs of a pack, prepared; from the cache where they are there and undamaged.

    Raises ModelRefused where a file is not the pinned one or not of the shape it must have.
    """
    cache_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    in_int8 = None
    if pack.reaches is not None and is_exact_here():
        reaches = pack.reaches.read()
        in_int8 = _cached(
            pack.embedder,
            cache_dir,
            lambda m: prepare_int8(m, pack, reaches),
            f"int8|{QUANTISER_VERSION}|{pack.reaches.sha256}",
        )
    return PreparedPack(
        pack,
        detector=_cached(pack.detector, cache_dir, lambda m: prepare_detector(m, pack)),
        embedder=_cached(pack.embedder, cache_dir, lambda m: prepare_embedder(m, pack)),
        embedder_int8=in_int8,
    )


def prepare_detector(model: onnx.ModelProto, pack: ModelPack) -> onnx.ModelProto:
    """A YuNet-shaped detector with free batch, height and width, and one output (see `heads`).

    It stays in float32: in int8 it takes a third longer on a CPU that multiplies bytes, since its
    depthwise layers take twice as long there and its first one too, and the 1x1 ones, which gain,
    run at the processor's peak as it is.
    """
    graph.fold_constants(model)
    _check_detector(model, pack.detector.name)
    original = model.SerializeToString()
    join_heads(model)
    graph.free_axes(model, height_and_width=True)
    model = graph.settle_versions(model)
    _check_mathematics(
        pack.detector.name, original, model, 4 * pack.input_multiple, _by_part, _joined_by_part
    )
    return model


def prepare_embedder(model: onnx.ModelProto, pack: ModelPack) -> onnx.ModelProto:
    """An embedder with a free batch and no PRelu."""
    graph.fold_constants(model)
    _check_embedder(model, pack.embedder.name, pack.dimension)
    original = model.SerializeToString()
    graph.rewrite_prelu(model)
    graph.free_axes(model, height_and_width=False)
    model = graph.settle_versions(model)
    _check_mathematics(pack.embedder.name, original, model, CROP_SIZE)
    return model


def prepare_int8(model: onnx.ModelProto, pack: ModelPack, reaches: bytes) -> onnx.ModelProto:
    """An embedder in int8, with a free batch; `reaches` is a list for each layer, in JSON.

    It is not what the pinned file says to the last digit: its accuracy is measured, on faces.
    """
    if not pack.embedder.normalisation.is_identity:
        raise ModelRefused(
            "An embedder in int8 takes pixels as they are, mean 0 and scale 1; set precision = "
            '"float32" in the model pack.',
            field="embedder.precision",
        )
    return quantise(read_chain(plain_embedder(model, pack)), parse_reaches(reaches))


def plain_embedder(model: onnx.ModelProto, pack: ModelPack) -> onnx.ModelProto:
    """An embedder with a free batch and folded constants, PRelus and all."""
    graph.fold_constants(model)
    _check_embedder(model, pack.embedder.name, pack.dimension)
    graph.free_axes(model, height_and_width=False)
    return graph.settle_versions(model)


def parse(content: bytes, name: str) -> onnx.ModelProto:
    """An ONNX model from a file's bytes; ModelRefused if it is none or refers to other files."""
    try:
        model = onnx.load_model_from_string(content)
    except google.protobuf.message.DecodeError as error:
        raise ModelRefused(
            f"The model {name} is not an ONNX file; give the path of one."
        ) from error
    graph.refuse_external_data(model, name)
    return model


def _cached(
    source: ModelFile,
    cache_dir: Path,
    make: Callable[[onnx.ModelProto], onnx.ModelProto],
    form: str = "",
) -> PreparedFile:
    """The prepared `form` of `source`; the hash beside a cached file tells whether it is whole."""
    content = source.read()
    key = hashlib.sha256(
        f"{source.sha256}|{PREPARATION_VERSION}|{graph.OPSET}|{source.name}|{form}".encode()
    ).hexdigest()[:32]
    path = cache_dir / f"{key}.onnx"
    beside = cache_dir / f"{key}.sha256"
    try:
        expected = beside.read_text(encoding="ascii").strip()
        if hashlib.sha256(path.read_bytes()).hexdigest() == expected:
            return PreparedFile(path, expected)
    except (OSError, UnicodeDecodeError):
        pass  # Not cached, or not readable: made again below.
    prepared = make(parse(content, source.name)).SerializeToString()
    sha256 = hashlib.sha256(prepared).hexdigest()
    _write(path, prepared)
    _write(beside, sha256.encode())
    return PreparedFile(path, sha256)


def _write(path: Path, content: bytes) -> None:
    """Puts a file in place whole or not at all, readable by its owner alone."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".preparing-")  # Mode 0600.
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _check_detector(model: onnx.ModelProto, name: str) -> None:
    _check_input(model, name, side=None)
    outputs = {value.name: graph.shape_of(value) for value in model.graph.output}
    for (part, width), stride in product(PARTS.items(), STRIDES):
        wanted = part_name(part, stride)
        shape = outputs.get(wanted)
        if shape is None or len(shape) != 3 or shape[2] not in (width, None):
            raise ModelRefused(
                f"The detector {name} has no output {wanted} of {width} values a cell; it is not "
                "of YuNet's shape."
            )


def _check_embedder(model: onnx.ModelProto, name: str, dimension: int) -> None:
    _check_input(model, name, side=CROP_SIZE)
    shapes = [graph.shape_of(value) for value in model.graph.output]
    if len(shapes) != 1 or len(shapes[0]) != 2 or shapes[0][1] not in (dimension, None):
        raise ModelRefused(
            f"The embedder {name} must give one output of {dimension} values a face; it gives "
            f"{shapes}."
        )


def _check_input(model: onnx.ModelProto, name: str, *, side: int | None) -> None:
    """One float32 input, N x 3 x side x side; any height and width where `side` is None."""
    inputs = graph.real_inputs(model)
    shapes = [graph.shape_of(value) for value in inputs]
    kinds = [value.type.tensor_type.elem_type for value in inputs]
    fits = kinds == [onnx.TensorProto.FLOAT] and len(shapes[0]) == 4 and shapes[0][1] == 3
    if not fits or (side and not {*shapes[0][2:]} <= {side, None}):
        raise ModelRefused(
            f"The model {name} must take one float32 input of N x 3 x {side or 'height'} x "
            f"{side or 'width'}; it takes {shapes}."
        )


def _check_mathematics(
    name: str,
    original: bytes,
    prepared: onnx.ModelProto,
    side: int,
    of_original: Callable[[Outputs], Outputs] = lambda outputs: outputs,
    of_prepared: Callable[[Outputs], Outputs] = lambda outputs: outputs,
) -> None:
    """ModelRefused unless the prepared graph computes what the original does, in batches too.

    The two functions put what either gives into the same outputs.
    """
    reference = onnx.load_model_from_string(original)
    reference.ir_version = graph.IR_VERSION
    _, _, height, width = graph.shape_of(reference.graph.input[0])
    shape = (3, 3, height or side, width or side)
    images = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
    one_by_one = [of_original(_run(reference, images[i : i + 1], name)) for i in range(len(images))]
    found = of_prepared(_run(prepared, images, name))
    for key, output in found.items():
        expected = np.concatenate([each[key] for each in one_by_one])
        if output.shape != expected.shape or _difference(output, expected) > _TOLERANCE:
            raise ModelRefused(
                f"The model {name} does not compute the same after preparation (output {key}); it "
                "has a form that preparation does not know. Export it with float32 weights."
            )


def _by_part(outputs: Outputs) -> Outputs:
    """A detector's outputs, those of all strides together."""
    return {
        part: np.concatenate([outputs[part_name(part, stride)] for stride in STRIDES], axis=1)
        for part in PARTS
    }


def _joined_by_part(outputs: Outputs) -> Outputs:
    (cells,) = outputs.values()
    return split_cells(cells)


def _run(model: onnx.ModelProto, images: NDArray[np.float32], name: str) -> Outputs:
    """The outputs by name, in the graph's order."""
    try:
        session = ort.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        values = session.run(None, {session.get_inputs()[0].name: images})
    except Exception as error:  # onnxruntime's errors share no public base.
        raise ModelRefused(f"The model {name} does not run: {error}") from error
    return dict(zip((value.name for value in session.get_outputs()), values, strict=True))


def _difference(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    largest = float(np.abs(expected).max(initial=1e-6))
    return float(np.abs(found - expected).max(initial=0.0)) / largest
