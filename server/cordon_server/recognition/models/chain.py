"""Reads a MobileNet-shaped embedder: convolutions and PRelus in one line, then one matrix.

Pure: a float32 graph in, its layers out, batch normalisation multiplied into them. Knows nothing
of quantisation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from cordon_server.domain import ModelRefused
from cordon_server.recognition.models.graph import attributes_of, constants_of

Numbers = NDArray[np.float64]


@dataclass(slots=True)
class Layer:
    """A convolution and the PRelu after it."""

    name: str
    weights: Numbers
    """(outputs, inputs a group, height, width)."""
    bias: Numbers
    stride: int
    padding: int
    groups: int
    slopes: Numbers = field(default_factory=lambda: np.empty(0))
    """One for each output; empty until the PRelu is read."""
    bent: str = ""
    """The value that the PRelu takes."""

    @property
    def is_depthwise(self) -> bool:
        return self.groups > 1


@dataclass(slots=True)
class Chain:
    """What an embedder computes: `(pixel - mean) * scale`, the layers, one matrix and a shift."""

    input: str
    output: str
    mean: float = 0.0
    scale: float = 1.0
    layers: list[Layer] = field(default_factory=list)
    after: tuple[Numbers, Numbers] | None = None
    """Factor and shift of each channel between the last layer and the matrix, until it is read."""
    matrix: Numbers = field(default_factory=lambda: np.empty((0, 0)))
    """(values of the template, values of the last layer, channel by channel)."""
    shift: Numbers = field(default_factory=lambda: np.empty(0))


def read_chain(model: onnx.ModelProto) -> Chain:
    """The layers of an embedder; ModelRefused where it has another form."""
    constants = {
        name: value.astype(np.float64) for name, value in constants_of(model.graph).items()
    }
    chain = Chain(model.graph.input[0].name, model.graph.output[0].name)
    value = chain.input
    for node in model.graph.node:
        read = _READERS.get(node.op_type)
        if read is None or node.input[0] != value:
            raise _refused(node, "is not one of a single line of convolutions and PRelus")
        given = [constants[name] for name in node.input[1:] if name in constants]
        read(chain, node, given, attributes_of(node))
        value = node.output[0]
    if value != chain.output or not chain.matrix.size or not all(x.bent for x in chain.layers):
        raise ModelRefused("The embedder does not end in one matrix after PRelus.")
    return chain


def _subtract(chain: Chain, node: onnx.NodeProto, given: list[Numbers], _: dict[str, Any]) -> None:
    chain.mean += _scalar(chain, node, given) / chain.scale


def _multiply(chain: Chain, node: onnx.NodeProto, given: list[Numbers], _: dict[str, Any]) -> None:
    chain.scale *= _scalar(chain, node, given)


def _scalar(chain: Chain, node: onnx.NodeProto, given: list[Numbers]) -> float:
    if chain.layers or len(given) != 1 or given[0].size != 1:
        raise _refused(node, "is not by one number before the first layer")
    return float(given[0].reshape(()))


def _convolve(
    chain: Chain, node: onnx.NodeProto, given: list[Numbers], attributes: dict[str, Any]
) -> None:
    if (chain.layers and not chain.layers[-1].bent) or not given:
        raise _refused(node, "does not follow a PRelu")
    weights = given[0]
    groups = attributes.get("group", 1)
    stride, padding, spread = (
        set(attributes.get(key, [usual]))
        for key, usual in (("strides", 1), ("pads", 0), ("dilations", 1))
    )
    is_depthwise = groups == len(weights) and weights.shape[1] == 1
    if not (groups == 1 or is_depthwise) or max(map(len, (stride, padding, spread))) > 1:
        raise _refused(node, "has groups, strides or padding that are not handled")
    if spread != {1} or attributes.get("auto_pad", b"NOTSET") != b"NOTSET":
        raise _refused(node, "is dilated or pads by itself")
    bias = given[1] if len(given) > 1 else np.zeros(len(weights))
    layer = Layer(node.output[0], weights, bias, stride.pop(), padding.pop(), groups)
    chain.layers.append(layer)


def _normalise(
    chain: Chain, node: onnx.NodeProto, given: list[Numbers], attributes: dict[str, Any]
) -> None:
    if len(given) != 4 or not chain.layers:
        raise _refused(node, "has no constants or nothing before it")
    gain, offset, mean, variance = given
    factor = gain / np.sqrt(variance + attributes.get("epsilon", 1e-5))
    offset = offset - mean * factor
    layer = chain.layers[-1]
    if chain.matrix.size:
        chain.matrix = chain.matrix * factor[:, None]
        chain.shift = chain.shift * factor + offset
    elif layer.bent and chain.after is None:
        chain.after = factor, offset
    elif not layer.bent:
        layer.weights = layer.weights * factor.reshape(-1, 1, 1, 1)
        layer.bias = layer.bias * factor + offset
    else:
        raise _refused(node, "follows another one")


def _bend(chain: Chain, node: onnx.NodeProto, given: list[Numbers], _: dict[str, Any]) -> None:
    if not chain.layers or chain.layers[-1].bent or len(given) != 1:
        raise _refused(node, "does not follow a convolution")
    layer = chain.layers[-1]
    slopes = np.broadcast_to(given[0].reshape(-1), layer.bias.shape)
    layer.slopes, layer.bent = slopes.copy(), node.input[0]


def _project(
    chain: Chain, node: onnx.NodeProto, given: list[Numbers], attributes: dict[str, Any]
) -> None:
    usual = [attributes.get(key, 1) for key in ("alpha", "beta", "transB")] == [1, 1, 1]
    if chain.matrix.size or not chain.layers or len(given) != 2 or not usual:
        raise _refused(node, "is not one matrix, transposed, and one shift")
    matrix, shift = given
    if chain.after is not None:
        factor, offset = (np.repeat(v, matrix.shape[1] // v.size) for v in chain.after)
        matrix, shift = matrix * factor, shift + matrix @ offset
    chain.matrix, chain.shift = matrix, shift


def _pass(chain: Chain, node: onnx.NodeProto, given: list[Numbers], _: dict[str, Any]) -> None:
    """Dropout does nothing, and a matrix takes its values channel by channel anyhow."""


def _refused(node: onnx.NodeProto, why: str) -> ModelRefused:
    return ModelRefused(
        f"The embedder cannot be run in int8: its {node.op_type} {node.name or node.output[0]} "
        f'{why}. Set precision = "float32" in the model pack.',
        field="embedder.precision",
    )


_READERS: dict[str, Callable[[Chain, onnx.NodeProto, list[Numbers], dict[str, Any]], None]] = {
    "Sub": _subtract,
    "Mul": _multiply,
    "Conv": _convolve,
    "BatchNormalization": _normalise,
    "PRelu": _bend,
    "Dropout": _pass,
    "Identity": _pass,
    "Flatten": _pass,
    "Gemm": _project,
}
