"""What the exported file says about itself: names of layers, accumulator widths, data types, the certificate.

QONNX has no field for the width of an accumulator (UPSTREAM row 14). It is written

1. as properties of the layer's node, see :mod:`brevitas_a2q._ir.metadata`: target P, tile, outer width, exact range and
   required width, hash of the integer weights;
2. as QONNX data type of the layer's output tensor: ``INT<P>`` where that tensor holds the integer sum itself, which it
   does only if the scales of input and weights multiply to 1; ``SCALEDINT<P>``, integers of P bits times a scale,
   where they do not. A float bias makes the output neither, and it stays ``FLOAT32``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from qonnx.core.datatype import DataType

from brevitas_a2q._ir.metadata import (
    ACCUMULATOR_BIT_WIDTH,
    ACCUMULATOR_LOWER,
    ACCUMULATOR_TILE,
    ACCUMULATOR_UPPER,
    CERTIFICATE_SHA256,
    OUTER_ACCUMULATOR_BIT_WIDTH,
    REQUIRED_BIT_WIDTH,
    WEIGHTS_SHA256,
    ZERO_POINT,
)
from brevitas_a2q._ir.network import Network
from brevitas_a2q.export._cleaning import get_property, set_property
from brevitas_a2q.export._indexed import InferDataTypes
from brevitas_a2q.export._shapes import wrapped
from brevitas_a2q.export._tracing import LAYER, QUANTIZER
from brevitas_a2q.verify._certificate import Certificate

__all__ = [
    "LayerNode",
    "annotate_certificate",
    "annotate_data_types",
    "annotate_targets",
    "name_nodes",
]

_DOT_PRODUCTS: Final = ("Conv", "ConvTranspose", "MatMul", "Gemm")
_PASSING: Final = ("Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Cast")
_WEIGHT_QUANT: Final = "weight_quant"
_LARGEST_EXACT_IN_FLOAT32: Final = 25  # bits of a signed integer


@dataclass(frozen=True, eq=False)
class LayerNode:
    """The node that computes a layer's dot products."""

    module: str  # qualified name of the layer's module
    node: Any  # onnx.NodeProto


def name_nodes(model: Any, root: str) -> list[LayerNode]:
    """Name quantizers and layers after the modules they come from, in place.

    A layer that is called more than once has a node per call, ``name``, ``name_1`` and so on.

    Args:
        model: ``onnx.ModelProto`` with named quantizers.
        root: What to call the network if it is one layer itself.

    Returns:
        The layers with quantized weights, in the file's order.
    """
    consumers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for tensor in node.input:
            consumers.setdefault(tensor, []).append(node)
    layer_of: dict[int, str] = {}
    for node in model.graph.node:
        quantizer = get_property(node, QUANTIZER)
        owner, _, role = (quantizer or "").rpartition(".")
        if role == _WEIGHT_QUANT:
            for layer in _dot_products_behind(node, consumers):
                layer_of[id(layer)] = owner or root
    count: Counter[str] = Counter()
    layers = []
    for node in model.graph.node:
        name = layer_of.get(id(node)) or get_property(node, QUANTIZER)
        if name is None:
            continue
        node.name = f"{name}_{count[name]}" if count[name] else name
        count[name] += 1
        if id(node) in layer_of:
            set_property(node, LAYER, name)
            layers.append(LayerNode(name, node))
    return layers


def _dot_products_behind(node: Any, consumers: Mapping[str, Sequence[Any]]) -> list[Any]:
    found = []
    for after in consumers.get(node.output[0], ()):
        if after.op_type in _DOT_PRODUCTS:
            found.append(after)
        elif after.op_type in (*_PASSING, "DequantizeLinear", "Clip"):
            found += _dot_products_behind(after, consumers)
    return found


def annotate_targets(layers: Sequence[LayerNode], claim: Certificate) -> None:
    """Write the width, tile and outer width that each layer was trained for on its node."""
    covered = {layer.name for layer in claim.layers}
    for layer in layers:
        if layer.module not in covered:  # no integers arrive at it; the certificate says so
            continue
        target = claim.layers[layer.module]
        if target.accumulator_bit_width is None:
            continue
        set_property(layer.node, ACCUMULATOR_BIT_WIDTH, target.accumulator_bit_width)
        if target.tile is not None:
            set_property(layer.node, ACCUMULATOR_TILE, target.tile)
        if target.zero_point is not None:
            set_property(layer.node, ZERO_POINT, target.zero_point)
        if target.outer is not None and target.outer.accumulator_bit_width is not None:
            set_property(layer.node, OUTER_ACCUMULATOR_BIT_WIDTH, target.outer.accumulator_bit_width)


def annotate_data_types(model: Any, network: Network) -> None:
    """Infer QONNX's data types, and give each layer with a target width the type that says so, in place.

    Args:
        model: ``onnx.ModelProto`` with targets on its layers' nodes.
        network: The same file as integers, which knows the scale of every tensor.
    """
    wrapper = wrapped(model)
    # Not wrapper.transform: it copies, and the nodes are known by identity here.
    InferDataTypes(allow_scaledint_dtypes=True).apply(wrapper)
    for node in wrapper.graph.node:
        width = get_property(node, OUTER_ACCUMULATOR_BIT_WIDTH) or get_property(node, ACCUMULATOR_BIT_WIDTH)
        output = network.tensors.get(node.output[0])
        if width is None or output is None or output.codes is None:
            continue
        exact = output.codes.uniform_scale == 1.0 and int(width) <= _LARGEST_EXACT_IN_FLOAT32
        wrapper.set_tensor_datatype(node.output[0], DataType[f"INT{width}" if exact else f"SCALEDINT<{width}>"])


def annotate_certificate(model: Any, layers: Sequence[LayerNode], certificate: Certificate, digest: str) -> None:
    """Write what was certified: per layer its exact range, required width and weights' hash; the certificate's hash."""
    covered = {layer.name for layer in certificate.layers}
    for layer in layers:
        if layer.node.name not in covered:
            continue
        found = certificate.layers[layer.node.name]
        whole = found.outer or found.sums
        set_property(layer.node, REQUIRED_BIT_WIDTH, found.required_bit_width)
        set_property(layer.node, ACCUMULATOR_LOWER, min(whole.lower))
        set_property(layer.node, ACCUMULATOR_UPPER, max(whole.upper))
        set_property(layer.node, WEIGHTS_SHA256, found.weights_sha256)
    set_property(model, CERTIFICATE_SHA256, digest)
