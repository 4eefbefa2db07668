"""Streams settled to integers, for units that multiply, add, average or compare them."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q._ir.network import Node
from brevitas_a2q._ir.quantizer import Quantizer
from brevitas_a2q._ir.tensor import Codes, Tensor
from brevitas_a2q.bounds import IntRange
from brevitas_a2q.errors import OnnxFileError
from brevitas_a2q.hw._frontend.activation import with_thresholds
from brevitas_a2q.hw._frontend.context import Context, channel_axis_of
from brevitas_a2q.hw._frontend.moves import build_moves
from brevitas_a2q.hw._frontend.stream import Stream
from brevitas_a2q.hw._frontend.thresholds import axis_behind, thresholds_of

__all__ = ["integers"]

# Operations that change the value of an integer's step and leave the integers as they are.
_SCALING: Final = ("Mul", "Div", "Neg", "Identity", "Reshape", "Transpose")
_MAX_STEPS: Final = 1 << 12


def integers(context: Context, node: Node, tensor: str) -> Stream:
    """The stream behind a tensor with nothing left to do but scaling: what leaves the unit are its integers.

    An activation between integers of one scale (a Relu behind a signed quantizer) is built as thresholds.

    Raises:
        OnnxFileError: Where operations are waiting for a quantizer that does not come.
    """
    stream = build_moves(context, context.stream(node, tensor))
    found = context.network.tensors[tensor]
    waiting = [n for n in stream.chain if n.op not in _SCALING]
    if found.codes is None and not stream.chain:  # a sum of streams whose scales were aligned
        found = stream.start
    if found.codes is None:
        raise _real_values(node, tensor, waiting)
    if waiting:
        return _requantized(context, node, stream, found, found.codes, waiting)
    axis = axis_behind(stream.channel_axis, (n for n in stream.chain if n.op == "Transpose"))
    axis = axis if len(found.shape) == len(stream.start.shape) else channel_axis_of(found)
    codes = replace(found.codes, dtype=context.wire(stream), zero_point=np.zeros((), np.int64))
    return Stream(stream.unit, replace(found, codes=codes), axis, image=stream.image)


def _real_values(node: Node, tensor: str, waiting: list[Node]) -> OnnxFileError:
    return node.error(
        f"reads real values ({', '.join(n.name for n in waiting) or tensor})",
        expected="integers",
        remedy="put a quantizer (QuantIdentity, QuantReLU) in front, shared between streams that are added",
    )


def _requantized(
    context: Context, node: Node, stream: Stream, found: Tensor, codes: Codes, waiting: list[Node]
) -> Stream:
    """The chain between integers of one scale as thresholds that are one integer apart."""
    scale, values = codes.uniform_scale, IntRange(codes.range.lo, codes.range.hi)
    if scale is None or scale < 0 or values.hi - values.lo > _MAX_STEPS:
        raise _real_values(node, found.name, waiting)
    dtype = IntType.smallest(values)
    quantizer = Quantizer(np.float32(scale).reshape(()), np.zeros((), np.float32), dtype)
    pseudo = replace(waiting[-1], attributes={"quantizer": quantizer}, outputs=(found.name,))
    start = replace(found, codes=replace(codes, dtype=dtype, zero_point=np.zeros((), np.int64), narrow=False))
    table = thresholds_of(context.network, stream, pseudo, start.codes)
    unit = with_thresholds(context, stream, table, dtype, tuple(n.name for n in stream.chain))
    return Stream(unit, start, axis_behind(stream.channel_axis, stream.chain), image=stream.image)
