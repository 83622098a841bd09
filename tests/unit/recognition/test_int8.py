"""The embedder in int8: near enough to the exact one, and only where it is what it says."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from cordon_server.domain import ModelRefused
from cordon_server.recognition.align import align, to_planes
from cordon_server.recognition.decode import decode_picture
from cordon_server.recognition.detect import FaceDetector
from cordon_server.recognition.models import prepare as preparation
from cordon_server.recognition.models.chain import read_chain
from cordon_server.recognition.models.pack import ModelPack, ReachFile, load_pack
from cordon_server.recognition.models.prepare import PreparedPack, parse, prepare
from cordon_server.recognition.models.quantise import is_exact_here, parse_reaches, quantise
from cordon_server.recognition.models.sessions import Models, open_models

FACES = 60

needs_byte_products = pytest.mark.skipif(
    not is_exact_here(), reason="this machine cannot multiply bytes exactly, so int8 is not used"
)


@pytest.fixture(scope="module")
def crops(models: Models, lfw: Path) -> NDArray[np.float32]:
    """Aligned real faces that no range was measured on."""
    detector = FaceDetector(models)
    planes = np.zeros((FACES, 3, 112, 112), np.float32)
    crop = np.zeros((112, 112, 3), np.uint8)
    for plane, folder in zip(planes, sorted(lfw.iterdir()), strict=False):
        image = decode_picture(next(folder.glob("*.jpg")).read_bytes())
        align(image, detector.find(image)[0].landmarks, crop)
        to_planes(crop, plane, models.pack.embedder.normalisation)
    return planes


def _templates(models: Models, crops: NDArray[np.float32]) -> NDArray[np.float32]:
    features = np.concatenate([models.embed(crops[i : i + 4]) for i in range(0, len(crops), 4)])
    unit: NDArray[np.float32] = features / np.linalg.norm(features, axis=1, keepdims=True)
    return unit


@needs_byte_products
def test_templates_stay_close_to_the_exact_ones(
    models: Models, float_models: Models, crops: NDArray[np.float32]
) -> None:
    cosines = (_templates(models, crops) * _templates(float_models, crops)).sum(1)

    assert cosines.mean() > 0.99
    assert cosines.min() > 0.95


@needs_byte_products
def test_a_face_has_the_same_template_in_any_batch(
    models: Models, crops: NDArray[np.float32]
) -> None:
    together = models.embed(crops[:4])
    alone = np.concatenate([models.embed(crop[None]) for crop in crops[:4]])

    np.testing.assert_allclose(together, alone, atol=1e-5)


@needs_byte_products
def test_preparation_gives_the_same_bytes_every_time(
    prepared: PreparedPack, tmp_path: Path
) -> None:
    again = prepare(load_pack(), tmp_path)

    assert again.embedder_int8 is not None
    assert prepared.embedder_int8 is not None
    assert again.embedder_int8.sha256 == prepared.embedder_int8.sha256


@needs_byte_products
def test_templates_of_int8_and_float32_do_not_share_a_model_id(
    models: Models, float_models: Models, prepared: PreparedPack
) -> None:
    assert models.pack.model_id != float_models.pack.model_id
    assert prepared.for_provider("cuda").pack.model_id == float_models.pack.model_id


def test_other_reaches_make_another_model_id() -> None:
    pack = load_pack()
    assert pack.reaches is not None
    other = dataclasses.replace(pack, reaches=dataclasses.replace(pack.reaches, sha256="0" * 64))

    assert other.model_id != pack.model_id


def test_gpus_get_the_exact_graph(prepared: PreparedPack) -> None:
    assert prepared.for_provider("cuda").embedder == prepared.embedder


def test_a_machine_that_loses_products_of_bytes_runs_the_exact_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "is_exact_here", lambda: False)

    found = open_models(prepare(load_pack(), tmp_path), "cpu")

    assert found.pack.reaches is None
    assert found.pack.model_id == dataclasses.replace(load_pack(), reaches=None).model_id


def test_reaches_that_were_changed_are_refused(tmp_path: Path) -> None:
    if not is_exact_here():
        pytest.skip("reaches are read only where int8 is used")
    file = tmp_path / "reaches.json"
    file.write_text("[[1]]")
    pack = dataclasses.replace(load_pack(), reaches=ReachFile(file, "0" * 64))

    with pytest.raises(ModelRefused, match="reaches"):
        prepare(pack, tmp_path / "cache")


@pytest.mark.parametrize("content", [b"\xff", b"{", b"[1]", b"[[0]]", b'[["x"]]', b"[[-1]]", b"7"])
def test_reaches_of_another_form_are_refused(content: bytes) -> None:
    with pytest.raises(ModelRefused, match="reaches"):
        parse_reaches(content)


def test_reaches_of_another_embedder_are_refused() -> None:
    with pytest.raises(ModelRefused, match="do not fit"):
        quantise(read_chain(_small()), [np.ones(3)])


def _small(
    *, slope_max: float = 0.9, mean: float = 100.0, extra: onnx.NodeProto | None = None
) -> onnx.ModelProto:
    """Two convolutions, one of them depthwise, and a matrix; slopes of every kind."""
    chance = np.random.default_rng(5)
    slopes = np.linspace(-0.5, slope_max, 8)
    constants = {
        "mean": np.array(mean),
        "scale": np.array(1 / 64),
        "w1": chance.normal(size=(8, 3, 4, 4)) / 7,
        "b1": chance.normal(size=8) / 10,
        "w2": chance.normal(size=(8, 1, 3, 3)),
        "b2": chance.normal(size=8) / 10,
        "slopes": slopes.reshape(8, 1, 1),
        "matrix": chance.normal(size=(16, 8 * 28 * 28)) / 80,
        "shift": chance.normal(size=16),
    }
    nodes = [
        helper.make_node("Sub", ["image", "mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "scale"], ["scaled"]),
        helper.make_node("Conv", ["scaled", "w1", "b1"], ["c1"], strides=[4, 4]),
        helper.make_node("PRelu", ["c1", "slopes"], ["p1"]),
        helper.make_node("Conv", ["p1", "w2", "b2"], ["c2"], group=8, pads=[1] * 4),
        *([extra] if extra else []),
        helper.make_node("PRelu", ["c2", "slopes"], ["p2"]),
        helper.make_node("Flatten", ["p2"], ["flat"]),
        helper.make_node("Gemm", ["flat", "matrix", "shift"], ["out"], transB=1),
    ]
    made = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 112, 112])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", 16])],
        [numpy_helper.from_array(v.astype(np.float32), k) for k, v in constants.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def _run(
    model: onnx.ModelProto, outputs: list[str], images: NDArray[np.float32]
) -> list[NDArray[np.float32]]:
    for name in outputs:
        if name != "out":
            value = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
            model.graph.output.append(value)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    values: list[NDArray[np.float32]] = session.run(outputs, {"image": images})
    return values


@needs_byte_products
@pytest.mark.parametrize("slope_max", [0.9, 1.7])
@pytest.mark.parametrize("mean", [0.0, 100.0, 127.5])
def test_any_slopes_and_means_come_out_as_in_float32(slope_max: float, mean: float) -> None:
    images = np.random.default_rng(6).integers(0, 256, (4, 3, 112, 112)).astype(np.float32)
    model = _small(slope_max=slope_max, mean=mean)
    chain = read_chain(model)
    expected, first, second = _run(model, ["out", "c1", "c2"], images)

    reaches = [np.abs(v).max((0, 2, 3)).astype(np.float64) * 1.2 for v in (first, second)]
    (found,) = _run(quantise(chain, reaches), ["out"], images)

    spread = (expected - expected.mean(0)).std()
    assert (found - expected).std() < 0.1 * spread


@pytest.mark.parametrize(
    "extra",
    [
        helper.make_node("Relu", ["c2"], ["unused"]),
        helper.make_node("Add", ["p1", "b1"], ["unused"]),
        helper.make_node("Conv", ["c2", "w2"], ["unused"], group=8),
    ],
)
def test_an_embedder_of_another_form_is_refused_with_what_to_set(extra: onnx.NodeProto) -> None:
    with pytest.raises(ModelRefused, match='precision = "float32"'):
        read_chain(_small(extra=extra))


def test_an_embedder_that_wants_scaled_pixels_is_refused(tmp_path: Path) -> None:
    pack = load_pack()
    how = dataclasses.replace(pack.embedder.normalisation, scale=2.0)
    scaled: ModelPack = dataclasses.replace(
        pack, embedder=dataclasses.replace(pack.embedder, normalisation=how)
    )

    with pytest.raises(ModelRefused, match="pixels as they are"):
        preparation.prepare_int8(parse(pack.embedder.read(), "sface"), scaled, b"[]")


def test_the_shipped_reaches_are_those_that_are_pinned() -> None:
    reaches = load_pack().reaches
    assert reaches is not None

    content = reaches.read()

    assert hashlib.sha256(content).hexdigest() == reaches.sha256
    assert len(json.loads(content)) == 27
