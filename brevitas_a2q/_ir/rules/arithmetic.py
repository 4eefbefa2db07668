"""Elementwise arithmetic: with constants, and of two streams."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from brevitas_a2q._ir.rules.call import Call, Result, Unstated
from brevitas_a2q._ir.tensor import Tensor
from brevitas_a2q._ranges import Value, table
from brevitas_a2q._ranges.annotation import broadcast_shape

__all__ = ["batch_normalization", "binary", "extremum", "power", "where"]

_OPERATIONS: Final = {"Add": table.add, "Sub": table.sub, "Mul": table.mul, "Div": table.div}


def binary(call: Call) -> Result:
    """Add, Sub, Mul, Div of a stream by a constant on either side, or of two streams."""
    a, b = call.stream(index=0), call.stream(index=1)
    op = call.node.op
    result = _OPERATIONS[op](a, b)
    call.check_shape(result.shape)
    if a.number is None and b.number is None:
        return call.done(result) if op in ("Add", "Sub") else call.island(result, reason=f"{op} of two streams")
    reverse = a.number is not None and not (a.codes is not None and b.number is not None)
    constant = a if reverse else b
    if reverse and op == "Div":
        return call.island(result, reason="division by a stream")
    if not _finite(constant) or (op == "Div" and _zeros(constant)):
        return call.island(result, reason="division by zero")
    if op == "Mul" and _zeros(constant):  # a scale of zero stands for no integers
        result = Value.interval(result.shape, result.lo, result.hi, result.origin)
    node = replace(call.node, inputs=(b.name, a.name) if reverse else (a.name, b.name))
    return replace(call, node=node).done(result, attributes={"reversed": True} if reverse and op == "Sub" else {})


def _zeros(constant: Tensor) -> bool:
    return constant.number is not None and not constant.number.all()


def _finite(constant: Tensor) -> bool:
    return constant.number is not None and bool(np.isfinite(constant.number).all())


def batch_normalization(call: Call) -> Result:
    """Inference-time batch normalization over axis 1."""
    x = call.stream(2)
    if call.attribute("training_mode", 0) or call.attribute("spatial", 1) != 1 or len(call.node.outputs) > 1:
        raise Unstated("batch normalization in training, or of single elements")
    names = ("gamma", "beta", "mean", "variance")
    parameters = [call.constant(i + 1, name).astype(np.float32) for i, name in enumerate(names)]
    gamma, beta, mean, variance = parameters
    epsilon = call.attribute("epsilon", 1e-5)
    if any(p.shape != (x.shape[1],) for p in parameters):
        raise call.error(f"found parameters of shapes {[p.shape for p in parameters]}", expected=f"({x.shape[1]},)")
    if not ((variance + np.float32(epsilon)) > 0).all():
        raise Unstated("a variance that is not positive")
    result = table.batch_norm(x, gamma, beta, mean, variance, epsilon)
    return call.done(result, inputs=5, attributes={"epsilon": epsilon})


def extremum(call: Call) -> Result:
    """Max and Min of any number of tensors."""
    operation = table.maximum if call.node.op == "Max" else table.minimum
    result: Value = call.stream()
    for index in range(1, len(call.inputs)):
        result = operation(result, call.stream(index=index))
    call.check_shape(result.shape)
    return call.island(result)


def where(call: Call) -> Result:
    """Where: one of two tensors, element by element."""
    condition, a, b = call.tensor(0), call.stream(index=1), call.stream(index=2)
    result = table.where(a, b, condition.shape)
    call.check_shape(result.shape)
    return call.island(Tensor.named("", result, a.element))


def power(call: Call) -> Result:
    """Pow with the constant exponent 2."""
    x, exponent = call.stream(), call.constant(1, "exponent")
    if exponent.size != 1 or float(exponent.reshape(())) != 2:
        raise Unstated("a power other than a square")
    shape = call.check_shape(broadcast_shape(x.shape, exponent.shape))
    square = table.expand(table.mul(x, x), shape)
    limit = np.maximum(np.abs(square.lo), np.abs(square.hi)) * (1 + 2.0**-18)
    return call.island(Value.interval(shape, np.zeros(()), limit, square.origin))
