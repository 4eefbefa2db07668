"""Dot products: Conv, ConvTranspose and MatMul with constant integer weights."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any, Final

import numpy as np

from brevitas_a2q.bounds import IntRange
from brevitas_a2q.ir.datatypes import IntType
from brevitas_a2q.ir.dot_product import IntArray
from brevitas_a2q.ir.layers import product_ranges, rows_of, sum_ranges
from brevitas_a2q.ir.network import Node
from brevitas_a2q.ir.rules.call import Call, align
from brevitas_a2q.ir.rules.windows import read_window
from brevitas_a2q.ir.tensor import Codes, Tensor, integer_sum_fits

__all__ = ["conv", "conv_transpose", "matmul"]

Result = tuple[Node, tuple[Tensor, ...]]

_MAX_PHASES: Final = 1 << 22
_QUANTIZE_INPUT = "quantize it before this layer (input_quant, or a QuantIdentity or QuantReLU in front)"
_QUANTIZE_WEIGHTS = "give the layer a weight quantizer and export it with export_qonnx"


def conv(call: Call) -> Result:
    """Convolution in one or two dimensions, grouped or depthwise."""
    x, weights = call.stream(3), call.tensor(1)
    groups = call.attribute("group", 1)
    kernel = weights.shape[2:]
    if len(weights.shape) != len(x.shape) or not 1 <= groups <= x.shape[1] or weights.shape[0] % groups:
        raise call.error(
            f"found weights of shape {weights.shape}, {groups} groups", expected="(out, in/groups, *kernel)"
        )
    if weights.shape[1] * groups != x.shape[1]:
        raise call.error(f"found {weights.shape[1]} x {groups} input channels", expected=f"{x.shape[1]}")
    window = read_window(call, kernel, x.shape[2:])
    shape = (x.shape[0], weights.shape[0], *window.output_size(x.shape[2:]))
    return _product(call, x, weights, call.check_shape(shape), {"group": groups, **window.attributes})


def conv_transpose(call: Call) -> Result:
    """Transposed convolution in one or two dimensions."""
    x, weights = call.stream(3), call.tensor(1)
    groups, kernel = call.attribute("group", 1), weights.shape[2:]
    if len(weights.shape) != len(x.shape) or weights.shape[0] != x.shape[1] or not groups >= 1 or x.shape[1] % groups:
        raise call.error(f"found weights of shape {weights.shape}, {groups} groups", expected=f"({x.shape[1]}, ...)")
    if call.attribute("auto_pad", "NOTSET") != "NOTSET" or "output_shape" in call.node.attributes:
        raise call.error("found auto_pad or output_shape", expected="explicit pads and output_padding")
    window = read_window(call, kernel, x.shape[2:])
    if prod(window.strides) * prod(kernel) > _MAX_PHASES:
        raise call.error(f"found kernel {kernel}, strides {window.strides}", expected="smaller ones")
    extra = call.sizes("output_padding", (0,) * len(kernel), low=0)
    size = tuple(
        (x.shape[2 + d] - 1) * window.strides[d]
        - window.pads[d]
        - window.pads[d + len(kernel)]
        + window.dilations[d] * (kernel[d] - 1)
        + 1
        + extra[d]
        for d in range(len(kernel))
    )
    shape = call.check_shape((x.shape[0], weights.shape[1] * groups, *size))
    return _product(call, x, weights, shape, {"group": groups, "output_padding": extra, **window.attributes})


def matmul(call: Call) -> Result:
    """Product of a stream of vectors by a constant matrix of shape (inputs, outputs)."""
    x, weights = call.stream(2), call.tensor(1)
    if x.value is not None:
        raise call.error("found a constant on the left", expected="stream times constant matrix", remedy="transpose it")
    if len(weights.shape) != 2 or weights.shape[0] != x.shape[-1]:
        raise call.error(f"found shapes {x.shape} and {weights.shape}", expected=f"a matrix of {x.shape[-1]} rows")
    return _product(call, x, weights, call.check_shape((*x.shape[:-1], weights.shape[1])), {})


def _product(call: Call, x: Tensor, weights: Tensor, shape: tuple[int, ...], attributes: dict[str, Any]) -> Result:
    if weights.value is None:
        raise call.error("found a product of two streams", expected="constant weights")
    if weights.codes is None or weights.integers is None:
        raise call.error("found float weights", expected="integer weights (Quant)", remedy=_QUANTIZE_WEIGHTS)
    if x.codes is None:
        raise call.error("found a float input", expected="integers (the output of Quant)", remedy=_QUANTIZE_INPUT)
    node = replace(call.node, inputs=call.node.inputs[:2], attributes=attributes)
    lo, hi = _sum_range(replace(call, node=node), x, weights)
    output_axis = len(shape) - 1 if node.op == "MatMul" else 1
    vector = (1,) * output_axis + (-1,) + (1,) * (len(shape) - 1 - output_axis)
    dtype = IntType.smallest(IntRange(int(lo.min()), int(hi.max())))
    codes = Codes(
        _sum_scale(replace(call, node=node), x.codes, weights, shape, vector),
        lo.reshape(vector),
        hi.reshape(vector),
        dtype,
        np.zeros((), np.int64),
    )
    return node, (call.of_codes(shape, codes),)


def _sum_range(call: Call, x: Tensor, weights: Tensor) -> tuple[IntArray, IntArray]:
    """Lowest and highest sum of every output channel, 0 being possible for every input."""
    assert x.codes is not None
    assert weights.integers is not None
    largest = max(abs(x.codes.range.lo), abs(x.codes.range.hi))
    heaviest = int(np.abs(weights.integers).max(initial=0))
    if not integer_sum_fits(largest * heaviest * max(1, weights.integers.size)):
        raise call.error("computes sums beyond 62 bits", expected="narrower weights or inputs")
    rows = rows_of(call.node, weights.integers)
    x_lo, x_hi = product_ranges(call.node, x, weights.shape)
    lo, hi = sum_ranges(rows, x_lo, x_hi)
    channels = weights.shape[1] * call.node.attributes.get("group", 1)
    if call.node.op == "ConvTranspose":  # rows of one channel's phases follow each other
        lo, hi = lo.reshape(channels, -1).min(axis=1), hi.reshape(channels, -1).max(axis=1)
    return lo, hi


def _sum_scale(call: Call, x: Codes, w: Tensor, shape: tuple[int, ...], vector: tuple[int, ...]) -> Any:
    """Scale of every output channel; one channel's products must all have the same."""
    assert w.codes is not None
    axis, groups = {"Conv": 0, "ConvTranspose": 1, "MatMul": 1}[call.node.op], call.node.attributes.get("group", 1)
    per_output = align(w.codes.scale, len(w.shape))
    if per_output.size > 1 and per_output.size != per_output.shape[axis]:
        raise call.error("found weight scales that differ within an output channel", expected="one per output channel")
    weight_scale = per_output.reshape(-1)
    if call.node.op == "ConvTranspose" and weight_scale.size > 1:
        weight_scale = np.tile(weight_scale, groups)
    scale = x.scale.reshape(-1)
    if scale.size > 1:
        channels = x.scale.shape[1] if call.node.op != "MatMul" and x.scale.ndim > 1 else 0
        if channels != groups or x.scale.size != channels:
            raise call.error(
                "found input scales that differ between channels",
                expected="one scale for all inputs of a sum",
                remedy="quantize per tensor, and let one quantizer serve streams that are joined in front",
            )
        scale = np.repeat(scale, shape[1] // groups)
    return (scale * weight_scale).reshape(vector if (scale * weight_scale).size > 1 else ())
