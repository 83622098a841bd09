"""Writes an embedder in int8: two fifths of the time on CPUs that multiply bytes.

Pure: layers and how far their values reach go in, a graph of standard ONNX operators comes out.

Values are bytes with zero point 128, weights signed bytes. Each channel has a step of its own
though ONNX knows one step a tensor: a convolution's output scale can differ by channel, PRelu
keeps a positive factor, and the next layer's weights take it back. PRelu never leaves the bytes:
with slopes up to 1 it is max(z, slope * z), and slope * z is a convolution of one tap.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from cordon_server.domain import ModelRefused
from cordon_server.recognition.models.chain import Chain, Layer, Numbers
from cordon_server.recognition.models.graph import IR_VERSION, OPSET

# A change of what comes out raises `pack.QUANTISER_VERSION`.
ZERO = 128
# Share of a channel's reach that bytes cover; beyond it values stop. The rare extreme of a few
# hundred faces is worth less than the finer step for all others.
COVERED = 0.85
_STEP_MIN = 1e-6


@dataclass(slots=True)
class _Graph:
    """Nodes and constants while they are written."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def convolution(
        self,
        layer: Layer,
        weights: Numbers,
        bias: Numbers,
        taken: str,
        given: str,
        zero: str = "zero",
    ) -> str:
        """`weights` take bytes and give bytes: all steps are in them already."""
        quantised, steps = _rounded(weights.reshape(len(weights), -1), bias)
        return self.node(
            "QLinearConv",
            [
                taken,
                "one",
                zero,
                self.constant(f"{given}/weights", quantised.reshape(weights.shape)),
                self.constant(f"{given}/steps", steps.astype(np.float32)),
                self.constant(f"{given}/zeros", np.zeros(len(weights), np.int8)),
                "one",
                "zero",
                self.constant(f"{given}/bias", np.rint(bias / steps).astype(np.int32)),
            ],
            given,
            group=layer.groups,
            kernel_shape=weights.shape[2:],
            strides=[layer.stride] * 2,
            pads=[layer.padding] * 4,
        )


def quantise(chain: Chain, reaches: Sequence[Numbers]) -> onnx.ModelProto:
    """The embedder in int8. `reaches` are the largest absolute values before each PRelu, by
    layer and channel. ModelRefused where they do not fit the layers."""
    if [r.size for r in reaches] != [x.bias.size for x in chain.layers]:
        raise ModelRefused(
            "The reaches do not fit the embedder's layers; measure them with this embedder.",
            field="embedder.reaches",
        )
    graph = _Graph()
    for name, constant in (("one", np.float32(1)), ("zero", np.uint8(ZERO))):
        graph.constant(name, np.asarray(constant))
    # Pixels are bytes already; their zero point is what the network pads with, the mean.
    mean = round(min(max(chain.mean, 0), 255))
    graph.constant("black", np.asarray(np.uint8(0)))
    zero = graph.constant("mean", np.asarray(np.uint8(mean)))
    value = graph.node("QuantizeLinear", [chain.input, "one", "black"], "pixels")
    steps, offset = np.full(3, chain.scale), (mean - chain.mean) * chain.scale
    for layer, reach in zip(chain.layers, reaches, strict=True):
        value, steps = _write_layer(graph, layer, reach, value, steps, zero, offset)
        zero, offset = "zero", 0.0
    _write_matrix(graph, chain, value, steps)
    return _model(graph, chain)


def parse_reaches(content: bytes) -> list[Numbers]:
    """Reaches from JSON: a list for each layer, a positive number for each channel."""
    try:
        layers = [np.asarray(layer, np.float64) for layer in json.loads(content)]
    except (ValueError, TypeError) as error:
        raise ModelRefused(
            "The embedder's reaches are not lists of numbers in JSON.", field="embedder.reaches"
        ) from error
    if not all(layer.ndim == 1 and (layer > 0).all() for layer in layers):
        raise ModelRefused(
            "The embedder's reaches must be positive numbers.", field="embedder.reaches"
        )
    return layers


def is_exact_here() -> bool:
    """Whether this machine multiplies bytes without loss.

    Without dot product instructions (VNNI) x86 adds pairs of products in 16 bits, which overflow.
    """
    graph = _Graph()
    weights = np.full((64, 64), 127, np.int8)
    graph.node("MatMulInteger", ["x", graph.constant("w", weights)], "y")
    model = _as_model(
        graph,
        helper.make_tensor_value_info("x", TensorProto.UINT8, [64, 64]),
        helper.make_tensor_value_info("y", TensorProto.INT32, [64, 64]),
    )
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, {"x": np.full((64, 64), 255, np.uint8)})[0]
    return bool((found == 255 * 127 * 64).all())


def _write_layer(
    graph: _Graph,
    layer: Layer,
    reach: Numbers,
    taken: str,
    steps: Numbers,
    zero: str,
    offset: float,
) -> tuple[str, Numbers]:
    """The value after the PRelu and its step by channel, negative where it is turned round.

    Slopes over 1 are brought below: PRelu with slope a of z is -a times PRelu with 1/a of -z.
    """
    is_steep = layer.slopes > 1
    turned = np.where(is_steep, -1.0, 1.0)
    slopes = np.where(is_steep, 1 / np.where(is_steep, layer.slopes, 1), layer.slopes)
    own = np.maximum(COVERED * reach / (255 - ZERO), _STEP_MIN)
    rows = (turned / own).reshape(-1, 1, 1, 1)
    columns = steps.reshape((-1, 1, 1, 1) if layer.is_depthwise else (1, -1, 1, 1))
    bias = layer.bias + offset * layer.weights.sum((1, 2, 3))
    straight = graph.convolution(
        layer,
        layer.weights * columns * rows,
        bias * rows.ravel(),
        taken,
        f"{layer.name}/straight",
        zero,
    )
    taps = slopes.reshape(-1, 1, 1, 1)
    one_tap = Layer(layer.name, taps, np.zeros(slopes.size), 1, 0, slopes.size)
    scaled = graph.convolution(one_tap, taps, one_tap.bias, straight, f"{layer.name}/scaled")
    value = graph.node("Max", [straight, scaled], f"{layer.name}/bent")
    return value, own * np.where(is_steep, -layer.slopes, 1.0)


def _write_matrix(graph: _Graph, chain: Chain, value: str, steps: Numbers) -> None:
    matrix = chain.matrix * np.repeat(steps, chain.matrix.shape[1] // steps.size)
    quantised, scales = _rounded(matrix, np.zeros(len(matrix)))
    flat = graph.node("Flatten", [value], "flat")
    weights = graph.constant("matrix", quantised.T)
    whole = graph.node("MatMulInteger", [flat, weights, "zero"], "whole")
    real = graph.node("Cast", [whole], "real", to=TensorProto.FLOAT)
    scales_name = graph.constant("matrix/steps", scales.astype(np.float32))
    scaled = graph.node("Mul", [real, scales_name], "scaled")
    shift = graph.constant("shift", chain.shift.astype(np.float32))
    graph.node("Add", [scaled, shift], chain.output)


def _rounded(rows: Numbers, bias: Numbers) -> tuple[NDArray[np.int8], Numbers]:
    """Rows of weights as signed bytes and each row's step; a step that the bias fits too."""
    steps = np.maximum(np.abs(rows).max(1) / 127, np.abs(bias) / 2**30)
    steps = np.maximum(steps, 1e-12)
    return np.rint(rows / steps[:, None]).astype(np.int8), steps


def _model(graph: _Graph, chain: Chain) -> onnx.ModelProto:
    shape: list[str | int] = ["batch", 3, 112, 112]
    return _as_model(
        graph,
        helper.make_tensor_value_info(chain.input, TensorProto.FLOAT, shape),
        helper.make_tensor_value_info(
            chain.output, TensorProto.FLOAT, ["batch", len(chain.matrix)]
        ),
    )


def _as_model(
    graph: _Graph, taken: onnx.ValueInfoProto, given: onnx.ValueInfoProto
) -> onnx.ModelProto:
    made = helper.make_graph(graph.nodes, "int8", [taken], [given], graph.constants)
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(made, opset_imports=opsets, ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return model
