"""From the nodes of a network to its integer dot products."""

from __future__ import annotations

import numpy as np

from brevitas_a2q._ir.dot_product import MORE_WEIGHTS, DotProductLayer, IntArray
from brevitas_a2q._ir.metadata import ACCUMULATOR_BIT_WIDTH, ACCUMULATOR_TILE, OUTER_ACCUMULATOR_BIT_WIDTH, ZERO_POINT
from brevitas_a2q._ir.network import Network, Node
from brevitas_a2q._ir.tensor import Codes, Tensor
from brevitas_a2q._ranges import Window, products
from brevitas_a2q._ranges.products import Product, sum_ranges
from brevitas_a2q.bounds import IntRange, required_bit_width

__all__ = ["DOT_PRODUCTS", "dot_product_layers", "product_ranges", "rows_of", "sum_ranges", "trained_width"]

DOT_PRODUCTS = ("Conv", "ConvTranspose", "MatMul")


def product_of(node: Node) -> Product:
    """How a node multiplies."""
    a = node.attributes
    if node.op == "MatMul":
        return Product("MatMul")
    return Product(node.op, a["group"], tuple(a["strides"]), tuple(a["dilations"]))


def rows_of(node: Node, weights: IntArray) -> IntArray:
    """Weights of a node as one row of products per output; shape (channels, K), :mod:`brevitas_a2q._ranges.rows`."""
    return product_of(node).rows(weights)


def product_ranges(node: Node, x: Tensor, weight_shape: tuple[int, ...]) -> tuple[IntArray, IntArray]:
    """Lowest and highest integer that each product multiplies, 0 included; shapes broadcast to (channels, K).

    Args:
        node: Conv, ConvTranspose or MatMul with normalised attributes.
        x: Its input, with codes.
        weight_shape: Shape of its weights.
    """
    return products.product_ranges(product_of(node), x, weight_shape)


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


def _datapath(node: Node) -> str:
    """Which datapath a file says that a layer's width is for."""
    found = node.metadata.get(ZERO_POINT, "subtracted")
    if found not in ("subtracted", "raw"):
        raise node.error(f"found {ZERO_POINT} = {found[:40]!r}", expected="subtracted or raw")
    return found


def dot_product_layers(network: Network) -> tuple[DotProductLayer, ...]:
    """The integer dot products of a network, in order; see :meth:`Network.dot_product_layers`."""
    rows: dict[tuple[str, Product], IntArray] = {}  # weights that several layers share are laid out once
    found, more = [], 0
    for node in network.nodes:
        if node.op in DOT_PRODUCTS:
            whole = _layer(network, node, rows)
            layer = _where_covered(network, node, whole)
            if layer is not whole and more + layer.weights.size > MORE_WEIGHTS:
                layer = whole  # of all taps, which is never too few
            more += layer.weights.size if layer.weights is not rows[_key(network, node)] else 0
            if more > MORE_WEIGHTS:
                raise node.error(f"needs {more} weights beside those of the file", expected=f"at most {MORE_WEIGHTS}")
            found.append(layer)
    return tuple(found)


def _key(network: Network, node: Node) -> tuple[str, Product]:
    return network.tensors[node.inputs[1]].name, product_of(node)


def _layer(network: Network, node: Node, known: dict[tuple[str, Product], IntArray]) -> DotProductLayer:
    x, w = (network.tensors[name] for name in node.inputs[:2])
    assert x.codes is not None
    assert w.codes is not None
    assert w.integers is not None
    x_lo, x_hi = product_ranges(node, x, w.shape)
    turned = bool((x.codes.scale < 0).any() or (w.codes.scale < 0).any())
    raw = x.codes.raw_range
    if turned:
        raw = raw and IntRange(min(raw.lo, -raw.hi), max(raw.hi, -raw.lo))
        x_lo, x_hi = np.minimum(x_lo, -x_hi), np.maximum(x_hi, -x_lo)
    key = _key(network, node)
    if key not in known:
        known[key] = rows_of(node, w.integers)
    rows = known[key]
    type_lo, type_hi = x.codes.type_range()
    narrower = bool((x_lo > np.minimum(type_lo.min(), 0)).any() or (x_hi < np.maximum(type_hi.max(), 0)).any())
    layer = DotProductLayer(
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
        notes=("a negative scale turns its integers: either sign of them is allowed for",) if turned else (),
        raw=raw,
        zero_point=_datapath(node),
    )
    return layer.either_sign() if turned else layer


def _where_covered(network: Network, node: Node, layer: DotProductLayer) -> DotProductLayer:
    if node.op != "Conv":
        return layer
    x, w = (network.tensors[name] for name in node.inputs[:2])
    a, axes = node.attributes, len(w.shape) - 2
    pads = list(zip(a["pads"][:axes], a["pads"][axes:], strict=True))
    return layer.where_covered(Window.of(w.shape[2:], a["strides"], pads, a["dilations"]), x.shape[2:])


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
    offset = np.asarray(after.codes.lo - before.codes.lo)
    if offset.ndim and any(size > 1 for d, size in enumerate(offset.shape) if d != axis):
        return None
    channels = before.shape[axis]
    return np.repeat(np.broadcast_to(offset.reshape(-1), (channels,)), rows // channels)
