"""Dot products: Conv, ConvTranspose and MatMul with constant weights; integers where input and weights are."""

from __future__ import annotations

from math import prod

from brevitas_a2q._ir.rules.call import Call, Result, Unstated
from brevitas_a2q._ir.rules.windows import read_window, window_attributes
from brevitas_a2q._ir.tensor import Tensor
from brevitas_a2q._ranges import Value, table
from brevitas_a2q.bounds import required_bit_width

__all__ = ["conv", "conv_transpose", "matmul"]


def conv(call: Call) -> Result:
    """Convolution in one to three dimensions, grouped or depthwise."""
    x, weights = _operands(call, 3)
    if len(weights.shape) != len(x.shape):
        raise call.error(f"found weights of shape {weights.shape}", expected="(out, in/groups, *kernel)")
    groups = call.attribute("group", 1)
    window = read_window(call, weights.shape[2:], x.shape[2:], most=3)
    result = table.conv(x, weights, window.stride, window.pads, window.dilation, groups)
    return _product(call, x, weights, result, group=groups, **window_attributes(window))


def conv_transpose(call: Call) -> Result:
    """Transposed convolution in one to three dimensions."""
    x, weights = _operands(call, 3)
    if len(weights.shape) != len(x.shape):
        raise call.error(f"found weights of shape {weights.shape}", expected="(in, out/groups, *kernel)")
    if call.attribute("auto_pad", "NOTSET") not in ("NOTSET", "") or "output_shape" in call.node.attributes:
        raise Unstated("auto_pad or output_shape of a transposed convolution")
    groups, kernel = call.attribute("group", 1), weights.shape[2:]
    window = read_window(call, kernel, x.shape[2:], most=3)
    extra = call.sizes("output_padding", (0,) * len(kernel), low=0)
    result = table.conv_transpose(x, weights, window.stride, window.pads, window.dilation, groups, extra)
    return _product(call, x, weights, result, group=groups, output_padding=extra, **window_attributes(window))


def matmul(call: Call) -> Result:
    """Product of a stream of vectors by a constant matrix of shape (inputs, outputs)."""
    x, weights = _operands(call, 2)
    if len(weights.shape) != 2:
        raise Unstated(f"a product with constants of shape {weights.shape}")
    return _product(call, x, weights, table.matmul(x, weights))


def _operands(call: Call, rank: int) -> tuple[Tensor, Tensor]:
    x, weights = call.stream(rank), call.stream(index=1)
    if weights.number is None:
        raise Unstated("constants on the left" if x.number is not None else _of_streams(call, x, weights))
    return x, weights


def _of_streams(call: Call, x: Tensor, y: Tensor) -> str:
    """What is known of a product of two streams: a width that suffices by the types of its integers."""
    if x.codes is None or y.codes is None:
        return f"product of two streams, not both of integers ({(x if x.codes is None else y).origin})"
    size = x.shape[-1]
    if call.node.op != "MatMul":
        size = prod(y.shape[1:]) if call.node.op == "Conv" else y.shape[0] * prod(y.shape[2:])
    (a, b), (c, d) = (v.codes.type_range() for v in (x, y) if v.codes is not None)
    corners = [int(p) * int(q) for p in (a.min(), b.max()) for q in (c.min(), d.max())]
    if (x.codes.scale < 0).any() or (y.codes.scale < 0).any():
        corners += [-corner for corner in corners]
    bits = required_bit_width(size * min(0, *corners), size * max(0, *corners))
    return f"product of two streams, {size} in a sum; {bits} bits suffice by their types"


def _product(call: Call, x: Tensor, weights: Tensor, result: Value, **attributes: object) -> Result:
    call.check_shape(result.shape)
    if result.codes is not None:
        return call.done(result, inputs=2, attributes=attributes)
    if weights.codes is None:
        return call.island(result, reason="float weights")
    if x.codes is None:
        return call.island(result, reason=f"float input ({x.origin})" if x.origin else "float input")
    if not (result.lo.size and result.bounded):
        return call.island(result, reason="sums beyond float32")
    return call.island(result, reason="scales that differ within a sum, or sums beyond 62 bits")
