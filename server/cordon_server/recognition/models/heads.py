"""Joins what a YuNet-shaped detector gives: twelve outputs into one, twelve heads into three.

Pure: a model in, the same model out, changed in place. Knows no files and opens no session.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from cordon_server.recognition.models.graph import (
    Constants,
    attributes_of,
    constants_of,
    replace_initialisers,
    replace_nodes,
)

STRIDES = (8, 16, 32)
PARTS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
"""What a detector says of a cell: name -> values. The scores come first."""
CELLS = "cells"
"""The joined output, (n, cells of all strides, values): strides and parts in the order above."""
DETECTOR_OUTPUTS = {CELLS: sum(PARTS.values())}
"""What a prepared detector gives: name -> values a cell."""

_ENDS = dict(zip(PARTS, accumulate(PARTS.values()), strict=True))
_VALUES = {part: slice(_ENDS[part] - width, _ENDS[part]) for part, width in PARTS.items()}
_SCORES = 2
_WIDTH = DETECTOR_OUTPUTS[CELLS]


def part_name(part: str, stride: int) -> str:
    """What the output of a part is called in the file."""
    return f"{part}_{stride}"


class _Layer(NamedTuple):
    weights: NDArray[np.generic]
    bias: NDArray[np.generic]
    padding: int


@dataclass(frozen=True, slots=True)
class _Head:
    """One tap for each value of a cell, then one 3x3 filter for each; nothing bent between."""

    source: str
    tap: _Layer
    filter: _Layer


def join_heads(model: onnx.ModelProto) -> None:
    """Gives the model the one output CELLS instead of one for each part and stride.

    A head has 1 to 10 values a cell and costs a CPU as much as one of 16, the block that its
    convolutions work on. The four heads of a stride become one where they have the form that YuNet
    is published in, which saves a tenth of the detector; elsewhere outputs are put side by side.
    """
    constants = constants_of(model.graph)
    makers = {node.output[0]: node for node in model.graph.node}
    heads = [[_head(part, stride, makers, constants) for part in PARTS] for stride in STRIDES]
    whole = [[head for head in each if head is not None] for each in heads]
    if all(_fit_together(each) for each in whole):
        nodes = _joined(whole, constants)
    else:
        nodes = _side_by_side()
    replace_nodes(model.graph, _needed([*model.graph.node, *nodes]))
    replace_initialisers(model.graph, constants)
    del model.graph.output[:]
    shape: list[str | int] = ["batch", CELLS, _WIDTH]
    model.graph.output.append(helper.make_tensor_value_info(CELLS, TensorProto.FLOAT, shape))


def split_cells(cells: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """The parts of joined outputs (..., values), by name: views."""
    return {part: cells[..., values] for part, values in _VALUES.items()}


def _head(
    part: str, stride: int, makers: Mapping[str, onnx.NodeProto], constants: Constants
) -> _Head | None:
    """The head that makes an output, read backwards; None where it has another form."""
    kinds = ["Reshape", "Transpose", "Conv", "Conv"]
    if part in list(PARTS)[:_SCORES]:
        kinds.insert(0, "Sigmoid")
    value, found = part_name(part, stride), []
    for kind in kinds:
        node = makers.get(value)
        if node is None or node.op_type != kind:
            return None
        found.append(node)
        value = node.input[0]
    transpose, filtered, tapped = found[-3:]
    if list(attributes_of(transpose).get("perm", [])) != [0, 2, 3, 1]:
        return None
    width = PARTS[part]
    tap, filter_ = _layer(tapped, 1, 1, constants), _layer(filtered, 3, width, constants)
    return _Head(value, tap, filter_) if tap and filter_ else None


def _layer(node: onnx.NodeProto, side: int, groups: int, constants: Constants) -> _Layer | None:
    """A convolution of stride 1 whose map keeps its size, with a bias; None for any other."""
    given = attributes_of(node)
    usual = (
        given.get("group", 1) == groups
        and set(given.get("strides", [1])) == {1}
        and set(given.get("dilations", [1])) == {1}
        and list(given.get("pads", [0] * 4)) == [side // 2] * 4
        and given.get("auto_pad", b"NOTSET") == b"NOTSET"
    )
    names = node.input[1:]
    if not usual or len(names) != 2 or not all(name in constants for name in names):
        return None
    weights, bias = (constants[name] for name in names)
    return _Layer(weights, bias, side // 2) if weights.shape[2:] == (side, side) else None


def _fit_together(heads: Sequence[_Head]) -> bool:
    return len(heads) == len(PARTS) and len({head.source for head in heads}) == 1


def _joined(strides: Sequence[Sequence[_Head]], constants: Constants) -> list[onnx.NodeProto]:
    nodes, rows = [], []
    for stride, heads in zip(STRIDES, strides, strict=True):
        value = heads[0].source
        for kind, layers in (
            ("tap", [head.tap for head in heads]),
            ("filter", [head.filter for head in heads]),
        ):
            name = f"heads_{stride}/{kind}"
            constants[f"{name}/weights"] = np.concatenate([each.weights for each in layers])
            constants[f"{name}/bias"] = np.concatenate([each.bias for each in layers])
            inputs = [value, f"{name}/weights", f"{name}/bias"]
            groups = 1 if kind == "tap" else _WIDTH
            pads = [layers[0].padding] * 4
            nodes.append(helper.make_node("Conv", inputs, [name], group=groups, pads=pads))
            value = name
        last = f"heads_{stride}/last"
        nodes.append(helper.make_node("Transpose", [value], [last], perm=[0, 2, 3, 1]))
        constants["heads/shape"] = np.array([0, -1, _WIDTH], np.int64)
        rows.append(f"heads_{stride}/rows")
        nodes.append(helper.make_node("Reshape", [last, "heads/shape"], [rows[-1]]))
    constants["heads/parts"] = np.array([_SCORES, _WIDTH - _SCORES], np.int64)
    return [
        *nodes,
        helper.make_node("Concat", rows, ["heads/rows"], axis=1),
        helper.make_node("Split", ["heads/rows", "heads/parts"], ["likely", "place"], axis=2),
        helper.make_node("Sigmoid", ["likely"], ["scores"]),
        helper.make_node("Concat", ["scores", "place"], [CELLS], axis=2),
    ]


def _side_by_side() -> list[onnx.NodeProto]:
    rows = [f"{CELLS}_{stride}" for stride in STRIDES]
    nodes = [
        helper.make_node("Concat", [part_name(part, stride) for part in PARTS], [row], axis=2)
        for row, stride in zip(rows, STRIDES, strict=True)
    ]
    return [*nodes, helper.make_node("Concat", rows, [CELLS], axis=1)]


def _needed(nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """The nodes that CELLS depends on, in their order."""
    wanted, kept = {CELLS}, []
    for node in reversed(nodes):
        if wanted & set(node.output):
            wanted |= set(node.input)
            kept.append(node)
    return kept[::-1]
