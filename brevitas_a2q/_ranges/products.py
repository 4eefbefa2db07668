"""Dot products: convolutions and matrix products with constant weights, and of two streams.

Where input and weights are integers, so are the sums; where either is not, only the ends of their real values are
known. Either way those ends hold the error of adding ``K`` products in float32, in any order: ``(K + 4) * 2^-24`` of
the sum of the products' magnitudes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np

from brevitas_a2q._ranges.annotation import Array, FloatArray, IntArray, RangeError, aligned, full_rank
from brevitas_a2q._ranges.pooling import exact_sums
from brevitas_a2q._ranges.rounding import UNIT, widened
from brevitas_a2q._ranges.rows import conv_rows, conv_transpose_rows
from brevitas_a2q._ranges.value import Codes, Value, integer_sum_fits
from brevitas_a2q._ranges.windows import Window

__all__ = [
    "Product",
    "conv",
    "conv_transpose",
    "matmul",
    "matmul_of",
    "product_ranges",
    "sum_ranges",
    "sum_scale",
]

_MAX_PHASES: Final = 1 << 22
_AXIS: Final = {"Conv": 0, "ConvTranspose": 1, "MatMul": 1}  # of the output channels in the weights


def sum_ranges(rows: Array, x_lo: Array, x_hi: Array) -> tuple[Array, Array]:
    """Lowest and highest sum of each row's products; every product adds its own worst case.

    Args:
        rows: Weights, integers or real.  # shape: (channels, K)
        x_lo: Lowest input of each product.  # shape: broadcastable to ``rows``
        x_hi: Highest input of each product.  # shape: broadcastable to ``rows``

    Returns:
        Two arrays of shape (channels,).

    Example:
        >>> sum_ranges(np.array([[3, -2]]), np.array([[0]]), np.array([[15]]))
        (array([-30]), array([45]))
    """
    positive = np.maximum(rows, 0)
    negative = rows - positive
    if x_lo.size == x_hi.size == 1:
        up, down = positive.sum(axis=1), negative.sum(axis=1)
        low, high = x_lo.reshape(()), x_hi.reshape(())
        return up * low + down * high, up * high + down * low
    low, high = (np.broadcast_to(x, rows.shape) for x in (x_lo, x_hi))
    lo = np.einsum("ck,ck->c", positive, low) + np.einsum("ck,ck->c", negative, high)
    hi = np.einsum("ck,ck->c", positive, high) + np.einsum("ck,ck->c", negative, low)
    return lo, hi


@dataclass(frozen=True)
class Product:
    """Which layer multiplies: how its weights lie, and how inputs belong to rows of products.

    Args:
        op: ``Conv``, ``ConvTranspose`` or ``MatMul``.
        groups: Of a convolution.
        stride: Of a transposed convolution, whose phases sum different taps.
        dilation: Likewise.
    """

    op: str
    groups: int = 1
    stride: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()

    def rows(self, weights: Array) -> Array:
        """Weights as one row of products per output; shape (channels, K), see :mod:`brevitas_a2q._ranges.rows`."""
        if self.op == "MatMul":
            return np.ascontiguousarray(weights.T)
        if self.op == "ConvTranspose":
            return conv_transpose_rows(weights, self.groups, self.stride, self.dilation)
        return conv_rows(weights)

    def per_product(self, bound: Array, inputs: int, weight_shape: Sequence[int], reduce: Callable[..., Any]) -> Array:
        """An annotation of the input for each product of each row; shape broadcastable to (channels, K).

        Args:
            bound: Annotation of the input, of its full rank or 0-dimensional.
            inputs: Its channels (features of a matrix product).
            weight_shape: Shape of the weights.
            reduce: ``np.min`` or ``np.max``, over all places that a product can meet.
        """
        if bound.size == 1:
            return bound.reshape(1, 1)
        if self.op == "MatMul":
            along = reduce(bound, axis=tuple(range(bound.ndim - 1)))
            return np.broadcast_to(along, (inputs,)).reshape(1, -1)
        per_channel = reduce(bound, axis=(0, *range(2, bound.ndim)))
        if per_channel.size == 1:
            return np.asarray(per_channel.reshape(1, 1))
        kernel = tuple(weight_shape[2:])
        if self.op == "ConvTranspose":
            spread = np.broadcast_to(per_channel.reshape(-1, 1, *(1 for _ in kernel)), tuple(weight_shape))
            return self.rows(np.ascontiguousarray(spread))
        by_group = per_channel.reshape(self.groups, -1)
        grouped = by_group if self.groups == 1 else np.repeat(by_group, weight_shape[0] // self.groups, axis=0)
        return np.repeat(grouped, prod(kernel), axis=1)


def product_ranges(product: Product, x: Value, weight_shape: Sequence[int]) -> tuple[IntArray, IntArray]:
    """Lowest and highest integer that each product multiplies, 0 included; shapes broadcast to (channels, K).

    Args:
        product: The layer.
        x: Its input, with codes.
        weight_shape: Shape of its weights.
    """
    assert x.codes is not None
    inputs = x.shape[-1] if product.op == "MatMul" else x.shape[1]
    ends = x.integer_ends()
    lo, hi = np.minimum(ends[0], 0), np.maximum(ends[1], 0)
    return (
        np.asarray(product.per_product(lo, inputs, weight_shape, np.min), np.int64),
        np.asarray(product.per_product(hi, inputs, weight_shape, np.max), np.int64),
    )


def conv(
    x: Value,
    weights: Value,
    stride: Sequence[int] | None = None,
    pads: Sequence[tuple[int, int]] | None = None,
    dilation: Sequence[int] | None = None,
    groups: int = 1,
) -> Value:
    """Convolution, grouped or depthwise, padded with zeros; weights of shape (out, in / groups, *kernel)."""
    if x.rank < 3 or weights.rank != x.rank or not 1 <= groups <= x.shape[1] or weights.shape[0] % groups:
        raise RangeError(
            f"found weights of shape {weights.shape}, {groups} groups", expected="(out, in/groups, *kernel)"
        )
    if weights.shape[1] * groups != x.shape[1]:
        raise RangeError(f"found {weights.shape[1]} x {groups} input channels", expected=f"{x.shape[1]}")
    window = Window.of(weights.shape[2:], stride, pads, dilation)
    shape = (x.shape[0], weights.shape[0], *window.positions(x.shape[2:]))
    if min(shape) < 1:
        raise RangeError(f"found an output of shape {shape}", expected="a kernel that fits its padded input")
    return _sum(Product("Conv", groups), x, weights, shape, 1)


def conv_transpose(
    x: Value,
    weights: Value,
    stride: Sequence[int] | None = None,
    pads: Sequence[tuple[int, int]] | None = None,
    dilation: Sequence[int] | None = None,
    groups: int = 1,
    output_padding: Sequence[int] | None = None,
) -> Value:
    """Transposed convolution; weights of shape (in, out / groups, *kernel)."""
    if x.rank < 3 or weights.rank != x.rank or weights.shape[0] != x.shape[1] or groups < 1 or x.shape[1] % groups:
        raise RangeError(f"found weights of shape {weights.shape}, {groups} groups", expected=f"({x.shape[1]}, ...)")
    window = Window.of(weights.shape[2:], stride, pads, dilation)
    if prod(window.stride) * prod(window.kernel) > _MAX_PHASES:
        raise RangeError(f"found kernel {window.kernel}, strides {window.stride}", expected="smaller ones")
    extra = tuple(output_padding or (0,) * len(window.kernel))
    size = tuple(
        (n - 1) * window.stride[d] - sum(window.pads[d]) + window.span(d) + extra[d] for d, n in enumerate(x.shape[2:])
    )
    shape = (x.shape[0], weights.shape[1] * groups, *size)
    if min(shape) < 1:
        raise RangeError(f"found an output of shape {shape}", expected="a kernel that fits its input")
    product = Product("ConvTranspose", groups, window.stride, window.dilation)
    return _sum(product, x, weights, shape, 1)


def matmul(x: Value, weights: Value) -> Value:
    """Product of vectors along the last axis by a constant matrix of shape (inputs, outputs)."""
    if x.rank < 1 or weights.rank != 2 or weights.shape[0] != x.shape[-1]:
        raise RangeError(f"found shapes {x.shape} and {weights.shape}", expected="a matrix with a row for each input")
    return _sum(Product("MatMul"), x, weights, (*x.shape[:-1], weights.shape[1]), x.rank - 1)


def matmul_of(a: Value, b: Value, shape: Sequence[int], inner: int) -> Value:
    """Product of two streams, each output a sum of ``inner`` products: any element of one by any of the other."""
    origin = (
        f"product of {a.origin} and {b.origin}" if len(a.origin) + len(b.origin) < 100 else "product of two streams"
    )
    low_a, high_a, low_b, high_b = (
        float(f(e)) for v in (a, b) for f, e in zip((np.min, np.max), v.ends(), strict=True)
    )
    with np.errstate(all="ignore"):
        corners = np.array([p * q for p in (low_a, high_a) for q in (low_b, high_b)])
        reach = inner * np.abs(corners).max()
        error = (inner + 4) * UNIT * 1.01 * reach
    lo, hi = widened(np.asarray(inner * corners.min()), np.asarray(inner * corners.max()), error)
    codes = None
    x, y = a.codes, b.codes
    if x is not None and y is not None and x.uniform_scale is not None and y.uniform_scale is not None:
        products = [i * j for i in (x.range.lo, x.range.hi) for j in (y.range.lo, y.range.hi)]
        if integer_sum_fits(inner * max(map(abs, products))):
            scale = np.asarray(x.uniform_scale * y.uniform_scale)
            codes = Codes.plain(scale, np.asarray(inner * min(products)), np.asarray(inner * max(products)))
    return Value.of(tuple(shape), codes, lo, hi, origin)


def _sum(product: Product, x: Value, weights: Value, shape: tuple[int, ...], axis: int) -> Value:
    if weights.number is None:
        raise RangeError("found weights that are no constants", expected="constants")
    vector = tuple(-1 if d == axis else 1 for d in range(len(shape)))
    origin = f"sum of products of {x.origin}"
    codes = _integer_sum(product, x, weights, shape, vector)
    lo, hi = _real_sum(product, x, weights, shape, codes)
    return Value.of(shape, codes, lo.reshape(vector), hi.reshape(vector), origin)


def _real_sum(
    product: Product, x: Value, weights: Value, shape: tuple[int, ...], codes: Codes | None
) -> tuple[FloatArray, FloatArray]:
    """Ends of every output channel's real value."""
    assert weights.number is not None
    inputs = x.shape[-1] if product.op == "MatMul" else x.shape[1]
    if codes is not None and x.codes is not None and _follows(x, x.codes):
        ends = codes.scale * codes.lo, codes.scale * codes.hi
        taps = _taps(product, weights.shape)
        reach = np.abs(ends[1] - ends[0])
        largest = max(abs(codes.range.lo), abs(codes.range.hi), codes.range.hi - codes.range.lo)
        exact = exact_sums(codes, largest) and exact_sums(x.codes, 0) and _follows(x, x.codes, 0.0)
        error = 0.0 if exact else (taps + 8) * UNIT * 1.01 * reach
        return widened(np.minimum(*ends), np.maximum(*ends), error)
    rows = product.rows(weights.number.astype(np.float64))
    low, high = (np.minimum(x.ends()[0], 0), np.maximum(x.ends()[1], 0))
    each = [
        product.per_product(full_rank(end, x.rank) if end.ndim else end, inputs, weights.shape, reduce)
        for end, reduce in ((low, np.min), (high, np.max))
    ]
    with np.errstate(all="ignore"):
        lo, hi = sum_ranges(rows, each[0], each[1])
        error = (rows.shape[1] + 8) * UNIT * 1.01 * (hi - lo)
    lo, hi = widened(lo, hi, error)
    if product.op == "ConvTranspose":
        channels = weights.shape[1] * product.groups
        lo, hi = lo.reshape(channels, -1).min(axis=1), hi.reshape(channels, -1).max(axis=1)
    return lo, hi


def _taps(product: Product, weight_shape: Sequence[int]) -> int:
    if product.op == "MatMul":
        return weight_shape[0]
    if product.op == "Conv":
        return prod(weight_shape[1:])
    return weight_shape[0] // product.groups * prod(weight_shape[2:])


def _follows(x: Value, codes: Codes, tolerance: float = 4 * UNIT) -> bool:
    """Whether the ends of the real value are those of the integers, up to a rounding or two."""
    with np.errstate(all="ignore"):
        try:
            return all(
                bool((np.abs(end - ideal) <= tolerance * np.abs(ideal)).all())
                for end, ideal in zip(x.ends(), codes.interval(), strict=True)
            )
        except ValueError:
            return False


def _integer_sum(
    product: Product, x: Value, weights: Value, shape: tuple[int, ...], vector: tuple[int, ...]
) -> Codes | None:
    w = weights.codes
    if x.codes is None or w is None:
        return None
    scale = sum_scale(product, x, weights, shape)
    if scale is None:
        return None
    integers = np.broadcast_to(w.lo, weights.shape)
    ends = x.integer_ends()
    largest = max(abs(int(ends[0].min())), abs(int(ends[1].max())))
    heaviest = int(np.abs(integers).max(initial=0))
    if not integer_sum_fits(largest * heaviest * max(1, integers.size)):
        return None
    lo, hi = sum_ranges(product.rows(integers), *product_ranges(product, x, weights.shape))
    if product.op == "ConvTranspose":  # rows of one channel's phases follow each other
        channels = weights.shape[1] * product.groups
        lo, hi = lo.reshape(channels, -1).min(axis=1), hi.reshape(channels, -1).max(axis=1)
    return Codes.plain(scale.reshape(vector) if scale.size > 1 else scale, lo.reshape(vector), hi.reshape(vector))


def sum_scale(product: Product, x: Value, weights: Value, shape: Sequence[int]) -> FloatArray | None:
    """Scale of every output channel's sum; None where products of one sum have different scales.

    Returns:
        0-dimensional or of shape (channels,).
    """
    assert x.codes is not None
    assert weights.codes is not None
    per_output = aligned(weights.codes.scale, weights.rank)
    if per_output.size > 1 and per_output.size != per_output.shape[_AXIS[product.op]]:
        return None
    weight_scale = per_output.reshape(-1)
    if product.op == "ConvTranspose" and weight_scale.size > 1:
        weight_scale = np.tile(weight_scale, product.groups)
    scale = aligned(x.codes.scale, x.rank)
    if scale.size > 1:
        if product.op == "MatMul" or scale.size != scale.shape[1] or scale.shape[1] != product.groups:
            return None
        scale = np.repeat(scale.reshape(-1), shape[1] // product.groups)
    result = scale.reshape(-1) * weight_scale
    return result.reshape(()) if result.size == 1 else result
