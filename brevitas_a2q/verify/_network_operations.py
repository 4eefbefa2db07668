"""The operations of an integer network that are no dot products, on batches; named as :class:`ir.network.Node` says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from brevitas_a2q._ir.elementwise import ELEMENTWISE, evaluate
from brevitas_a2q._ir.network import Network, Node
from brevitas_a2q._ir.quantizer import Quantizer
from brevitas_a2q.verify._stream import Stream, tensor_of

__all__ = ["operate"]

_ROUNDING: Final[dict[str, Callable[[Tensor], Tensor]]] = {
    "ROUND": torch.round,
    "HALF_EVEN": torch.round,
    "FLOOR": torch.floor,
    "CEIL": torch.ceil,
    "DOWN": torch.trunc,
    "ROUND_TO_ZERO": torch.trunc,
}
_EXACT_BITS: Final = 24  # integers that float32 holds


def operate(network: Network, node: Node, streams: Sequence[Stream]) -> tuple[Stream, ...]:
    """The outputs of one node.

    Args:
        network: Where constants and annotations of its tensors are.
        node: Neither Conv, ConvTranspose nor MatMul.
        streams: Its inputs that are no constants, in order.
    """
    x = streams[0]
    if "quantizer" in node.attributes:
        return (_quantized(network, node, x),)
    if node.op in ("Add", "Sub") and len(streams) == 2:
        return (_sum(network, node, *streams),)
    if node.op == "Relu":
        return (x.moved(lambda t: t.clamp_min(0)),)
    if node.op == "BatchNormalization":
        return (Stream(values=_batch_normalization(network, node, x.real())),)
    if node.op in ELEMENTWISE and node.op != "Identity":
        constants = [_constant(network, name) for name in node.inputs if network.tensors[name].value is not None]
        return (Stream(values=tensor_of(evaluate(node.op, x.real().numpy(), constants, node.attributes))),)
    if node.op == "Concat":
        return (_joined(network, node, streams),)
    if node.op in ("TopK", "ArgMax"):
        return _labels(node, x.real())
    if node.op in ("Softmax", "LogSoftmax"):
        function = F.softmax if node.op == "Softmax" else F.log_softmax
        return (Stream(values=function(x.real(), node.attributes["axis"])),)
    if node.op in _AVERAGES:
        return (Stream(values=_AVERAGES[node.op](x.real(), node.attributes)),)
    move = _MOVES.get(node.op)
    if move is None:
        raise node.error("cannot be simulated", expected="an operation of the integer network")
    return (x.moved(lambda t: move(t, node.attributes)),)


def _constant(network: Network, name: str) -> Any:
    value = network.tensors[name].value
    assert value is not None
    return value.astype(np.float32)


def _quantized(network: Network, node: Node, x: Stream) -> Stream:
    quantizer, codes = node.attributes["quantizer"], network.tensors[node.output].codes
    assert codes is not None
    values = x.real()
    if not isinstance(quantizer, Quantizer) or quantizer.rounding_mode not in _ROUNDING:
        return Stream.of_integers(tensor_of(quantizer.integers(values.numpy())), codes)
    lo, hi = quantizer.code_range
    plain = quantizer.dtype.name != "BIPOLAR" and not quantizer.rounds_first
    if max(-lo, hi).bit_length() >= _EXACT_BITS or not plain:
        return Stream.of_integers(tensor_of(quantizer.integers(values.numpy()), np.float64), codes)
    # The same float32 operations in the same order as Quantizer.integers, in place.
    zero_point = tensor_of(quantizer.zero_point)
    steps = values / tensor_of(quantizer.scale)
    offset = bool(zero_point.any())
    if offset:
        steps += zero_point
    integers = _ROUNDING[quantizer.rounding_mode](steps.clamp_(lo, hi))
    return Stream.of_integers(integers - zero_point if offset else integers, codes)


def _sum(network: Network, node: Node, left: Stream, right: Stream) -> Stream:
    sign = 1 if node.op == "Add" else -1
    codes = network.tensors[node.output].codes
    ends = [network.tensors[name].codes for name in node.inputs[:2]]
    if codes is None or ends[0] is None or ends[1] is None:
        return Stream(values=left.real() + sign * right.real())
    return Stream.of_integers(left.integers_at(ends[0]) + sign * right.integers_at(ends[1]), codes)


def _batch_normalization(network: Network, node: Node, x: Tensor) -> Tensor:
    gamma, beta, mean, variance = (_constant(network, name) for name in node.inputs[1:5])
    # As in ir.elementwise: the runtime folds the four vectors into a slope and an offset first.
    slope = gamma * (1 / np.sqrt(variance + np.float32(node.attributes["epsilon"])))
    shape = (1, -1, *(1,) * (x.dim() - 2))
    return x * tensor_of(slope).reshape(shape) + tensor_of(beta - mean * slope).reshape(shape)


def _joined(network: Network, node: Node, streams: Sequence[Stream]) -> Stream:
    axis, parts, waiting = node.attributes["axis"], [], iter(streams)
    batch = streams[0].real().shape[0]
    for name in node.inputs:
        value = network.tensors[name].value
        part = next(waiting).real() if value is None else tensor_of(value)
        parts.append(part.expand(batch, *part.shape[1:]) if axis and part.shape[0] == 1 else part)
    return Stream(values=torch.cat(parts, axis))


def _labels(node: Node, x: Tensor) -> tuple[Stream, ...]:
    a = node.attributes
    values, indices = x.topk(a["k"], a["axis"])
    if node.op == "TopK":
        return Stream(values=values), Stream(values=indices.float())
    return (Stream(values=(indices if a["keepdims"] else indices.squeeze(a["axis"])).float()),)


def _padded(x: Tensor, pads: Sequence[int], fill: float) -> Tensor:
    """Pads as in ONNX: all begins, then all ends, of the last axes."""
    half = len(pads) // 2
    pairs = [side for axis in reversed(range(half)) for side in (pads[axis], pads[axis + half])]
    return F.pad(x, pairs, value=fill) if any(pairs) else x


def _max_pool(x: Tensor, a: Any) -> Tensor:
    pool = F.max_pool1d if len(a["kernel_shape"]) == 1 else F.max_pool2d
    dilations, ceil = a.get("dilations", 1), bool(a.get("ceil_mode", False))
    padded = _padded(x, a.get("pads", ()), -torch.inf)
    pooled: Tensor = pool(padded, a["kernel_shape"], a["strides"], 0, dilations, ceil)
    return pooled


def _average_pool(x: Tensor, a: Any) -> Tensor:
    pool: Any = F.avg_pool1d if len(a["kernel_shape"]) == 1 else F.avg_pool2d
    pooled: Tensor = pool(_padded(x, a["pads"], 0.0), a["kernel_shape"], a["strides"])
    return pooled


def _global_average(x: Tensor, a: Any) -> Tensor:
    return x.mean(tuple(range(2, x.dim())), keepdim=bool(a.get("keepdims", 1)))


def _reshape(x: Tensor, a: Any) -> Tensor:
    # Of as many samples as the file has, its shape is meant as it is: it may begin with another axis than they do.
    return x.reshape(a["shape"] if prod(a["shape"]) == x.numel() else (x.shape[0], *a["shape"][1:]))


def _upsample(x: Tensor, a: Any) -> Tensor:
    for axis, factor in enumerate(a["scales"]):
        x = x.repeat_interleave(factor, axis) if factor > 1 else x
    return x


def _depth_to_space(x: Tensor, a: Any) -> Tensor:
    n, c, h, w = x.shape
    b = a["blocksize"]
    if a["mode"] == "CRD":
        return F.pixel_shuffle(x, b)
    return x.reshape(n, b, b, c // b**2, h, w).permute(0, 3, 4, 1, 5, 2).reshape(n, c // b**2, h * b, w * b)


_MOVES: Final[dict[str, Callable[[Tensor, Any], Tensor]]] = {
    "Identity": lambda x, a: x,
    "Reshape": _reshape,
    "Transpose": lambda x, a: x.permute(a["perm"]).contiguous(),
    "Pad": lambda x, a: _padded(x, a["pads"], 0.0),
    "Upsample": _upsample,
    "DepthToSpace": _depth_to_space,
    "MaxPool": _max_pool,
}
_AVERAGES: Final[dict[str, Callable[[Tensor, Any], Tensor]]] = {
    "AveragePool": _average_pool,
    "GlobalAveragePool": _global_average,
}
