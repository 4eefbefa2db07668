"""What FINN's conversion expects of quantizers: rules FINN-01 to FINN-09.

Read from FINN's ``main`` branch (0.10.1 and later): ``transformation/qonnx/qonnx_activation_handlers.py``,
``quant_act_to_multithreshold.py`` and ``fold_quant_weights.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from brevitas_a2q._ir.layers import DOT_PRODUCTS
from brevitas_a2q._ir.network import Network, Node
from brevitas_a2q._ir.quantizer import Quantizer
from brevitas_a2q.hw._finn.rules import Finding

__all__ = ["QUANTIZER_RULES", "Finding", "Rule", "behind", "identity_is_signed"]

_MAX_THRESHOLD_BITS: Final = 8  # default of max_multithreshold_bit_width in FINN's build configuration


Rule = Callable[[Network], Iterator[Finding]]


def relu_is_unsigned(network: Network) -> Iterator[Finding]:
    """FINN-01: a quantizer behind a ReLU is unsigned and not narrow (``QuantReluHandler``)."""
    for node, quantizer in _activations(network):
        if behind(network, node) != "Relu" or quantizer.dtype.name == "BIPOLAR":
            continue
        if quantizer.dtype.signed or quantizer.narrow:
            kind = "signed" if quantizer.dtype.signed else "narrow"
            yield _finding("FINN-01", node, f"a {kind} quantizer behind a ReLU", "use QuantReLU's unsigned default")


def identity_is_signed(network: Network) -> Iterator[Finding]:
    """FINN-02: any other activation quantizer, the network's input included, is signed (``QuantIdentityHandler``)."""
    for node, quantizer in _activations(network):
        source = behind(network, node)
        if source != "Relu" and not quantizer.dtype.signed:
            where = "at the network's input" if source is None else f"behind {source}"
            yield _finding(
                "FINN-02",
                node,
                f"an unsigned quantizer {where}",
                "use a signed one there (QuantIdentity with Int8ActPerTensorFloat), or build it by a hand-over, whose "
                "own steps put a ReLU in front; at the input, a data type of its integers does without a quantizer",
            )


def zero_points_are_zero(network: Network) -> Iterator[Finding]:
    """FINN-03: every zero-point is 0 (both handlers, and ``FoldQuantWeights``)."""
    remedy = "use a symmetric quantizer, such as Int8ActPerTensorFloat or Int8WeightPerChannelFloat"
    for node, quantizer in _activations(network):
        if quantizer.zero_point.any():
            yield _finding("FINN-03", node, f"zero-point {quantizer.zero_point.flat[0]:g}", remedy)
    for node in _products(network):
        codes = network.tensors[node.inputs[1]].codes
        if codes is not None and codes.zero_point.any():
            yield _finding("FINN-03", node, "weights with a zero-point", remedy)


def rounds_to_nearest(network: Network) -> Iterator[Finding]:
    """FINN-04: activations round to nearest. FINN does not look at the mode: its thresholds always do."""
    for node, quantizer in _activations(network):
        if quantizer.rounding_mode.upper() not in ("ROUND", "HALF_EVEN"):
            yield _finding(
                "FINN-04",
                node,
                f"rounding mode {quantizer.rounding_mode}, which thresholds would replace by rounding to nearest",
                "train with float_to_int_impl_type = ROUND for activations",
            )


def activations_are_narrow(network: Network) -> Iterator[Finding]:
    """FINN-05: activations have at most 8 bits (``default_filter_function_generator``): 2^n - 1 thresholds."""
    for node, quantizer in _activations(network):
        if quantizer.dtype.bit_width > _MAX_THRESHOLD_BITS:
            yield _finding(
                "FINN-05",
                node,
                f"{quantizer.dtype.bit_width} bits",
                f"use at most {_MAX_THRESHOLD_BITS} bits, or raise max_multithreshold_bit_width in FINN's build",
            )


def activation_scales_are_single(network: Network) -> Iterator[Finding]:
    """FINN-06: an activation has one scale. A scale per channel cannot move past the next dot product."""
    for node, quantizer in _activations(network):
        if quantizer.scale.size > 1 and (quantizer.scale != quantizer.scale.flat[0]).any():
            yield _finding(
                "FINN-06", node, f"{quantizer.scale.size} scales", "quantize activations with one scale per tensor"
            )


def bipolar_scale_is_one(network: Network) -> Iterator[Finding]:
    """FINN-07: a bipolar activation that is not behind a ReLU has scale 1 (``QuantIdentityHandler``)."""
    for node, quantizer in _activations(network):
        if quantizer.dtype.name == "BIPOLAR" and behind(network, node) != "Relu" and (quantizer.scale != 1).any():
            yield _finding(
                "FINN-07", node, f"bipolar values at scale {quantizer.scale.flat[0]:g}", "fix the scale to 1 (const)"
            )


def weight_scales_are_per_channel(network: Network) -> Iterator[Finding]:
    """FINN-08: weights are signed, and have one scale, or one per output channel (``FoldQuantWeights``)."""
    for node in _products(network):
        codes = network.tensors[node.inputs[1]].codes
        if codes is None:
            continue
        axis = {"Conv": 0, "ConvTranspose": 1, "MatMul": -1}[node.op]
        if codes.scale.size > 1 and codes.scale.size != codes.scale.shape[axis]:
            yield _finding(
                "FINN-08", node, f"weight scales of shape {codes.scale.shape}", "use one scale per output channel"
            )
        if not codes.dtype.signed:
            yield _finding("FINN-08", node, f"{codes.dtype.name} weights", "use a signed, narrow weight quantizer")


def weights_are_not_shared(network: Network) -> Iterator[Finding]:
    """FINN-09: a weight quantizer feeds one node (``FoldQuantWeights``)."""
    for node in _products(network):
        users = [user.name for user in network.consumers(node.inputs[1])]
        if len(users) > 1 and users[0] == node.name:
            yield _finding("FINN-09", node, f"weights shared with {', '.join(users[1:])}", "give each layer its own")


QUANTIZER_RULES: Final[tuple[Rule, ...]] = (
    relu_is_unsigned,
    identity_is_signed,
    zero_points_are_zero,
    rounds_to_nearest,
    activations_are_narrow,
    activation_scales_are_single,
    bipolar_scale_is_one,
    weight_scales_are_per_channel,
    weights_are_not_shared,
)


def behind(network: Network, node: Node) -> str | None:
    """The operator that feeds a node's first input; None for the network's input."""
    producer = network.producer(node.inputs[0])
    return None if producer is None else producer.file_op


def _activations(network: Network) -> Iterator[tuple[Node, Quantizer]]:
    for node in network.nodes:
        quantizer = node.attributes.get("quantizer")
        if isinstance(quantizer, Quantizer):
            yield node, quantizer


def _products(network: Network) -> Iterator[Node]:
    return (node for node in network.nodes if node.op in DOT_PRODUCTS)


def _finding(rule: str, node: Node, found: str, mend: str) -> Finding:
    return Finding(rule, node.name, node.file_op, found, mend)
