"""Operations that move, copy, leave out or join elements: values stay what they are, only their places change.

Every annotation moves with the elements it speaks of: a scale per channel is permuted, sliced and joined as the
channels are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from brevitas_a2q._ranges.annotation import (
    MAX_ANNOTATION,
    Array,
    RangeError,
    aligned,
    full_rank,
    reshaped,
)
from brevitas_a2q._ranges.datatypes import IntType
from brevitas_a2q._ranges.value import Codes, Value
from brevitas_a2q.bounds import IntRange

__all__ = ["concat", "expand", "identity", "moved", "permute", "reshape", "take", "take_any", "tile"]

Change = Callable[[Array], "Array | None"]


def identity(x: Value) -> Value:
    """The same values."""
    return x


def moved(x: Value, shape: Sequence[int], change: Change, move: Callable[[Array], Array]) -> Value:
    """The value of elements that an operation moves.

    Args:
        x: What they are of.
        shape: Of the output.
        change: Moves an annotation (0-dimensional, or of full rank); None where that would take too much memory.
        move: The same of an array with all elements.
    """
    shape = tuple(shape)
    if x.number is not None:
        return _constant_moved(x, shape, move)

    def ends(array: Array, reduce: Callable[..., Any]) -> Array:
        changed = _changed(array, x.rank, len(shape), change)
        return np.asarray(reduce(array)) if changed is None else changed

    lo, hi = ends(x.lo, np.min), ends(x.hi, np.max)
    if x.codes is None:
        return Value.interval(shape, lo, hi, x.origin)
    c = x.codes
    scale, zero_point = (_changed(a, x.rank, len(shape), change) for a in (c.scale, c.zero_point))
    if scale is None or zero_point is None:  # too many different scales to tell apart
        return Value.interval(shape, lo, hi, x.origin)
    codes = replace(c, scale=scale, zero_point=zero_point, lo=ends(c.lo, np.min), hi=ends(c.hi, np.max))
    return Value.of(shape, codes, lo, hi, x.origin)


def _changed(array: Array, before: int, after: int, change: Change) -> Array | None:
    if array.size == 1:
        return array.reshape(())
    changed = change(full_rank(array, before))
    return None if changed is None else aligned(changed, after)


def _constant_moved(x: Value, shape: tuple[int, ...], move: Callable[[Array], Array]) -> Value:
    assert x.number is not None
    number = move(x.number)
    if x.codes is None:
        return Value.constant(number, None, x.origin)

    def spread(array: Array) -> Array:
        return array.reshape(()) if array.size == 1 else aligned(move(np.broadcast_to(array, x.shape)), len(shape))

    integers = move(np.broadcast_to(x.codes.lo, x.shape)).copy()
    scale, zero_point = spread(x.codes.scale), spread(x.codes.zero_point)
    codes = replace(x.codes, scale=scale, zero_point=zero_point, lo=integers, hi=integers)
    return Value.constant(number, codes, x.origin)


def _axis(axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise RangeError(f"found axis {axis}", expected=f"an axis of {rank} dimensions")
    return axis % rank


def permute(x: Value, axes: Sequence[int]) -> Value:
    """Axes in another order; axis ``i`` of the output is axis ``axes[i]`` of the input."""
    order = [_axis(axis, x.rank) for axis in axes]
    if sorted(order) != list(range(x.rank)):
        raise RangeError(f"found axes {tuple(axes)}", expected=f"a permutation of {x.rank} axes")
    shape = [x.shape[axis] for axis in order]
    return moved(x, shape, lambda array: array.transpose(order), lambda array: array.transpose(order))


def reshape(x: Value, shape: Sequence[int]) -> Value:
    """The same elements, in row-major order, in another shape (static: no -1)."""
    if prod(shape) != x.size:
        raise RangeError(f"found shape {tuple(shape)} for {x.size} elements", expected="as many elements as before")
    return moved(x, shape, lambda array: reshaped(array, x.shape, shape), lambda array: array.reshape(tuple(shape)))


def take(x: Value, axis: int, indices: Sequence[int] | range | Array) -> Value:
    """Elements at given places along one axis: slices, flips, rolls, parts of a split, gathers, nearest neighbours."""
    axis = _axis(axis, x.rank)
    size, count = x.shape[axis], len(indices)
    # A range is not spread out: it may be as long as the axis of a tensor that nobody holds.
    ends = (indices[0], indices[-1]) if isinstance(indices, range) and indices else indices
    if count and not -size <= int(np.min(ends)) <= int(np.max(ends)) < size:
        raise RangeError(f"found indices beyond axis {axis} of length {size}", expected="indices inside it")

    def change(array: Array) -> Array | None:
        if array.shape[axis] == 1:
            return array
        if array.size // size * count > MAX_ANNOTATION:
            return None
        return array.take(np.asarray(indices, np.int64), axis=axis)

    shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])
    return moved(x, shape, change, lambda array: array.take(np.asarray(indices, np.int64), axis=axis))


def take_any(x: Value, axis: int, count: int) -> Value:
    """``count`` elements along an axis, chosen by data: each may be any of that axis."""
    axis = _axis(axis, x.rank)
    shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])
    return along(x, axis, shape, x.origin)


def along(x: Value, axis: int | Sequence[int], shape: Sequence[int], origin: str) -> Value:
    """The hull of all elements along axes, for outputs of which each is one of them."""
    axes = (axis,) if isinstance(axis, int) else tuple(axis)

    def over(array: Array, reduce: Callable[..., Any]) -> Array:
        return array if array.ndim == 0 else np.asarray(reduce(array, axis=axes, keepdims=True))

    source = x if x.number is None else Value.of(x.shape, x.codes, *x.ends(), x.origin)
    lo, hi = over(source.lo, np.min), over(source.hi, np.max)
    c = source.codes
    if c is None or (over(c.scale, np.min) != over(c.scale, np.max)).any():
        return Value.interval(tuple(shape), lo, hi, origin)
    scale, zero_point = over(c.scale, np.min), over(c.zero_point, np.min)
    bottom, top = over(c.lo, np.min), over(c.hi, np.max)
    if (zero_point != over(c.zero_point, np.max)).any():  # integers of several zero-points are codes of none
        codes = Codes.plain(scale, bottom, top)
    else:
        codes = replace(c, scale=scale, zero_point=zero_point, lo=bottom, hi=top)
    return Value.of(tuple(shape), codes, lo, hi, origin)


def expand(x: Value, shape: Sequence[int]) -> Value:
    """The elements repeated along axes of length 1, and along new axes in front (broadcasting)."""
    try:
        fits = np.broadcast_shapes(x.shape, tuple(shape)) == tuple(shape)
    except ValueError:
        fits = False
    if not fits:
        raise RangeError(f"found shape {tuple(shape)} for {x.shape}", expected="a shape that it broadcasts to")
    return moved(
        x, shape, lambda array: full_rank(array, len(shape)), lambda array: np.broadcast_to(array, tuple(shape))
    )


def tile(x: Value, repeats: Sequence[int]) -> Value:
    """The whole tensor repeated along each of its axes."""
    if len(repeats) != x.rank or any(n < 1 for n in repeats):
        raise RangeError(f"found repeats {tuple(repeats)}", expected=f"{x.rank} counts from 1 up")

    def change(array: Array) -> Array | None:
        counts = [n if size > 1 else 1 for n, size in zip(repeats, array.shape, strict=True)]
        return np.tile(array, counts) if array.size * prod(counts) <= MAX_ANNOTATION else None

    shape = tuple(n * size for n, size in zip(repeats, x.shape, strict=True))
    return moved(x, shape, change, lambda array: np.tile(array, tuple(repeats)))


def concat(values: Sequence[Value], axis: int) -> Value:
    """Tensors one after the other along an axis; each part keeps its scale."""
    if not values:
        raise RangeError("found nothing to join", expected="at least one tensor")
    rank = values[0].rank
    axis = _axis(axis, rank)
    rest = {tuple(n for d, n in enumerate(v.shape) if d != axis) for v in values}
    if len(rest) != 1 or any(v.rank != rank for v in values):
        raise RangeError(
            f"found shapes {[v.shape for v in values]}", expected=f"shapes that differ along axis {axis} only"
        )
    shape = tuple(sum(v.shape[axis] for v in values) if d == axis else n for d, n in enumerate(values[0].shape))
    origin = " and ".join(dict.fromkeys(v.origin for v in values if v.number is None)) or values[0].origin
    if all(v.number is not None for v in values):
        return _constants_joined(values, axis, origin)
    sizes = [v.shape[axis] for v in values]
    ends = [v.ends() for v in values]
    lo, hi = _join([e[0] for e in ends], sizes, axis, rank), _join([e[1] for e in ends], sizes, axis, rank)
    lo = np.asarray(min(e[0].min() for e in ends)) if lo is None else lo
    hi = np.asarray(max(e[1].max() for e in ends)) if hi is None else hi
    codes = None if any(v.codes is None for v in values) else _joined_codes(values, sizes, axis, rank)
    return Value.of(shape, codes, lo, hi, origin)


def _constants_joined(values: Sequence[Value], axis: int, origin: str) -> Value:
    number = np.concatenate([v.number for v in values if v.number is not None], axis=axis)
    codes = None
    if all(v.codes is not None for v in values):
        sizes, rank = [v.shape[axis] for v in values], values[0].rank
        joined = _joined_codes(values, sizes, axis, rank)
        if joined is not None:
            whole = np.concatenate([np.broadcast_to(v.codes.lo, v.shape) for v in values if v.codes], axis=axis)
            codes = replace(joined, lo=whole, hi=whole)
    return Value.constant(number, codes, origin)


def _joined_codes(values: Sequence[Value], sizes: Sequence[int], axis: int, rank: int) -> Codes | None:
    parts = [v.codes for v in values if v.codes is not None]
    columns = ([getattr(c, name) for c in parts] for name in ("scale", "zero_point", "lo", "hi"))
    scale, zero_point, lo, hi = (_join(column, sizes, axis, rank) for column in columns)
    if scale is None or zero_point is None:
        return None
    lo = np.asarray(min(c.lo.min() for c in parts)) if lo is None else lo
    hi = np.asarray(max(c.hi.max() for c in parts)) if hi is None else hi
    if len({(c.dtype.name, c.narrow) for c in parts}) == 1:
        return Codes(scale, lo, hi, parts[0].dtype, zero_point, parts[0].narrow)
    if not zero_point.any():
        types = [c.dtype.range for c in parts]
        widest = IntRange(min(t.lo for t in types), max(t.hi for t in types))
        return Codes(scale, lo, hi, IntType.smallest(widest), zero_point)
    return Codes.plain(scale, lo, hi)


def _join(arrays: Sequence[Array], sizes: Sequence[int], axis: int, rank: int) -> Array | None:
    first = arrays[0]
    if all(a.size == 1 and a.reshape(()) == first.flat[0] for a in arrays):
        return first.reshape(())
    full = [full_rank(a, rank) for a in arrays]
    common = np.broadcast_shapes(*(tuple(1 if d == axis else n for d, n in enumerate(a.shape)) for a in full))
    if prod(common) * sum(sizes) > MAX_ANNOTATION:
        return None
    spread = [
        np.broadcast_to(a, tuple(size if d == axis else n for d, n in enumerate(common)))
        for a, size in zip(full, sizes, strict=True)
    ]
    return aligned(np.concatenate(spread, axis=axis), rank)
