"""What FINN's streamlining and its conversion to hardware layers expect of the graph: rules FINN-10 to FINN-25.

Read from FINN's ``main`` branch: ``transformation/streamline/reorder.py``,
``transformation/fpgadataflow/convert_to_hw_layers.py``, ``builder/build_dataflow_steps.py``; and from qonnx's
``lower_convs_to_matmul.py``, which FINN calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from brevitas_a2q._ir.layers import DOT_PRODUCTS
from brevitas_a2q._ir.network import Network, Node
from brevitas_a2q._ir.quantizer import Truncation
from brevitas_a2q.export._finn_quantizers import Finding, Rule, behind

__all__ = ["LAYER_RULES", "MENDED_RULES"]

_CONVERTED: Final = (
    *("Quant", "BipolarQuant", "MultiThreshold", "Trunc", "Conv", "ConvTranspose", "MatMul"),
    *("Add", "Sub", "Mul", "Div", "BatchNormalization", "Relu", "MaxPool", "AveragePool", "GlobalAveragePool"),
    *("Reshape", "Transpose", "Identity", "Concat", "Upsample", "Pad", "TopK"),
)
_HAND_OVER: Final = "build it by a hand-over, whose own steps convert it"
_QUANTIZERS: Final = ("Quant", "BipolarQuant", "MultiThreshold")


def batch_is_one(network: Network) -> Iterator[Finding]:
    """FINN-10: the batch size is 1: the lowered convolutions are written for one image."""
    for name in network.inputs:
        shape = network.tensors[name].shape
        if shape and shape[0] != 1:
            yield Finding("FINN-10", name, "input", f"shape {shape}", "export with example inputs of batch size 1")


def operators_are_known(network: Network) -> Iterator[Finding]:
    """FINN-11: every operator has a hardware layer, or is absorbed by one."""
    for node in network.nodes:
        if node.op not in _CONVERTED or node.attributes.get("reversed"):  # a constant minus, or by, the stream
            yield _finding(
                "FINN-11", node, "no hardware layer", "replace it, or cut the graph there and run it on a CPU"
            )


def relu_is_quantized(network: Network) -> Iterator[Finding]:
    """FINN-12: a ReLU goes straight into its quantizer, which absorbs it."""
    for node in network.nodes:
        if node.op == "Relu":
            users = network.consumers(node.output)
            if len(users) != 1 or users[0].op not in ("Quant", "BipolarQuant"):
                yield _finding("FINN-12", node, "no quantizer right behind it", "use QuantReLU, and pool after it")


def floats_end_in_a_quantizer(network: Network) -> Iterator[Finding]:
    """FINN-13: batch norms and biases stand between a dot product and a quantizer, or at the network's end.

    Thresholds absorb them there. Behind a quantizer and before a dot product they would make its input real.
    """
    for node in network.nodes:
        if node.op == "BatchNormalization" and behind(network, node) in _QUANTIZERS:
            yield _finding(
                "FINN-13", node, "batch norm right behind a quantizer", "put it between dot product and quantizer"
            )


def convolutions_are_dense_or_depthwise(network: Network) -> Iterator[Finding]:
    """FINN-14: a convolution has 2 spatial dimensions and is dense, or depthwise with as many outputs as inputs."""
    for node in network.nodes:
        if node.op not in ("Conv", "ConvTranspose"):
            continue
        inputs, outputs = (network.tensors[name].shape for name in (node.inputs[0], node.output))
        if len(inputs) != 4:
            yield _finding("FINN-14", node, f"input of shape {inputs}", "run qonnx's Change3DTo4DTensors first")
        group = node.attributes["group"]
        if group != 1 and not (group == inputs[1] == outputs[1]):
            yield _finding(
                "FINN-14",
                node,
                f"{group} groups of {inputs[1]} inputs and {outputs[1]} outputs",
                "use a dense convolution, or a depthwise one without channel multiplier",
            )


def downsampling_is_square(network: Network) -> Iterator[Finding]:
    """FINN-15: a strided 1x1 convolution has a square image and equal strides (``DownSampler``)."""
    for node in network.nodes:
        if node.op != "Conv" or set(node.attributes["kernel_shape"]) != {1}:
            continue
        strides, image = node.attributes["strides"], network.tensors[node.inputs[0]].shape[2:]
        if max(strides) > 1 and 1 not in image and (len(set(strides)) > 1 or len(set(image)) > 1):
            yield _finding("FINN-15", node, f"strides {strides} on {image}", "use equal strides on a square image")


def pooling_does_not_overlap(network: Network) -> Iterator[Finding]:
    """FINN-16: max pooling has stride = kernel, no padding, and divides a side (``StreamingMaxPool``).

    The build's default steps convert nothing else; a hand-over has a step with ``InferPool`` for overlapping windows.
    """
    for node in network.nodes:
        if node.op != "MaxPool":
            continue
        kernel, strides = node.attributes["kernel_shape"], node.attributes["strides"]
        image = network.tensors[node.inputs[0]].shape[2:]
        if kernel != strides or any(node.attributes.get("pads", ())):
            found = f"kernel {kernel}, strides {strides}, padding {node.attributes.get('pads')}"
            yield _finding("FINN-16", node, found, f"pool without overlap or padding, or {_HAND_OVER}")
        elif len(kernel) == 2 and 1 not in image and all(side % size for side, size in zip(image, kernel, strict=True)):
            yield _finding("FINN-16", node, f"kernel {kernel} on {image}", "choose a kernel that divides the image")


def averages_are_truncated(network: Network) -> Iterator[Finding]:
    """FINN-17: average pooling is square, unpadded, and followed by a ``Trunc`` that rounds down.

    That is what ``TruncAvgPool2d`` with FLOOR exports (``AvgPoolAndTruncToQuantAvgPool``).
    """
    for node in network.nodes:
        if node.op != "AveragePool":
            continue
        kernel, strides = node.attributes["kernel_shape"], node.attributes["strides"]
        users = network.consumers(node.output)
        if users and users[0].op == "Mul":
            users = network.consumers(users[0].output)
        truncation = users[0].attributes.get("quantizer") if len(users) == 1 else None
        square = len(kernel) == 2 and len({*kernel}) == 1 and len({*strides}) == 1
        if not square or any(node.attributes.get("pads", ())):
            yield _finding(
                "FINN-17",
                node,
                f"kernel {kernel}, strides {strides}",
                f"use a square kernel, no padding, or {_HAND_OVER}",
            )
        if not isinstance(truncation, Truncation) or truncation.rounding_mode.upper() != "FLOOR":
            mend = f"use brevitas.nn.TruncAvgPool2d, FLOOR, or {_HAND_OVER}"
            yield _finding("FINN-17", node, "no Trunc with rounding mode FLOOR behind it", mend)


def residual_branches_agree(network: Network) -> Iterator[Finding]:
    """FINN-18: both branches of an addition have one scale in common (``MoveLinearPastEltwiseAdd``) and one data type.

    ``InferAddStreamsLayer`` skips an addition of two types, and scales that differ stay in front of it as floats.
    """
    for node in network.nodes:
        if node.op != "Add" or any(network.tensors[name].value is not None for name in node.inputs):
            continue
        left, right = (network.tensors[name].codes for name in node.inputs)
        remedy = "quantize both branches by one QuantIdentity that they share"
        if left is None or right is None:
            yield _finding("FINN-18", node, "a branch that is not quantized", remedy)
        elif left.uniform_scale is None or left.uniform_scale != right.uniform_scale:
            yield _finding("FINN-18", node, f"scales {left.scale.flat[0]:g} and {right.scale.flat[0]:g}", remedy)
        elif left.dtype != right.dtype:
            yield _finding("FINN-18", node, f"data types {left.dtype.name} and {right.dtype.name}", remedy)


def concatenated_scales_agree(network: Network) -> Iterator[Finding]:
    """FINN-19: tensors that are concatenated have one scale in common, or it stays in front as a float."""
    for node in network.nodes:
        if node.op == "Concat":
            parts = [network.tensors[name].codes for name in node.inputs]
            scales = {None if codes is None else codes.uniform_scale for codes in parts}
            if len(scales) > 1 or None in scales:
                yield _finding(
                    "FINN-19", node, "branches of several scales", "quantize them by one shared QuantIdentity"
                )


def layers_have_weights(network: Network) -> Iterator[Finding]:
    """FINN-21: no layer's weights are all 0: FINN's accumulator of none is UINT0 (``minimize_accumulator_width``)."""
    for node in network.nodes:
        if node.op in DOT_PRODUCTS:
            weights = network.tensors[node.inputs[1]].integers
            if weights is not None and not weights.any():
                yield _finding("FINN-21", node, "weights that are all 0", "leave the layer out, or train it wider")


def images_pass_a_window(network: Network) -> Iterator[Finding]:
    """FINN-22: an image that is pooled or flattened behind convolutions has been through a window somewhere.

    Without one (``Im2Col``) the build's default steps leave max pools and ``Flatten`` with its transposition to the
    processor (``step_convert_to_hw``), in the middle of the accelerator, which then cannot be cut out.
    """
    convolutions = [node for node in network.nodes if node.op in ("Conv", "ConvTranspose")]
    if not convolutions or any(_has_window(node) for node in convolutions):
        return
    remedy = f"{_HAND_OVER}, or use a convolution of a larger kernel"
    for node in network.nodes:
        shape = network.tensors[node.inputs[0]].shape if node.inputs else ()
        flattens = node.op == "Reshape" and len(shape) == 4 and max(shape[2:]) > 1
        if flattens and len(network.tensors[node.output].shape) == 2:
            yield _finding("FINN-22", node, f"an image of {shape[2:]} that no window has read", remedy)
        elif node.op == "MaxPool":
            yield _finding("FINN-22", node, "a pool in a network without windows", remedy)


def pools_stay_inside(network: Network) -> Iterator[Finding]:
    """FINN-23: no window of a max pool reaches over the image's end (``ceil_mode``), which ``InferPool`` ignores."""
    for node in network.nodes:
        if node.op == "MaxPool" and node.attributes.get("ceil_mode"):
            window = zip(network.tensors[node.inputs[0]].shape[2:], *_window(node), strict=True)
            if any((size + padded - kernel) % stride for size, kernel, stride, padded in window):
                yield _finding("FINN-23", node, "windows that reach over the image", "pool without ceil_mode, or pad")


def transposed_convolutions_are_padded_evenly(network: Network) -> Iterator[Finding]:
    """FINN-24: a transposed convolution is cropped alike on all sides (``InferPixelPaddingDeconv``)."""
    for node in network.nodes:
        if node.op != "ConvTranspose":
            continue
        reach = [
            d * (k - 1) for d, k in zip(node.attributes["dilations"], node.attributes["kernel_shape"], strict=True)
        ]
        left = {r - p for r, p in zip(2 * reach, node.attributes["pads"], strict=True)}
        if len(left) > 1 or min(left) < 0 or any(node.attributes.get("output_padding", ())):
            found = f"kernel {node.attributes['kernel_shape']}, padding {node.attributes['pads']}"
            found += f", output padding {node.attributes.get('output_padding', (0, 0))}"
            yield _finding("FINN-24", node, found, "use a square kernel, equal padding, and no output padding")


def outputs_are_ends(network: Network) -> Iterator[Finding]:
    """FINN-25: the network has one output, and nothing in it reads that (``MoveOpPastFork``)."""
    outputs = [name for name in network.outputs if network.producer(name) is not None]  # the others are constants
    for name in outputs:
        readers = ", ".join(node.name for node in network.consumers(name))
        found = f"read by {readers}" if readers else f"one of {len(outputs)} outputs"
        if readers or len(outputs) > 1:
            yield Finding("FINN-25", name, "output", found, "cut the network there, or leave one output at its end")


def _window(node: Node) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Kernel, strides, and pixels of padding along each axis."""
    kernel, pads = node.attributes["kernel_shape"], node.attributes["pads"]
    return (
        kernel,
        node.attributes["strides"],
        tuple(map(sum, zip(pads[: len(kernel)], pads[len(kernel) :], strict=True))),
    )


def _has_window(node: Node) -> bool:
    attributes = node.attributes
    return max(*attributes["kernel_shape"], *attributes["strides"]) > 1 or any(attributes.get("pads", ()))


LAYER_RULES: Final[tuple[Rule, ...]] = (
    batch_is_one,
    operators_are_known,
    relu_is_quantized,
    floats_end_in_a_quantizer,
    convolutions_are_dense_or_depthwise,
    downsampling_is_square,
    pooling_does_not_overlap,
    averages_are_truncated,
    residual_branches_agree,
    concatenated_scales_agree,
    layers_have_weights,
    images_pass_a_window,
    pools_stay_inside,
    transposed_convolutions_are_padded_evenly,
    outputs_are_ends,
)
MENDED_RULES: Final[tuple[Rule, ...]] = (pooling_does_not_overlap, averages_are_truncated, images_pass_a_window)
"""What the steps of a hand-over make up for, as they do for ``FINN-02``."""


def _finding(rule: str, node: Node, found: str, mend: str) -> Finding:
    return Finding(rule, node.name, node.file_op, found, mend)
