"""Exact thresholds: everything between an integer and the next quantizer, as comparisons with integers.

Scales, batch norms, biases, activations and the quantizer are each monotone, so their composition ``f`` is, also in
float32 arithmetic. For each output step ``k`` the smallest integer ``t_k`` with ``f(t_k) >= k`` is found by bisection,
``f`` being evaluated in the float32 arithmetic of QONNX's executor (:mod:`brevitas_a2q._ir.elementwise`,
:mod:`brevitas_a2q._ir.quantizer`). A channel whose ``f`` falls is mirrored: its integers are negated, for which the
caller flips the signs of its weights, as FINN's streamlining does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from brevitas_a2q._ir.dot_product import IntArray
from brevitas_a2q._ir.elementwise import evaluate
from brevitas_a2q._ir.network import Network, Node
from brevitas_a2q._ir.quantizer import MultiThreshold, Quantizer
from brevitas_a2q._ir.tensor import Codes
from brevitas_a2q.errors import OnnxFileError
from brevitas_a2q.hw._frontend.stream import Stream

__all__ = ["Thresholds", "axis_behind", "chain_direction", "chain_function", "ends_of", "thresholds_of"]

_MAX_ENTRIES: Final = 1 << 25
_WIDE: Final = 1 << 31  # sums as FINN types them before it narrows anything


@dataclass(frozen=True, eq=False)
class Thresholds:
    """The quantizer's integers are ``bias`` plus the number of thresholds at or below the (mirrored) input.

    A threshold that no input reaches is one above the highest input. For a BIPOLAR output a count of 0 means -1.
    """

    table: IntArray  # shape: (channels, steps), rising along steps
    bias: int
    mirrored: npt.NDArray[np.bool_]  # shape: (channels,)
    flat: npt.NDArray[np.bool_]  # shape: (channels,); whether the output is the same for every input
    reach: tuple[int, int] | None = None  # lowest and highest threshold if sums had 32 bits; None if none is there


def chain_function(network: Network, stream: Stream, nodes: tuple[Node, ...]) -> Callable[[IntArray], Any]:
    """The float32 values of a chain of elementwise nodes, as a function of the integers it starts from.

    Returns:
        A function from int64 of shape (n, channels) to float32 of the rank that the chain ends with.
    """
    rank, axis = len(stream.start.shape), stream.channel_axis
    scale = stream.codes.scale
    _check_per_channel(scale, axis, rank, f"tensor {stream.start.name}")
    constants, at = {}, axis
    for node in nodes:
        at = axis_behind(at, (node,))
        constants[node.name] = [_constant(network, node, name, at) for name in _constants_of(node)]

    def function(integers: IntArray) -> Any:
        shape = [1] * rank
        shape[0], shape[axis] = integers.shape
        x = np.asarray(integers.reshape(shape) * scale, np.float32)
        for node in nodes:
            if node.op == "Transpose":
                x = x.transpose(node.attributes["perm"])
            elif node.op == "Reshape":
                x = x.reshape(x.shape[0], *(1 if d != 1 else integers.shape[1] for d in range(1, _rank_after(node))))
            else:
                x = evaluate(node.op, x, constants[node.name], node.attributes)
        return x

    return function


def axis_behind(axis: int, chain: Iterable[Node]) -> int:
    """Axis of the channels behind a chain: transposes move it, and a reshape that drops axes of 1 leaves it at 1."""
    for node in chain:
        if node.op == "Transpose":
            axis = node.attributes["perm"].index(axis)
        elif node.op == "Reshape":
            axis = 1
    return axis


def _constants_of(node: Node) -> tuple[str, ...]:
    return () if node.op in ("Transpose", "Reshape") else node.inputs[1:]


def _rank_after(node: Node) -> int:
    return len(node.attributes["shape"])


def _constant(network: Network, node: Node, name: str, axis: int) -> npt.NDArray[Any]:
    value = network.tensors[name].value
    assert value is not None
    rank = len(network.tensors[node.output].shape)
    if node.op == "BatchNormalization":
        if axis != 1:
            raise node.error("found a batch norm over another axis than the channels'", expected="channels on axis 1")
    else:
        _check_per_channel(value, axis, rank, f"node {node.name} ({node.op})")
    return value.astype(np.float32)


def _check_per_channel(value: npt.NDArray[Any], axis: int, rank: int, where: str) -> None:
    sizes = (1,) * (rank - value.ndim) + value.shape
    if any(size > 1 for d, size in enumerate(sizes) if d != axis):
        message = f"found constants of shape {value.shape}"
        raise OnnxFileError(message, where=where, expected="one value per channel or one for all")


def chain_direction(network: Network, stream: Stream, nodes: tuple[Node, ...]) -> npt.NDArray[np.int64]:
    """Per channel 1 where a chain rises or is flat over the range of its input, -1 where it falls."""
    lo, hi = ends_of(stream)
    values = chain_function(network, stream, nodes)(np.stack([lo, hi]))
    low, high = values.reshape(2, -1)
    return np.where(low > high, -1, 1)


def thresholds_of(network: Network, stream: Stream, quantizer_node: Node, output: Codes | None) -> Thresholds:
    """Thresholds that take a stream's integers to those of a quantizing node, whose output is annotated ``output``.

    Raises:
        OnnxFileError: Naming the node, where there are too many thresholds or constants differ between pixels.
    """
    quantizer = _per_channel(quantizer_node, stream)
    assert output is not None
    lowest, highest = (int(end.min()) for end in output.type_range())
    steps = highest - lowest
    if steps * stream.channels * (len(stream.chain) + 1) > _MAX_ENTRIES:
        raise quantizer_node.error(f"needs {steps} thresholds in each of {stream.channels} channels", expected="fewer")
    chain = chain_function(network, stream, stream.chain)
    if isinstance(quantizer, Quantizer):
        rank = len(network.tensors[quantizer_node.inputs[0]].shape)
        axis = axis_behind(stream.channel_axis, stream.chain)
        _check_per_channel(quantizer.scale, axis, rank, f"node {quantizer_node.name} ({quantizer_node.op})")
        if quantizer.zero_point.size > 1:
            raise quantizer_node.error("found zero-points per channel", expected="one zero-point")

    def codes(integers: IntArray) -> IntArray:
        try:
            return np.asarray(quantizer.integers(chain(integers)).reshape(integers.shape), np.int64)
        except ValueError as error:  # of shapes
            message = f"found constants that make other shapes of its {stream.channels} channels"
            raise quantizer_node.error(message, expected="one value per channel or one for all") from error

    lo, hi = ends_of(stream)
    ends = codes(np.stack([lo, hi]))
    mirrored = ends[0] > ends[1]
    sign = np.where(mirrored, -1, 1)
    lo, hi = np.where(mirrored, -hi, lo), np.where(mirrored, -lo, hi)
    bipolar = output.dtype.name == "BIPOLAR"
    if bipolar and (lowest, highest) != (-1, 1):
        raise quantizer_node.error(
            f"found integers {lowest} and {highest} of one bit", expected="-1 and 1, no zero-point"
        )
    targets = np.array([1]) if bipolar else lowest + 1 + np.arange(steps)
    table = _bisect(lambda v: codes(v * sign) >= targets[:, None], lo, hi, len(targets))
    flat = ends[0] == ends[1]
    with np.errstate(over="ignore", invalid="ignore"):  # sums of 32 bits may leave single precision: beyond all levels
        reach = _reach(codes, targets, len(sign))
    return Thresholds(np.ascontiguousarray(table.T), 0 if bipolar else lowest, mirrored, flat, reach)


def _reach(codes: Callable[[IntArray], IntArray], targets: IntArray, channels: int) -> tuple[int, int] | None:
    """Lowest first and highest last threshold of any channel whose output depends on sums of 32 bits."""
    if not len(targets):
        return None
    widest = np.full(channels, _WIDE - 1)
    low, high = codes(np.stack([-widest, widest]))
    sign = np.where(low > high, -1, 1)  # of channels, too, whose own sums all give one output
    outer = targets[[0, -1]][:, None]
    first, last = _bisect(lambda v: codes(v * sign) >= outer, -widest, widest, 2)
    varies = (first > -widest) & (last <= widest)
    return (int(first[varies].min()), int(last[varies].max())) if varies.any() else None


def _per_channel(node: Node, stream: Stream) -> Any:
    """The node's quantizer with one row of thresholds for each channel of the stream, or one for all.

    A flattened image has a row for each of its values in the file; hardware compares with one for all of its pixels.
    """
    quantizer = node.attributes["quantizer"]
    if not isinstance(quantizer, MultiThreshold) or len(quantizer.thresholds) in (1, stream.channels):
        return quantizer
    if (quantizer.thresholds != quantizer.thresholds[:1]).any():
        raise node.error(
            f"found {len(quantizer.thresholds)} different rows of thresholds on {stream.channels} channels",
            expected="one for each channel or one for all",
            remedy="quantize before the image is flattened",
        )
    return replace(quantizer, thresholds=quantizer.thresholds[:1])


def ends_of(stream: Stream) -> tuple[IntArray, IntArray]:
    """Lowest and highest integer of every channel of a stream; shapes (channels,)."""
    ends = []
    for bound, reduce in ((stream.codes.lo, np.min), (stream.codes.hi, np.max)):
        if bound.size > 1:
            others = tuple(d for d in range(bound.ndim) if d != stream.channel_axis)
            bound = reduce(bound, axis=others)
            bound = bound if bound.size == stream.channels else reduce(bound)  # of another axis
        ends.append(np.array(np.broadcast_to(bound.reshape(-1), (stream.channels,)), np.int64))
    return ends[0], ends[1]


def _bisect(reached: Callable[[IntArray], npt.NDArray[np.bool_]], lo: IntArray, hi: IntArray, steps: int) -> IntArray:
    """Smallest integer of ``[lo, hi]`` for which ``reached`` holds, per step and channel; ``hi + 1`` if none."""
    low = np.repeat(lo[None], steps, axis=0)
    high = np.repeat(hi[None] + 1, steps, axis=0)
    while (low < high).any():
        middle = low + (high - low) // 2
        # Past the end nothing is asked: an answered step keeps its place because low equals high there.
        holds = reached(np.minimum(middle, hi))
        open_ = low < high
        high = np.where(open_ & holds, middle, high)
        low = np.where(open_ & ~holds, middle + 1, low)
    return low
