"""Padding: elements of a given value, or copies of elements, around a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from brevitas_a2q._ranges.annotation import MAX_ANNOTATION, RangeError
from brevitas_a2q._ranges.movement import along, concat, take
from brevitas_a2q._ranges.value import Codes, Value

__all__ = ["pad"]

# Mode -> which element a place before or behind the tensor copies.
_COPIES: Final = {
    "edge": lambda place, size: np.clip(place, 0, size - 1),
    "wrap": lambda place, size: place % size,
    "reflect": lambda place, size: (
        np.abs((place + size - 1) % (2 * (size - 1)) - (size - 1)) if size > 1 else place * 0
    ),
}


def pad(x: Value, pads: Sequence[tuple[int, int]], fill: float = 0.0, mode: str = "constant") -> Value:
    """A tensor with elements before and behind it along each axis; negative counts crop.

    Args:
        x: The tensor.
        pads: Elements before and behind, for every axis.
        fill: Their value, where ``mode`` is ``constant``.
        mode: ``constant``, ``edge`` (the outermost element again), ``reflect`` (mirrored at it), ``wrap`` (from the
            other side). Cropping one end of an axis and padding the other is the same in every order that frameworks do
            it, but for ``wrap``.

    Returns:
        The padded value; unknown for any other mode.
    """
    if len(pads) != x.rank:
        raise RangeError(f"found pads of {len(pads)} axes", expected=f"{x.rank}")
    for axis, (before, behind) in enumerate(pads):
        if x.shape[axis] + min(before, 0) + min(behind, 0) < 1:
            raise RangeError(f"found pads {(before, behind)} for {x.shape[axis]} elements", expected="elements left")
    if mode == "constant":
        return _filled(x, pads, fill)
    shape = tuple(n + before + behind for n, (before, behind) in zip(x.shape, pads, strict=True))
    if mode not in _COPIES or (mode == "wrap" and min(map(min, pads)) < 0):
        return Value.unknown(shape, f"padding of mode {mode}")
    for axis, (before, behind) in enumerate(pads):
        if before or behind:
            size = x.shape[axis]
            if mode == "reflect" and max(before, behind) >= size:
                raise RangeError(f"found pads {(before, behind)} that mirror {size} elements", expected="fewer")
            if size + before + behind > MAX_ANNOTATION:
                x = along(x, axis, tuple(shape[d] if d == axis else n for d, n in enumerate(x.shape)), x.origin)
            else:
                x = take(x, axis, _COPIES[mode](np.arange(-before, size + behind), size))
    return x


def _filled(x: Value, pads: Sequence[tuple[int, int]], fill: float) -> Value:
    for axis, (before, behind) in enumerate(pads):
        if before < 0 or behind < 0:
            x = take(x, axis, range(max(0, -before), x.shape[axis] - max(0, -behind)))
        for count, in_front in ((before, True), (behind, False)):
            if count > 0:
                edge = _edge(x, axis, count, fill, in_front)
                if axis == 1 or x.number is not None or _varies(x, axis):
                    x = concat([edge, x] if in_front else [x, edge], axis).under(x.origin)
                else:  # one range for the border and what it surrounds, lest it vary from element to element
                    shape = tuple(n + count if d == axis else n for d, n in enumerate(x.shape))
                    x = replace(x.hull(replace(edge, shape=x.shape)), shape=shape, origin=x.origin)
    return x


def _varies(x: Value, axis: int) -> bool:
    arrays = [x.lo, x.hi] if x.codes is None else [x.lo, x.hi, x.codes.scale, x.codes.lo, x.codes.hi]
    return any(array.ndim and array.shape[axis] > 1 for array in arrays)


def _edge(x: Value, axis: int, count: int, fill: float, in_front: bool) -> Value:
    """The padding of one side, as integers at the scale of its neighbours where the fill is a multiple of that."""
    shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])
    value = np.asarray(float(np.float32(fill)))
    if x.number is not None:
        return Value.constant(np.full(shape, fill, x.number.dtype))
    plain = Value.interval(shape, np.minimum(value, fill), np.maximum(value, fill))  # in single or double precision
    if x.codes is None or not np.isfinite(fill) or value != fill:
        return plain
    neighbour = take(x, axis, [0 if in_front else x.shape[axis] - 1]).codes
    if neighbour is None:
        return plain
    steps = np.round(value / neighbour.scale)
    if (steps * neighbour.scale != value).any() or (np.abs(steps) >= 2.0**53).any():
        return plain
    integers = steps.astype(np.int64)
    codes = replace(neighbour, lo=integers, hi=integers)
    if not codes.holds(integers, integers):
        codes = Codes.plain(codes.scale, integers, integers)
    return Value.of(shape, codes, value, value)
