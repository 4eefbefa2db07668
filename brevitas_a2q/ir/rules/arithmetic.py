"""Elementwise arithmetic with constants, and sums and differences of two streams."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from brevitas_a2q.bounds import IntRange
from brevitas_a2q.ir.datatypes import IntType
from brevitas_a2q.ir.elementwise import evaluate
from brevitas_a2q.ir.network import Node
from brevitas_a2q.ir.rules.call import Call, align, align_full, broadcast
from brevitas_a2q.ir.tensor import Codes, Tensor, integer_sum_fits

__all__ = ["activation", "batch_normalization", "binary", "cast", "clip", "identity"]

Result = tuple[Node, tuple[Tensor, ...]]

_INTEGER_TYPES: Final = (TensorProto.INT32, TensorProto.INT64)


def identity(call: Call) -> Result:
    """Identity and inference-time Dropout: the same values under another name."""
    node = replace(call.node, op="Identity", inputs=call.node.inputs[:1], outputs=call.node.outputs[:1], attributes={})
    return node, (replace(call.tensor(0), name=node.output),)


def cast(call: Call) -> Result:
    """Cast to float32 or wider, or to integers of what is integral: the same values."""
    x, to = call.tensor(0), call.attribute("to", 0, required=True)
    integral = x.codes is not None and x.codes.uniform_scale == 1
    if to not in (TensorProto.FLOAT, TensorProto.DOUBLE) and not (integral and to in _INTEGER_TYPES):
        raise call.error(f"casts to element type {to}", expected="float32, or integers of integers")
    return identity(call)


def binary(call: Call) -> Result:
    """Add, Sub, Mul, Div of a stream by a constant on either side, or Add and Sub of two streams."""
    a, b = call.tensor(0), call.tensor(1)
    shape = call.check_shape(broadcast(call, a.shape, b.shape))
    if a.value is None and b.value is None:
        return _two_streams(call, a, b, shape)
    reverse = a.value is not None
    if reverse and call.node.op == "Div":
        raise call.error("found a division by a stream", expected="division by a constant")
    if reverse:
        a, b = b, a
    assert b.value is not None
    if b.value.dtype.kind not in "fiu" or (call.node.op == "Div" and (b.value == 0).any()):
        raise call.error("found a constant that is zero or no number", expected="real numbers, divisors other than 0")
    attributes = {"reversed": True} if reverse and call.node.op == "Sub" else {}
    node = replace(call.node, inputs=(a.name, b.name), attributes=attributes)
    return node, (_with_constant(replace(call, node=node), a, b, shape),)


def _with_constant(call: Call, x: Tensor, constant: Tensor, shape: tuple[int, ...]) -> Tensor:
    op, value = call.node.op, np.asarray(constant.value).astype(np.float64)
    annotation = align(value, len(shape))
    call.check_annotation(annotation, align_full(align(x.lo, len(shape)), len(shape)))
    if x.codes is not None:
        if op in ("Mul", "Div") and (value != 0).all():
            scale = x.codes.scale * annotation if op == "Mul" else x.codes.scale / annotation
            if not np.isfinite(scale).all() or not (scale != 0).all():
                raise call.error("computes a scale of zero or infinity", expected="finite scales")
            return call.of_codes(shape, replace(x.codes, scale=scale))
        offset = _integer_offset(x.codes, constant, annotation) if op in ("Add", "Sub") else None
        if offset is not None:
            return call.of_codes(shape, _shifted(call, x.codes, offset))
    ends = [evaluate(op, end, [annotation], call.node.attributes) for end in (x.lo, x.hi)]
    return call.of_interval(shape, *ends)


def _integer_offset(codes: Codes, constant: Tensor, value: npt.NDArray[Any]) -> npt.NDArray[np.int64] | None:
    """The constant in units of the stream's scale, if it is integral in them."""
    own = constant.codes
    # A quantized bias carries the product of two scales rounded to float32, so the scales agree to that only.
    if own is not None and constant.integers is not None and np.allclose(own.scale, codes.scale, rtol=2.0**-20, atol=0):
        return align(constant.integers, value.ndim or constant.integers.ndim)
    steps = np.round(value / codes.scale)
    if (np.abs(steps) < 2.0**53).all() and (steps * codes.scale == value).all():
        return steps.astype(np.int64)
    return None


def _shifted(call: Call, codes: Codes, offset: npt.NDArray[np.int64]) -> Codes:
    if call.node.op == "Sub":
        offset = -offset
    if call.node.attributes.get("reversed"):
        codes, offset = replace(codes, scale=-codes.scale), offset
    lo, hi = codes.lo + offset, codes.hi + offset
    zero = np.zeros((), np.int64)
    return Codes(codes.scale, lo, hi, IntType.smallest(IntRange(int(lo.min()), int(hi.max()))), zero)


def _two_streams(call: Call, a: Tensor, b: Tensor, shape: tuple[int, ...]) -> Result:
    op = call.node.op
    if op not in ("Add", "Sub"):
        raise call.error(
            "found a product of two streams", expected="a constant factor", remedy="only sums of streams are supported"
        )
    rank = len(shape)
    call.check_annotation(align(a.lo, rank), align(b.lo, rank), align(a.hi, rank), align(b.hi, rank))
    sign = 1 if op == "Add" else -1
    if a.codes is not None and b.codes is not None and _same(a.codes.scale, b.codes.scale, len(shape)):
        ends = (b.codes.lo, b.codes.hi) if op == "Add" else (-b.codes.hi, -b.codes.lo)
        lo, hi = _plus(a.codes.lo, ends[0], len(shape)), _plus(a.codes.hi, ends[1], len(shape))
        if not integer_sum_fits(max(abs(int(lo.min())), abs(int(hi.max())))):
            raise call.error("computes sums beyond 62 bits", expected="narrower integers")
        dtype = IntType.smallest(IntRange(int(lo.min()), int(hi.max())))
        return call.done(call.of_codes(shape, Codes(a.codes.scale, lo, hi, dtype, np.zeros((), np.int64))))
    ends_b = (b.lo, b.hi) if sign > 0 else (-b.hi, -b.lo)
    return call.done(call.of_interval(shape, _plus(a.lo, ends_b[0], len(shape)), _plus(a.hi, ends_b[1], len(shape))))


def _plus(a: Any, b: Any, rank: int) -> Any:
    return align(a, rank) + align(b, rank)


def _same(a: npt.NDArray[Any], b: npt.NDArray[Any], rank: int) -> bool:
    first, second = align(a, rank).astype(np.float32), align(b, rank).astype(np.float32)
    return first.shape == second.shape and bool((first == second).all())


def batch_normalization(call: Call) -> Result:
    """Inference-time batch normalization over axis 1."""
    x = call.stream(2)
    names = ("gamma", "beta", "mean", "variance")
    parameters = [call.constant(i + 1, name).astype(np.float32) for i, name in enumerate(names)]
    if any(p.shape != (x.shape[1],) for p in parameters):
        raise call.error(f"found parameters of shapes {[p.shape for p in parameters]}", expected=f"({x.shape[1]},)")
    epsilon = call.attribute("epsilon", 1e-5)
    if not ((parameters[3] + np.float32(epsilon)) > 0).all() or call.attribute("training_mode", 0):
        raise call.error("found a variance that is not positive, or training mode", expected="inference mode")
    attributes = {"epsilon": epsilon}
    column = np.ones((1, x.shape[1], *(1 for _ in x.shape[2:])))
    call.check_annotation(column, x.lo, x.hi)
    ends = [
        evaluate("BatchNormalization", align_full(end, len(x.shape)).astype(np.float64), parameters, attributes)
        for end in (x.lo, x.hi)
    ]
    node = replace(call.node, inputs=call.node.inputs[:5], outputs=call.node.outputs[:1], attributes=attributes)
    return node, (call.of_interval(x.shape, *ends),)


def activation(call: Call) -> Result:
    """Relu, LeakyRelu, PRelu, HardSigmoid, Sigmoid, Tanh, Neg: monotone, element by element."""
    x, op = call.tensor(0), call.node.op
    defaults = {"LeakyRelu": {"alpha": 0.01}, "HardSigmoid": {"alpha": 0.2, "beta": 0.5}}.get(op, {})
    attributes = {name: call.attribute(name, value) for name, value in defaults.items()}
    constants = [call.constant(1, "slope").astype(np.float32)] if op == "PRelu" else []
    if any(value < 0 for value in attributes.values()) or any((c < 0).any() for c in constants):
        raise call.error("found a negative slope", expected="an activation that never falls")
    if op == "PRelu" and broadcast(call, constants[0].shape, x.shape) != x.shape:
        raise call.error(
            f"found slopes of shape {constants[0].shape}", expected=f"a shape that broadcasts to {x.shape}"
        )
    node = replace(call.node, inputs=call.node.inputs[: 1 + len(constants)], attributes=attributes)
    codes = x.codes
    if codes is not None and op == "Neg":
        return node, (call.of_codes(x.shape, replace(codes, scale=-codes.scale)),)
    if codes is not None and op == "Relu" and (codes.scale > 0).all():
        return node, (call.of_codes(x.shape, replace(codes, lo=np.maximum(codes.lo, 0), hi=np.maximum(codes.hi, 0))),)
    call.check_annotation(x.lo, x.hi, *constants)
    ends = [evaluate(op, end, constants, attributes) for end in (x.lo, x.hi)]
    return node, (call.of_interval(x.shape, *ends),)


def clip(call: Call) -> Result:
    """Clip between two constants, given as inputs (opset 11 on) or attributes."""
    x = call.tensor(0)
    limits = []
    for index, (name, default) in enumerate((("min", -np.inf), ("max", np.inf)), start=1):
        given = call.optional(index)
        value = call.constant(index, name) if given is not None else np.asarray(call.attribute(name, default))
        if value.size != 1:
            raise call.error(f"found {value.size} values as {name}", expected="one")
        limits.append(float(value.reshape(())))
    if not limits[0] <= limits[1]:
        raise call.error(f"found limits {limits}", expected="a minimum below the maximum")
    node = replace(call.node, inputs=call.node.inputs[:1], attributes={"min": limits[0], "max": limits[1]})
    codes = x.codes
    if codes is not None and (codes.scale > 0).all():
        low, high = (np.float64(limit) / codes.scale for limit in limits)
        if (codes.hi <= high).all() and ((np.round(low) == low) | (codes.lo >= low)).all():
            floor = np.clip(low, -(2.0**62), 2.0**62).astype(np.int64)
            lo, hi = np.maximum(codes.lo, floor), np.maximum(codes.hi, floor)
            return node, (call.of_codes(x.shape, replace(codes, lo=lo, hi=hi)),)
    return node, (call.of_interval(x.shape, *(evaluate("Clip", end, [], node.attributes) for end in (x.lo, x.hi))),)
