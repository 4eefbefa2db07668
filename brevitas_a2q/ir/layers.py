"""From the nodes of a network to its integer dot products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from brevitas_a2q.bounds import required_bit_width
from brevitas_a2q.ir.dot_product import DotProductLayer, IntArray
from brevitas_a2q.ir.metadata import ACCUMULATOR_BIT_WIDTH, ACCUMULATOR_TILE, OUTER_ACCUMULATOR_BIT_WIDTH
from brevitas_a2q.ir.network import Network, Node
from brevitas_a2q.ir.rows import conv_rows, conv_transpose_rows
from brevitas_a2q.ir.tensor import Codes, Tensor

__all__ = ["DOT_PRODUCTS", "dot_product_layers", "product_ranges", "rows_of", "sum_ranges", "trained_width"]

DOT_PRODUCTS = ("Conv", "ConvTranspose", "MatMul")


def rows_of(node: Node, weights: IntArray) -> IntArray:
    """Weights of a node as one row of products per output; shape (channels, K), see :mod:`brevitas_a2q.ir.rows`."""
    if node.op == "MatMul":
        return np.ascontiguousarray(weights.T)
    if node.op == "ConvTranspose":
        a = node.attributes
        return conv_transpose_rows(weights, a["group"], a["strides"], a["dilations"])
    return conv_rows(weights)


def product_ranges(node: Node, x: Tensor, weight_shape: tuple[int, ...]) -> tuple[IntArray, IntArray]:
    """Lowest and highest integer that each product multiplies, 0 included; shapes broadcast to (channels, K).

    Args:
        node: Conv, ConvTranspose or MatMul with normalised attributes.
        x: Its input, with codes.
        weight_shape: Shape of its weights.
    """
    assert x.codes is not None
    bounds = np.minimum(x.codes.lo, 0), np.maximum(x.codes.hi, 0)
    lo = _per_product(node, x, weight_shape, bounds[0], np.min)
    return lo, _per_product(node, x, weight_shape, bounds[1], np.max)


def sum_ranges(rows: IntArray, x_lo: IntArray, x_hi: IntArray) -> tuple[IntArray, IntArray]:
    """Lowest and highest sum of each row's products; every product adds its own worst case.

    Args:
        rows: shape (channels, K).
        x_lo: Lowest input of each product; shape broadcastable to ``rows``.
        x_hi: Highest input of each product; shape broadcastable to ``rows``.

    Returns:
        Two arrays of shape (channels,).

    Example:
        >>> sum_ranges(np.array([[3, -2]]), np.array([[0]]), np.array([[15]]))
        (array([-30]), array([45]))
    """
    positive = np.maximum(rows, 0)
    negative = rows - positive
    low, high = (np.broadcast_to(x, rows.shape) for x in (x_lo, x_hi))
    lo = np.einsum("ck,ck->c", positive, low) + np.einsum("ck,ck->c", negative, high)
    hi = np.einsum("ck,ck->c", positive, high) + np.einsum("ck,ck->c", negative, low)
    return lo, hi


def _per_product(
    node: Node, x: Tensor, weight_shape: tuple[int, ...], bound: IntArray, reduce: Callable[..., Any]
) -> IntArray:
    if bound.size == 1:
        return bound.reshape(1, 1)
    if node.op == "MatMul":
        along = reduce(bound, axis=tuple(range(bound.ndim - 1)))
        return np.asarray(np.broadcast_to(along, (x.shape[-1],)), np.int64).reshape(1, -1)
    per_channel: IntArray = reduce(bound, axis=(0, *range(2, bound.ndim)))
    if per_channel.size == 1:
        return per_channel.reshape(1, 1)
    groups, kernel = node.attributes["group"], weight_shape[2:]
    if node.op == "ConvTranspose":
        spread = np.broadcast_to(per_channel.reshape(-1, 1, *(1 for _ in kernel)), weight_shape)
        return rows_of(node, np.ascontiguousarray(spread, np.int64))
    grouped = np.repeat(per_channel.reshape(groups, -1), weight_shape[0] // groups, axis=0)
    products: IntArray = np.repeat(grouped, int(np.prod(kernel)), axis=1)
    return products


def trained_width(network: Network, node: Node, key: str = ACCUMULATOR_BIT_WIDTH) -> int | None:
    """The width a file declares for a layer's accumulator, from the node's properties or its output's data type."""
    text = node.metadata.get(key)
    if text is None and key == ACCUMULATOR_BIT_WIDTH:
        name = network.data_types.get(node.output, "")
        text = name[3:] if name.startswith("INT") else None
    if text is None:
        return None
    if not text.isdecimal() or not 1 <= int(text[:9]) <= 1 << 20:
        raise node.error(f"found {key} = {text[:40]!r}", expected="a positive integer")
    return int(text)


def dot_product_layers(network: Network) -> tuple[DotProductLayer, ...]:
    """The integer dot products of a network, in order; see :meth:`Network.dot_product_layers`."""
    return tuple(_layer(network, node) for node in network.nodes if node.op in DOT_PRODUCTS)


def _layer(network: Network, node: Node) -> DotProductLayer:
    x, w = (network.tensors[name] for name in node.inputs[:2])
    if x.codes is None or w.codes is None or w.integers is None:
        raise node.error("found no integers", expected="quantized inputs and weights")
    x_lo, x_hi = product_ranges(node, x, w.shape)
    rows = rows_of(node, w.integers)
    type_lo, type_hi = x.codes.type_range()
    narrower = bool((x_lo > np.minimum(type_lo.min(), 0)).any() or (x_hi < np.maximum(type_hi.max(), 0)).any())
    return DotProductLayer(
        name=node.name,
        op=node.op,
        weights=rows,
        x_lo=x_lo,
        x_hi=x_hi,
        input_bit_width=x.codes.dtype.bit_width,
        input_signed=x.codes.dtype.signed,
        weight_bit_width=_weight_bits(w.codes),
        bias=_bias(network, node, rows.shape[0]),
        accumulator_bit_width=trained_width(network, node),
        tile=trained_width(network, node, ACCUMULATOR_TILE),
        outer_accumulator_bit_width=trained_width(network, node, OUTER_ACCUMULATOR_BIT_WIDTH),
        range_source=_range_source(network) if narrower else "data type",
    )


def _range_source(network: Network) -> str:
    if network.input_range is None:
        return "range analysis"
    return f"range analysis of inputs in [{network.input_range[0]:g}, {network.input_range[1]:g}]"


def _weight_bits(codes: Codes) -> int:
    """M, such that the data-type bound's ``|q| <= 2^(M-1)`` holds, for unsigned and offset weights too."""
    if codes.dtype.name == "BIPOLAR":
        return 1
    lo, hi = codes.type_range()
    return required_bit_width(int(lo.min()), int(hi.max()))


def bias_node(network: Network, node: Node) -> Node | None:
    """The Add that follows a layer alone, if what it adds is integral at the scale of the layer's sums."""
    followers = network.consumers(node.output)
    if len(followers) != 1 or followers[0].op not in ("Add", "Sub") or node.output in network.outputs:
        return None
    add = followers[0]
    constant, total = network.tensors[add.inputs[1]], network.tensors[add.output]
    return (
        add if constant.value is not None and total.codes is not None and not add.attributes.get("reversed") else None
    )


def _bias(network: Network, node: Node, rows: int) -> IntArray | None:
    add = bias_node(network, node)
    if add is None:
        return None
    before, after = network.tensors[node.output], network.tensors[add.output]
    assert before.codes is not None
    assert after.codes is not None
    axis = len(before.shape) - 1 if node.op == "MatMul" else 1
    offset = np.broadcast_to(after.codes.lo - before.codes.lo, after.codes.lo.shape)
    if offset.ndim and any(size > 1 for d, size in enumerate(offset.shape) if d != axis):
        return None
    channels = before.shape[axis]
    return np.repeat(np.broadcast_to(offset.reshape(-1), (channels,)), rows // channels)
