"""The prepared graphs compute what the original files describe."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import stat
from pathlib import Path
from typing import Any

import cv2
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
from cordon_server.recognition.models import graph
from cordon_server.recognition.models.heads import CELLS, STRIDES, part_name, split_cells
from cordon_server.recognition.models.pack import ModelPack, load_pack
from cordon_server.recognition.models.prepare import (
    PreparedPack,
    parse,
    prepare,
    prepare_detector,
)
from cordon_server.recognition.models.quantise import is_exact_here
from cordon_server.recognition.models.sessions import Models, open_models


@pytest.fixture(scope="module")
def crops(models: Models, lfw: Path) -> NDArray[np.float32]:
    """(12, 3, 112, 112): aligned real faces as the embedder takes them."""
    detector = FaceDetector(models)
    planes = np.zeros((12, 3, 112, 112), np.float32)
    crop = np.zeros((112, 112, 3), np.uint8)
    for plane, folder in zip(planes, sorted(lfw.iterdir()), strict=False):
        image = decode_picture(next(folder.glob("*.jpg")).read_bytes())
        align(image, detector.find(image)[0].landmarks, crop)
        to_planes(crop, plane, models.pack.embedder.normalisation)
    return planes


def _folded(content: bytes) -> onnx.ModelProto:
    """The original with its constants folded and nothing else changed; PRelu and batch 1 stay."""
    model = parse(content, "original")
    graph.fold_constants(model)
    model.ir_version = 10
    return model


def _session(model: onnx.ModelProto) -> ort.InferenceSession:
    return ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def test_folding_is_the_dequantisation_that_onnx_defines() -> None:
    model = parse(load_pack().embedder.read(), "original")
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    node = next(n for n in model.graph.node if n.output[0] == "pre_fc1_weight_dequantized")
    quantised, scales, zeros = (constants[name].astype(np.float64) for name in node.input)
    expected = np.empty(quantised.shape)
    for column in range(quantised.shape[1]):
        block = column // 64
        expected[:, column] = (quantised[:, column] - zeros[:, block]) * scales[:, block]

    graph.fold_constants(model)
    folded = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}

    np.testing.assert_array_equal(folded[node.output[0]], expected.astype(np.float32))
    assert not any(n.op_type == "DequantizeLinear" for n in model.graph.node)


def test_embeddings_equal_those_of_the_graph_without_any_rewriting(
    float_models: Models, crops: NDArray[np.float32]
) -> None:
    original = _session(_folded(load_pack().embedder.read()))

    expected = np.concatenate([original.run(None, {"data": crop[None]})[0] for crop in crops])
    found = np.concatenate([float_models.embed(crop[None]) for crop in crops])

    cosines = (expected * found).sum(1) / np.linalg.norm(expected, axis=1)
    cosines /= np.linalg.norm(found, axis=1)
    assert cosines.min() > 0.99999
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_no_prelu_is_left_for_providers_to_stumble_over(prepared: PreparedPack) -> None:
    model = onnx.load(prepared.embedder.path)

    assert not [n for n in model.graph.node if n.op_type in ("PRelu", "DequantizeLinear")]
    assert [o.version for o in model.opset_import] == [graph.OPSET]


def test_a_batch_of_three_embeds_as_three_batches_of_one(
    models: Models, crops: NDArray[np.float32]
) -> None:
    together = models.embed(crops[:3])
    one_by_one = np.concatenate([models.embed(crop[None]) for crop in crops[:3]])

    np.testing.assert_allclose(together, one_by_one, atol=1e-4)


def test_detector_outputs_equal_those_of_the_original_graph(models: Models, lfw: Path) -> None:
    folder = next(iter(sorted(lfw.iterdir())))
    image = cv2.resize(decode_picture(next(folder.glob("*.jpg")).read_bytes()), (640, 640))
    planes = np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32)
    original = _session(_folded(load_pack().detector.read()))

    found = split_cells(models.detect(planes)[CELLS])

    for part, output in found.items():
        names = [part_name(part, stride) for stride in STRIDES]
        expected = np.concatenate(original.run(names, {"input": planes}), axis=1)
        np.testing.assert_allclose(output, expected, atol=1e-4, err_msg=part)


def test_heads_of_another_form_are_put_side_by_side_and_say_the_same() -> None:
    pack = load_pack()
    model = parse(pack.detector.read(), "original")
    graph.fold_constants(model)
    another = next(n for n in model.graph.node if n.op_type == "Sigmoid")
    another.op_type = "HardSigmoid"
    kept = model.SerializeToString()

    prepared = prepare_detector(model, pack)

    planes = np.random.default_rng(2).uniform(0, 255, (1, 3, 640, 640)).astype(np.float32)
    original = _session(_folded(kept))
    (cells,) = _session(prepared).run([CELLS], {"input": planes})
    for part, output in split_cells(cells).items():
        names = [part_name(part, stride) for stride in STRIDES]
        expected = np.concatenate(original.run(names, {"input": planes}), axis=1)
        np.testing.assert_allclose(output, expected, atol=1e-4, err_msg=part)


def test_a_batch_of_three_detects_as_three_batches_of_one_at_any_size(models: Models) -> None:
    planes = np.random.default_rng(1).uniform(0, 255, (3, 3, 96, 160)).astype(np.float32)

    together = models.detect(planes)

    for i in range(3):
        for name, output in models.detect(planes[i : i + 1]).items():
            np.testing.assert_allclose(together[name][i : i + 1], output, atol=1e-4)


@pytest.fixture
def cache(prepared: PreparedPack, tmp_path: Path) -> Path:
    """A cache of its own, filled."""
    return Path(shutil.copytree(prepared.detector.path.parent, tmp_path / "cache"))


def test_the_cache_is_used_and_readable_by_its_owner_alone(cache: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in cache.iterdir()}

    prepare(load_pack(), cache)

    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == before
    assert {stat.S_IMODE(path.stat().st_mode) for path in cache.iterdir()} == {0o600}
    assert len(before) == (6 if is_exact_here() else 4)


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "hash"])
def test_a_damaged_cache_is_made_again(cache: Path, prepared: PreparedPack, damage: str) -> None:
    file = prepare(load_pack(), cache).detector
    whole = file.path.read_bytes()
    if damage == "flip":
        file.path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    elif damage == "cut":
        file.path.write_bytes(whole[:1000])
    elif damage == "remove":
        file.path.unlink()
    else:
        file.path.with_suffix(".sha256").write_bytes(b"\xff\xfe")

    again = prepare(load_pack(), cache).detector

    assert again.path.read_bytes() == prepared.detector.path.read_bytes()


def test_a_prepared_file_changed_after_preparation_is_not_opened(cache: Path) -> None:
    file = prepare(load_pack(), cache)
    file.detector.path.write_bytes(b"something else")

    with pytest.raises(ModelRefused, match="prepared model"):
        open_models(file, "cpu")


def _other(tmp_path: Path, model: onnx.ModelProto, **changes: Any) -> ModelPack:
    """The built-in pack with another embedder file."""
    content = model.SerializeToString()
    path = tmp_path / "other.onnx"
    path.write_bytes(content)
    pack = load_pack()
    embedder = dataclasses.replace(
        pack.embedder, name="other", path=path, sha256=hashlib.sha256(content).hexdigest()
    )
    return dataclasses.replace(pack, embedder=embedder, reaches=None, **changes)


def _plain_embedder(dimension: int = 8, side: int = 112, opset: int = 13) -> onnx.ModelProto:
    """A float32 embedder as other projects export it: batch 1, no quantisation."""
    chance = np.random.default_rng(2)
    weights = {
        "w": chance.normal(size=(4, 3, 8, 8)) / 50,
        "slope": chance.uniform(0.1, 0.9, (4, 1, 1)),
        "fc": chance.normal(size=(4, dimension)),
    }
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["c"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("PRelu", ["c", "slope"], ["p"]),
        helper.make_node("GlobalAveragePool", ["p"], ["g"]),
        helper.make_node("Reshape", ["g", "flat"], ["f"]),
        helper.make_node("MatMul", ["f", "fc"], ["out"]),
    ]
    inits = [numpy_helper.from_array(v.astype(np.float32), k) for k, v in weights.items()]
    inits.append(numpy_helper.from_array(np.array([1, -1], np.int64), "flat"))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, side, side])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, dimension])
    made = helper.make_graph(nodes, "plain", [image], [out], inits)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@pytest.mark.parametrize("opset", [11, 13, 17, 21])
def test_a_plain_float32_embedder_of_any_opset_passes_through(tmp_path: Path, opset: int) -> None:
    pack = _other(tmp_path, _plain_embedder(opset=opset), dimension=8)
    crops = np.random.default_rng(3).uniform(0, 255, (3, 3, 112, 112)).astype(np.float32)
    original = _session(_plain_embedder(opset=opset))

    found = open_models(prepare(pack, tmp_path / "cache"), "cpu").embed(crops)

    expected = np.concatenate([original.run(None, {"image": c[None]})[0] for c in crops])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


def test_an_embedder_of_another_dimension_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="one output of 128 values"):
        prepare(_other(tmp_path, _plain_embedder(8)), tmp_path / "cache")


def test_an_embedder_of_another_crop_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="3 x 112 x 112"):
        prepare(_other(tmp_path, _plain_embedder(side=96), dimension=8), tmp_path / "cache")


def test_an_embedder_in_place_of_the_detector_is_refused(tmp_path: Path) -> None:
    pack = load_pack()
    swapped = dataclasses.replace(pack, detector=pack.embedder)

    with pytest.raises(ModelRefused, match="no output cls_8"):
        prepare(swapped, tmp_path / "cache")


def test_weights_in_another_file_are_refused(tmp_path: Path) -> None:
    model = _plain_embedder()
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], "weights.bin")
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL

    with pytest.raises(ModelRefused, match="another file"):
        prepare(_other(tmp_path, model, dimension=8), tmp_path / "cache")


def test_a_file_that_is_no_onnx_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="not an ONNX file"):
        parse(b"\xff\xff\xff not a model", "other")


def test_operators_of_other_makers_are_refused(tmp_path: Path) -> None:
    model = _plain_embedder()
    model.opset_import.append(helper.make_opsetid("com.example", 1))

    with pytest.raises(ModelRefused, match="outside ONNX"):
        prepare(_other(tmp_path, model, dimension=8), tmp_path / "cache")
