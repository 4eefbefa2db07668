"""Functions of one tensor, element by element."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from onnx import TensorProto

from brevitas_a2q._ir.rules.call import Call, Result, Unstated
from brevitas_a2q._ir.tensor import Tensor
from brevitas_a2q._ranges import Codes, Value, table

__all__ = ["absolute", "activation", "cast", "clip", "dropout", "elu", "function", "identity", "softmax"]

_FUNCTIONS: Final = {
    "Ceil": "ceil",
    "Erf": "erf",
    "Exp": "exp",
    "Floor": "floor",
    "Gelu": "gelu",
    "HardSwish": "hardswish",
    "Log": "log",
    "Mish": "mish",
    "Round": "round",
    "Sign": "sign",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Sqrt": "sqrt",
}
_INTEGERS: Final[dict[int, Any]] = {
    TensorProto.INT8: np.int8,
    TensorProto.UINT8: np.uint8,
    TensorProto.INT16: np.int16,
    TensorProto.UINT16: np.uint16,
    TensorProto.INT32: np.int32,
    TensorProto.INT64: np.int64,
}
_REALS: Final[dict[int, Any]] = {TensorProto.FLOAT: np.float32, TensorProto.DOUBLE: np.float64}


def identity(call: Call) -> Result:
    """Identity: the same values under another name."""
    return call.done(table.identity(call.tensor(0)), op="Identity", inputs=1)


def dropout(call: Call) -> Result:
    """Dropout: nothing happens, unless an input says that this is training; the mask is 0 or 1."""
    x, given = call.tensor(0), call.optional(2)
    mask = Tensor.named("", _integers(x.shape, 0, 1, "dropout mask"), np.dtype(np.bool_))
    outputs = call.node.outputs[:2]
    if given is None:
        return call.done(*(x, mask)[: len(outputs)], op="Identity", inputs=1)
    training = call.constant(2, "training mode")
    if training.size != 1 or training.dtype.kind != "b":
        raise call.error(f"found training mode {training.reshape(-1)[:4]}", expected="true or false")
    if not bool(training.reshape(())):
        return call.done(*(x, mask)[: len(outputs)], op="Identity", inputs=1)
    ratio = float(call.constant(1, "ratio").reshape(-1)[0]) if call.optional(1) is not None else 0.5
    return call.island(*(table.dropout(call.stream(), ratio, True), mask)[: len(outputs)], reason="dropout in training")


def _integers(shape: tuple[int, ...], lo: int, hi: int, origin: str) -> Value:
    return Value.of_codes(shape, Codes.plain(np.ones(()), np.asarray(lo), np.asarray(hi)), origin)


def cast(call: Call) -> Result:
    """Cast to single or double precision, or to integers that hold what is cast: the same values, but for fractions."""
    x, to = call.tensor(0), call.attribute("to", 0, required=True)
    if x.element.name not in ("float32", "float64", "bool") and x.element.kind not in "iu":
        raise Unstated(f"a cast from {x.element}")
    if to in _REALS:
        held = float(max(np.abs(x.lo).max(), np.abs(x.hi).max()))
        if x.element.kind in "iu" and not held <= 1 << 24:
            raise Unstated("a cast of integers that float32 does not hold")
        return call.done(Tensor.named("", x, np.dtype(_REALS[to])), op="Identity", inputs=1)
    if to not in _INTEGERS:
        raise Unstated(f"a cast to element type {to}")
    limits = np.iinfo(_INTEGERS[to])
    if x.maybe_nan or not (x.lo > limits.min - 1).all() or not (x.hi < limits.max + 1).all():
        raise Unstated(f"a cast of values that {limits.dtype} does not hold")
    if x.codes is not None and x.codes.uniform_scale == 1:
        return call.done(Tensor.named("", x, np.dtype(_INTEGERS[to])), op="Identity", inputs=1)
    return call.island(Tensor.named("", table.function(x, "trunc"), np.dtype(_INTEGERS[to])), reason="cast to integers")


def activation(call: Call) -> Result:
    """Relu, LeakyRelu, PRelu, HardSigmoid, Sigmoid, Tanh, Neg."""
    x, op = call.stream(), call.node.op
    if op in ("LeakyRelu", "PRelu"):
        alpha = call.attribute("alpha", 0.01)
        slope = call.stream(index=1) if op == "PRelu" else Value.constant(np.asarray(alpha, np.float32))
        if slope.number is None:
            raise Unstated("a slope that is no constant")
        result = table.prelu(x, slope)
        if (slope.number < 0).any():
            return call.island(result, reason="a negative slope")
        return call.done(result) if op == "PRelu" else call.done(result, attributes={"alpha": alpha})
    if op == "HardSigmoid":
        parameters = {"alpha": call.attribute("alpha", 0.2), "beta": call.attribute("beta", 0.5)}
        result = table.hard_sigmoid(x, **parameters)
        return (
            call.island(result, reason="a negative slope")
            if parameters["alpha"] < 0
            else call.done(result, attributes=parameters)
        )
    if op == "Relu":
        return call.done(table.relu(x))
    return call.done(table.neg(x) if op == "Neg" else table.function(x, op.lower()))


def absolute(call: Call) -> Result:
    """Abs: the magnitude of each element."""
    return call.island(table.abs(call.stream()))


def function(call: Call) -> Result:
    """Functions that the table knows by name."""
    return call.island(table.function(call.stream(), _FUNCTIONS[call.node.op]))


def elu(call: Call) -> Result:
    """Elu and Selu with their usual parameters, and Swish."""
    x, op = call.stream(), call.node.op
    usual = {"Elu": {"alpha": 1.0}, "Swish": {"alpha": 1.0}, "Selu": {"alpha": 1.67326, "gamma": 1.0507}}[op]
    if any(abs(call.attribute(name, value) - value) > 1e-4 * value for name, value in usual.items()):
        raise Unstated("other parameters than the usual ones")
    return call.island(table.function(x, "silu" if op == "Swish" else op.lower()))


def clip(call: Call) -> Result:
    """Clip between two constants, given as inputs (opset 11 on) or attributes."""
    x = call.stream()
    limits = []
    for index, (name, default) in enumerate((("min", -np.inf), ("max", np.inf)), start=1):
        if call.opset >= 11:
            value = call.constant(index, name) if call.optional(index) is not None else np.asarray(default)
        else:
            value = np.asarray(call.attribute(name, default))
        if value.size != 1:
            raise call.error(f"found {value.size} values as {name}", expected="one")
        limits.append(float(value.reshape(())))
    if not limits[0] <= limits[1]:
        raise Unstated("limits of which the lower is above the higher")
    return call.done(table.clip(x, *limits), inputs=1, attributes={"min": limits[0], "max": limits[1]})


def softmax(call: Call) -> Result:
    """Softmax and LogSoftmax, after which nothing can be computed on integers."""
    x, log = call.stream(1), call.node.op == "LogSoftmax"
    axis = call.axis(call.attribute("axis", -1 if call.opset >= 13 else 1), len(x.shape))
    if call.opset < 13 and axis != len(x.shape) - 1 and np.prod(x.shape[axis + 1 :]) != 1:
        return call.island(Value.unknown(x.shape, "softmax over several axes"))
    return call.done(table.softmax(x, axis, log), attributes={"axis": axis})
