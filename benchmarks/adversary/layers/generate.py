"""A file of one quantizer and one layer: attributes at their corners, weights in every form that a file can have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["Case", "generate"]

QONNX = "qonnx.custom_op.general"
_FORMS = ("plain", "zero-point", "bipolar", "negated", "reshaped", "scale per input", "negative scale", "unsigned")
_FORMS += ("transposed", "in two parts", "plain", "plain")


@dataclass
class Case:
    """A file, and its layer as it was meant."""

    model: onnx.ModelProto
    layer: onnx.NodeProto  # by itself, from inputs ``x`` and weights ``w``
    weights: np.ndarray  # integers
    lower: np.ndarray  # integers that reach it, by element of its input
    upper: np.ndarray
    mixed: bool  # whether channels of its input have scales of their own
    used: list[str]


class _File:
    def __init__(self, rng: np.random.Generator) -> None:
        self.rng, self.constants, self.nodes = rng, dict[str, np.ndarray](), list[onnx.NodeProto]()

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value, dtype)
        return name

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, domain=domain, **attributes))
        return name

    def quant(self, x: str, scale: Any, zero_point: Any, bits: str, signed: bool, narrow: bool) -> str:
        parameters = (self.constant(scale), self.constant(zero_point), bits)
        kinds = {"signed": int(signed), "narrow": int(narrow), "rounding_mode": "ROUND"}
        return self.op("Quant", x, *parameters, domain=QONNX, **kinds)


def generate(seed: int) -> Case:
    """The case of a seed."""
    rng = np.random.default_rng(seed)
    file, rank, channels = _File(rng), int(rng.integers(0, 4)), int(rng.integers(1, 5))
    shape = (1, channels, *_sizes(rng, 2, 6, rank)) if rank else (int(rng.integers(1, 3)), channels)
    per_channel = (1, channels, *(1,) * rank)
    scale = rng.choice([0.5, 0.25, 1, 0.125], per_channel if rng.random() < 0.2 else ())
    zero_point = rng.integers(-3, 6, per_channel if rng.random() < 0.5 else ()) if rng.random() < 0.4 else np.zeros(())
    bits, signed, narrow = int(rng.integers(2, 5)), bool(rng.integers(2)), bool(rng.integers(2))
    width = file.constant(bits)
    if rng.random() < 0.2:  # computed, of constants
        width = file.op("Add", file.constant(bits - 1), file.constant(1))
    x = file.quant("x", scale, zero_point, width, signed, narrow)
    low, high = (-(2 ** (bits - 1)) + narrow, 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1 - narrow)
    kind = str(rng.choice(["Conv", "ConvTranspose"] if rank else ["MatMul", "Gemm", "MatMul on the left"]))
    attributes, sizes = (_window if rank else _matrix)(rng, kind, shape)
    weights, integers, form = _weights(file, kind, sizes, np.broadcast_to(scale, per_channel))
    operands = (weights, x) if kind == "MatMul on the left" else (x, weights)
    out = file.op(kind.partition(" ")[0], *operands, **attributes)
    alone = {name: value for name, value in attributes.items() if name != "alpha"}
    names = ["w", "x"] if kind == "MatMul on the left" else ["x", "w"]
    return Case(
        _model(file, shape, out),
        helper.make_node(kind.partition(" ")[0], names, ["y"], **alone),
        integers,
        np.broadcast_to(low - zero_point, shape).astype(np.int64),
        np.broadcast_to(high - zero_point, shape).astype(np.int64),
        bool(np.ptp(scale)),
        [kind, *attributes, f"weights {form}", *["zero-point"] * bool(np.any(zero_point))],
    )


def _model(file: _File, shape: Sequence[int], out: str) -> onnx.ModelProto:
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", shape), (out, None))]
    kept = [numpy_helper.from_array(value, name) for name, value in file.constants.items()]
    graph = helper.make_graph(file.nodes, "layer", ends[:1], ends[1:], kept)
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid(QONNX, 2)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def _sizes(rng: np.random.Generator, low: int, high: int, count: int) -> list[int]:
    return [int(size) for size in rng.integers(low, high, count)]


def _window(rng: np.random.Generator, kind: str, shape: Sequence[int]) -> tuple[dict[str, Any], tuple[int, ...]]:
    """Attributes of a convolution, and the shape of its weights."""
    channels, rank = shape[1], len(shape) - 2
    groups, each = int(rng.choice([d for d in range(1, channels + 1) if channels % d == 0])), int(rng.integers(1, 3))
    kernel = _sizes(rng, 1, 4, rank)
    a: dict[str, Any] = {"strides": _sizes(rng, 1, 4, rank), "dilations": _sizes(rng, 1, 3, rank)}
    if groups > 1 or rng.random() < 0.5:
        a["group"] = groups
    how = rng.random()
    if how < 0.5:
        a["pads"] = _sizes(rng, 0, 4, 2 * rank)
    elif how < 0.7 and kind == "Conv":
        a["auto_pad"] = str(rng.choice(["SAME_UPPER", "SAME_LOWER", "VALID"]))
        a["dilations"] = [1] * rank
    if kind == "ConvTranspose" and rng.random() < 0.5:
        a["output_padding"] = _sizes(rng, 0, 2, rank)
    if rng.random() < 0.5:
        a["kernel_shape"] = kernel
    if kind == "Conv":
        return a, (groups * each, channels // groups, *kernel)
    return a, (channels, each, *kernel)


def _matrix(rng: np.random.Generator, kind: str, shape: Sequence[int]) -> tuple[dict[str, Any], tuple[int, ...]]:
    """Attributes of a product with a matrix, and the shape of that."""
    outputs = int(rng.integers(1, 4))
    if kind == "MatMul on the left":
        return {}, (outputs, shape[0])
    a: dict[str, Any] = {}
    if kind == "Gemm" and rng.random() < 0.3:
        a["alpha"] = float(rng.choice([2.0, 0.5]))
    if kind == "Gemm" and rng.random() < 0.5:
        return {**a, "transB": 1}, (outputs, shape[1])
    return a, (shape[1], outputs)


def _weights(file: _File, kind: str, shape: tuple[int, ...], of_input: np.ndarray) -> tuple[str, np.ndarray, str]:
    """Weights' name, their integers, and the form that they have in the file."""
    rng, form, bits = file.rng, str(file.rng.choice(_FORMS)), int(file.rng.integers(2, 5))
    q = rng.integers(-(2 ** (bits - 1)) + 1, 2 ** (bits - 1), shape)
    scale: np.ndarray = np.float32(0.25)
    if form == "bipolar":
        q = np.where(q >= 0, 1, -1)
        made = file.op("BipolarQuant", file.constant(q * 0.7), file.constant(scale), domain=QONNX)
        return made, q, form
    if form == "scale per input":  # that makes up for the input's
        axis = 1 if kind == "Conv" else 0
        if shape[axis] == of_input.size:
            scale = (1 / of_input).reshape([-1 if d == axis else 1 for d in range(len(shape))]).astype(np.float32)
    scale = -scale if form == "negative scale" else scale
    zero_point = int(rng.integers(0, 2**bits)) if form == "zero-point" else 0
    unsigned = form in ("zero-point", "unsigned")
    q = rng.integers(0, 2**bits, shape) - zero_point if unsigned else q
    value = q * scale
    value = value.reshape(-1) if form == "reshaped" else value.T if form == "transposed" else value
    made = file.quant(
        file.constant(np.ascontiguousarray(value)), scale, zero_point, file.constant(bits), not unsigned, not unsigned
    )
    if form == "reshaped":
        made = file.op("Reshape", made, file.constant(shape, np.int64))
    elif form == "transposed":
        made = file.op("Transpose", made, perm=list(range(len(shape)))[::-1])
    elif form == "negated":
        made, q = file.op("Neg", made), -q
    elif form == "in two parts" and shape[0] > 1:
        ends = [[file.constant([n], np.int64) for n in (begin, end, 0)] for begin, end in ((1, 99), (0, 1))]
        made = file.op("Concat", *(file.op("Slice", made, *end) for end in ends), axis=0)
        q = np.concatenate([q[1:], q[:1]])
    return made, q, form
