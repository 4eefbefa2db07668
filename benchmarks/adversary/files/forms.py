"""The same computation, written in another form: what a file may look like beside what it computes.

Executors get the file as it was; the certificate is of the other form, and must hold for it just the same.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from .graph import QONNX

__all__ = ["FORMS", "reformed"]


def _other_domain(model: Any, rng: np.random.Generator) -> None:
    domain = str(rng.choice(["finn.custom_op.general", "onnx.brevitas"]))
    for node in model.graph.node:
        node.domain = domain if node.domain == QONNX else node.domain
    model.opset_import.append(helper.make_opsetid(domain, 1))


def _long_name_of_onnx(model: Any, rng: np.random.Generator) -> None:
    for node in model.graph.node:
        node.domain = node.domain or "ai.onnx"


def _constants_as_nodes(model: Any, rng: np.random.Generator) -> None:
    for constant in list(model.graph.initializer):
        if rng.random() < 0.5 and numpy_helper.to_array(constant).size:
            model.graph.initializer.remove(constant)
            node = helper.make_node("Constant", [], [constant.name], f"constant {constant.name}", value=constant)
            model.graph.node.insert(0, node)


def _typed_fields(model: Any, rng: np.random.Generator) -> None:
    for constant in model.graph.initializer:
        array = numpy_helper.to_array(constant)
        if array.dtype == np.float32:
            constant.ClearField("raw_data")
            constant.float_data.extend(array.ravel().tolist())


def _defaults(model: Any, rng: np.random.Generator) -> None:
    """Constants that a caller may replace."""
    for constant in model.graph.initializer:
        if rng.random() < 0.3:
            model.graph.input.append(helper.make_tensor_value_info(constant.name, constant.data_type, constant.dims))


def _lies(model: Any, rng: np.random.Generator) -> None:
    for node in model.graph.node:
        kind = int(rng.choice([TensorProto.FLOAT, TensorProto.UINT8, TensorProto.STRING]))
        model.graph.value_info.append(helper.make_tensor_value_info(node.output[0], kind, [7, 1]))


def _one_name(model: Any, rng: np.random.Generator) -> None:
    """Of all nodes that are no layers."""
    for node in model.graph.node:
        node.name = node.name if node.op_type in ("Conv", "ConvTranspose", "MatMul") else str(rng.choice(["", "same"]))


def _shuffled(model: Any, rng: np.random.Generator) -> None:
    nodes = [copy.deepcopy(node) for node in model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes[i] for i in rng.permutation(len(nodes)))


def _identities(model: Any, rng: np.random.Generator) -> None:
    for index, node in enumerate(list(model.graph.node)):
        if rng.random() < 0.3 and node.input and node.input[0]:
            name = f"same {index}"
            model.graph.node.append(helper.make_node("Identity", [node.input[0]], [name], name))
            node.input[0] = name


def _unused(model: Any, rng: np.random.Generator) -> None:
    """Nodes that no output depends on, of operators that nobody knows."""
    model.graph.node.append(helper.make_node("Nonsense", ["x"], ["unused"], "unused", domain="nobody"))
    model.graph.node.append(helper.make_node("Det", ["unused"], ["unused too"], "unused too"))


def _linear_weights(model: Any, rng: np.random.Generator) -> None:
    """Weights as integers behind DequantizeLinear."""
    constants = {constant.name: numpy_helper.to_array(constant) for constant in model.graph.initializer}
    version = next(item.version for item in model.opset_import if not item.domain)
    for node in model.graph.node:
        if node.op_type != "Quant" or not all(name in constants for name in node.input):
            continue
        value, scale, zero, _ = (constants[name] for name in node.input)
        axes = [axis for axis, size in enumerate(scale.shape) if size > 1]
        integers = np.round(value / scale)
        plain = not zero.any() and (scale > 0).all() and np.abs(integers).max(initial=0) < 128
        if version < 13 or not plain or len(axes) > 1:
            continue
        names = [f"{node.output[0]} {what}" for what in ("integers", "scale", "zero")]
        steps = scale.reshape(-1) if axes else scale.reshape(())
        arrays = (integers.astype(np.int8), steps, np.zeros(steps.shape, np.int8))
        model.graph.initializer.extend(numpy_helper.from_array(a, n) for a, n in zip(arrays, names, strict=True))
        attributes = {"axis": axes[0] - (len(value.shape) if rng.random() < 0.5 else 0)} if axes else {}
        node.CopyFrom(helper.make_node("DequantizeLinear", names, list(node.output), node.name, **attributes))


def _linear_quantizers(model: Any, rng: np.random.Generator) -> None:
    """Quantizers without a zero-point as QuantizeLinear, Clip and DequantizeLinear."""
    constants = {constant.name: numpy_helper.to_array(constant) for constant in model.graph.initializer}
    version = next(item.version for item in model.opset_import if not item.domain)
    nodes = []
    for node in model.graph.node:
        a = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        fits = version >= 13 and node.op_type == "Quant" and node.input[0] not in constants
        if fits:
            scale, zero, bits = (constants.get(name, np.zeros(2)) for name in node.input[1:])
            fits = scale.size == 1 and zero.size == 1 and bits.size == 1 and not zero.any() and (scale > 0).all()
            fits = fits and 2 <= float(bits.reshape(())) <= 8 and a["rounding_mode"] == b"ROUND"
        if not fits:
            nodes.append(copy.deepcopy(node))
            continue
        n, signed, narrow = int(bits.reshape(())), a["signed"], a["narrow"]
        kind = np.int8 if signed else np.uint8
        ends = (-(2 ** (n - 1)) + narrow, 2 ** (n - 1) - 1) if signed else (0, 2**n - 1 - narrow)
        base = node.output[0]
        arrays = (scale.reshape(()), kind(0), kind(ends[0]), kind(ends[1]))
        names = [f"{base} {what}" for what in ("scale", "zero", "low", "high")]
        model.graph.initializer.extend(
            numpy_helper.from_array(np.asarray(array), name) for array, name in zip(arrays, names, strict=True)
        )
        nodes += [
            helper.make_node("QuantizeLinear", [node.input[0], *names[:2]], [f"{base} integers"], f"{base} q"),
            helper.make_node("Clip", [f"{base} integers", *names[2:]], [f"{base} clipped"], f"{base} c"),
            helper.make_node("DequantizeLinear", [f"{base} clipped", *names[:2]], [base], node.name),
        ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


FORMS: Final[dict[str, Callable[[Any, np.random.Generator], None]]] = {
    "weights behind DequantizeLinear": _linear_weights,
    "quantizers of QuantizeLinear": _linear_quantizers,
    "another domain": _other_domain,
    "the long name of ONNX' domain": _long_name_of_onnx,
    "constants as nodes": _constants_as_nodes,
    "constants in typed fields": _typed_fields,
    "constants with defaults": _defaults,
    "value_info that lies": _lies,
    "one name for all nodes": _one_name,
    "nodes in any order": _shuffled,
    "identities": _identities,
    "unused nodes": _unused,
}


def reformed(model: Any, rng: np.random.Generator) -> tuple[Any, list[str]]:
    """The file in another form, and the names of what was changed; in half of the cases as it is."""
    names = list(FORMS) if rng.random() < 0.5 else []
    chosen = [name for name in names if rng.random() < 0.2]
    other = copy.deepcopy(model)
    for name in chosen:  # in the order of the table, for the first ones know only QONNX
        FORMS[name](other, rng)
    return other, chosen
