"""Rewrites ONNX graphs so that every provider runs them fast, without changing what they compute.

Pure: a model in, the same model out, changed in place. Knows no files and opens no session.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.version_converter
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from cordon_server.domain import ModelRefused

# The newest opset whose operators here mean the same as in all later ones, and which every
# execution provider implements in full.
OPSET = 17
IR_VERSION = 10

# Dividing by less than this would cost precision.
_FACTOR_MIN = 1e-2

Constants = dict[str, NDArray[np.generic]]


def refuse_external_data(model: onnx.ModelProto, name: str) -> None:
    """ModelRefused if any tensor lives in another file: the pinned hash would not cover it."""
    for tensor in _tensors(model.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise ModelRefused(
                f"The model {name} keeps weights in another file, which its hash does not cover; "
                "save it as one file."
            )


def fold_constants(model: onnx.ModelProto) -> None:
    """Computes every DequantizeLinear, Reshape and Constant over constants once, here."""
    constants = constants_of(model.graph)
    kept = []
    for node in model.graph.node:
        value = _folded(node, constants)
        if value is None:
            kept.append(node)
        else:
            constants[node.output[0]] = value
    replace_nodes(model.graph, kept)
    replace_initialisers(model.graph, constants)


def rewrite_prelu(model: onnx.ModelProto) -> None:
    """Writes PRelu(x) as a*x + (1-a)*Relu(x), which is exact.

    CPU kernels have no blocked-layout PRelu and convert the layout twice around each one; Mul, Add
    and Relu stay in the blocked layout. Where only a convolution takes the result, its weights take
    the factor (1-a), and a/(1-a)*x + Relu(x) is left to compute.
    """
    constants = constants_of(model.graph)
    takers = _takers(model.graph)
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        slope = constants.get(node.input[1]) if node.op_type == "PRelu" else None
        if slope is None:
            nodes.append(node)
            continue
        x, y = node.input[0], node.output[0]
        rest = 1.0 - slope.astype(np.float64)
        linear, bent = slope.astype(np.float64), f"{y}/positive"
        nodes.append(helper.make_node("Relu", [x], [bent]))
        if _scale_into_convolution(takers[y], rest, constants):
            linear = linear / rest
        else:
            constants[f"{y}/rest"] = rest.astype(np.float32)
            nodes.append(helper.make_node("Mul", [bent, f"{y}/rest"], [f"{y}/bent"]))
            bent = f"{y}/bent"
        constants[f"{y}/slope"] = linear.astype(np.float32)
        nodes.append(helper.make_node("Mul", [x, f"{y}/slope"], [f"{y}/linear"]))
        nodes.append(helper.make_node("Add", [f"{y}/linear", bent], [y]))
    replace_nodes(model.graph, nodes)
    replace_initialisers(model.graph, constants)


def free_axes(model: onnx.ModelProto, *, height_and_width: bool) -> None:
    """Makes the batch axis (and the input's height and width) symbolic.

    A Reshape to a constant shape that begins with 1 keeps its input's batch axis instead.
    """
    graph = model.graph
    constants = constants_of(graph)
    del graph.value_info[:]
    for node in graph.node:
        shape = constants.get(node.input[1]) if node.op_type == "Reshape" else None
        if shape is not None and shape.size > 1 and shape[0] == 1:
            constants[f"{node.output[0]}/shape"] = np.array([0, *shape[1:]], np.int64)
            node.input[1] = f"{node.output[0]}/shape"
    replace_initialisers(graph, constants)
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    if height_and_width:
        dims = graph.input[0].type.tensor_type.shape.dim
        dims[2].dim_param, dims[3].dim_param = "height", "width"
        for value in graph.output:
            value.type.tensor_type.shape.dim[1].dim_param = value.name


def settle_versions(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model in one IR version and one opset; ModelRefused where that cannot express it."""
    if any(o.domain not in ("", "ai.onnx") for o in model.opset_import):
        raise ModelRefused(
            "The model uses operators outside ONNX's own set; export it without them."
        )
    try:
        if model.opset_import[0].version < OPSET:
            model = onnx.version_converter.convert_version(model, OPSET)
        del model.opset_import[:]
        model.opset_import.append(helper.make_opsetid("", OPSET))
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model, full_check=True)
    except (
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
        onnx.version_converter.ConvertError,
    ) as error:
        raise ModelRefused(
            f"The model cannot be expressed in ONNX opset {OPSET}; export it for that: {error}"
        ) from error
    return model


def real_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """The inputs that somebody must feed, without those that merely name an initialiser."""
    constants = {t.name for t in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in constants]


def shape_of(value: onnx.ValueInfoProto) -> tuple[int | None, ...]:
    """A value's shape; None where an axis is symbolic."""
    dims = value.type.tensor_type.shape.dim
    return tuple(d.dim_value if d.HasField("dim_value") else None for d in dims)


def constants_of(graph: onnx.GraphProto) -> Constants:
    """The initialisers by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """A node's attributes by name, those that are left to their defaults missing."""
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def replace_nodes(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    copies = []
    for node in nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copies.append(copy)
    del graph.node[:]
    graph.node.extend(copies)


def replace_initialisers(graph: onnx.GraphProto, constants: Constants) -> None:
    """Keeps the constants that a node or an output uses, none of them listed as an input.

    Inputs that no node takes go too: quantisers leave the names of the weights they replaced.
    """
    used = {name for node in graph.node for name in node.input}
    used |= {value.name for value in graph.output}
    inputs = [value for value in graph.input if value.name in used and value.name not in constants]
    del graph.initializer[:]
    graph.initializer.extend(
        numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name)
        for name, value in constants.items()
        if name in used
    )
    fed = [onnx.ValueInfoProto() for _ in inputs]
    for copy, value in zip(fed, inputs, strict=True):
        copy.CopyFrom(value)
    del graph.input[:]
    graph.input.extend(fed)


def _tensors(graph: onnx.GraphProto) -> list[onnx.TensorProto]:
    found = list(graph.initializer)
    for node in graph.node:
        for attribute in node.attribute:
            found += [attribute.t] if attribute.HasField("t") else []
            found += list(attribute.tensors)
            for inner in ([attribute.g] if attribute.HasField("g") else []) + list(
                attribute.graphs
            ):
                found += _tensors(inner)
    return found


def _folded(node: onnx.NodeProto, constants: Constants) -> NDArray[np.generic] | None:
    """What the node computes, if it is one that is folded and all it takes is constant."""
    if node.op_type == "Constant" and node.attribute[0].name == "value":
        return numpy_helper.to_array(node.attribute[0].t)
    if not all(name in constants for name in node.input if name):
        return None
    if node.op_type == "DequantizeLinear":
        return _dequantised(node, [constants[name] for name in node.input])
    if node.op_type == "Reshape":
        return _reshaped(constants[node.input[0]], constants[node.input[1]])
    return None


def _dequantised(node: onnx.NodeProto, inputs: list[NDArray[np.generic]]) -> NDArray[np.float32]:
    """(quantised - zero point) * scale, per tensor, per axis or per block, as ONNX defines it."""
    attributes = attributes_of(node)
    quantised = inputs[0].astype(np.float64)
    axis = int(attributes.get("axis", 1))
    block = int(attributes.get("block_size", 0))
    scale = _spread(inputs[1].astype(np.float64), quantised.shape, axis, block)
    zero = (
        _spread(inputs[2].astype(np.float64), quantised.shape, axis, block)
        if len(inputs) > 2
        else np.float64(0)
    )
    return np.asarray((quantised - zero) * scale, np.float32)


def _spread(
    values: NDArray[np.float64], shape: tuple[int, ...], axis: int, block: int
) -> NDArray[np.float64]:
    """Scales or zero points, made broadcastable to the quantised tensor's shape."""
    if values.size == 1:  # Per tensor, even where a (meaningless) block size is given.
        return values.reshape(())
    if block:
        return np.repeat(values, block, axis=axis).take(range(shape[axis]), axis=axis)
    broadcast = [1] * len(shape)
    broadcast[axis] = -1
    return values.reshape(broadcast)


def _reshaped(value: NDArray[np.generic], shape: NDArray[np.generic]) -> NDArray[np.generic]:
    wanted = [int(n) for n in shape]
    return value.reshape([value.shape[i] if n == 0 else n for i, n in enumerate(wanted)])


def _takers(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto | None]]:
    """Value -> the nodes that take it; None stands for the graph's own outputs."""
    takers: dict[str, list[onnx.NodeProto | None]] = {value.name: [None] for value in graph.output}
    for node in graph.node:
        for name in node.input:
            takers.setdefault(name, []).append(node)
    return takers


def _scale_into_convolution(
    takers: list[onnx.NodeProto | None], factor: NDArray[np.float64], constants: Constants
) -> bool:
    """Multiplies a sole convolution's weights by a factor for each channel, if that is exact."""
    node = takers[0]
    if len(takers) != 1 or node is None or node.op_type != "Conv" or node.input[1] not in constants:
        return False
    groups = attributes_of(node).get("group", 1)
    weights = constants[node.input[1]].astype(np.float64)
    channels = weights.shape[1] * groups
    if factor.size != channels or float(np.abs(factor).min()) < _FACTOR_MIN:
        return False
    if groups == 1:
        scaled = weights * factor.reshape(1, channels, 1, 1)
    elif weights.shape[:2] == (channels, 1):  # Depthwise: one filter an input channel.
        scaled = weights * factor.reshape(channels, 1, 1, 1)
    else:
        return False
    name = f"{node.output[0]}/scaled"
    constants[name] = scaled.astype(np.float32)
    node.input[1] = name
    return True
