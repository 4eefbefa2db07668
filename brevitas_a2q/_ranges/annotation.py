"""Annotations: arrays that say something of every element of a tensor without being as large as it.

An annotation broadcasts to the tensor's shape. It is 0-dimensional where it says the same of every element, and
otherwise of the tensor's full rank, with axes of length 1 along which it does not vary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from brevitas_a2q.errors import A2QError

__all__ = [
    "MAX_ANNOTATION",
    "Array",
    "FloatArray",
    "IntArray",
    "RangeError",
    "aligned",
    "broadcast_shape",
    "broadcast_size",
    "compact",
    "full_rank",
    "joined",
    "reshaped",
]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# Elements over which an annotation may vary; beyond that, ranges are joined per channel, or for the whole tensor.
MAX_ANNOTATION: Final = 1 << 20


class RangeError(A2QError):
    """An operation whose parameters do not fit its operands."""


def compact(array: Array) -> Array:
    """The same annotation with every axis along which it does not vary shortened to 1.

    Example:
        >>> compact(np.array([[2, 2, 2], [5, 5, 5]])).tolist()
        [[2], [5]]
    """
    for axis in range(array.ndim):
        if array.shape[axis] > 1:
            first = np.asarray(array.take([0], axis=axis))
            if (array == first).all():
                array = first
    return array


def aligned(array: Any, rank: int) -> Array:
    """An annotation with no axis longer than it needs: 0-dimensional, or of the tensor's rank.

    Args:
        array: What broadcasts to the tensor.  # shape: up to ``rank`` axes
        rank: Number of axes of the tensor.
    """
    given: Array = np.asarray(array)
    short = given if given.size == 1 else compact(full_rank(given, rank))
    return short.reshape(()) if short.size == 1 else short


def full_rank(array: Array, rank: int) -> Array:
    """An annotation with all axes of the tensor, of length 1 where it does not vary."""
    if array.ndim > rank:
        raise RangeError(f"found an annotation of {array.ndim} axes for a tensor of {rank}", expected="no more axes")
    return array.reshape((1,) * (rank - array.ndim) + array.shape)


def broadcast_shape(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape that shapes broadcast to."""
    try:
        return np.broadcast_shapes(*(tuple(shape) for shape in shapes))
    except ValueError as error:
        raise RangeError(
            f"found shapes {[tuple(shape) for shape in shapes]}", expected="shapes that broadcast"
        ) from error


def broadcast_size(*arrays: Array) -> int:
    """Elements of what annotations of tensors of one rank broadcast to."""
    return prod(np.broadcast_shapes(*(array.shape for array in arrays)))


def joined(array: Array, reduce: Callable[..., Any], size: int = MAX_ANNOTATION) -> Array:
    """The annotation, joined per channel (axis 1) and then over the whole tensor, until ``size`` elements hold it.

    Args:
        array: Lower or upper ends.
        reduce: ``np.min`` or ``np.max``.
        size: Most elements to keep.
    """
    if array.size <= size:
        return array
    if array.ndim > 2 and 1 < array.shape[1] <= size:
        return np.asarray(reduce(array, axis=(0, *range(2, array.ndim)), keepdims=True))
    return np.asarray(reduce(array))


def reshaped(array: Array, before: Sequence[int], after: Sequence[int]) -> Array | None:
    """An annotation of a tensor of shape ``before`` for its elements in shape ``after``, in row-major order.

    Only groups of axes that merge or split are spread out, and only where the annotation varies in them.

    Returns:
        The annotation; None where spreading would take more than :data:`MAX_ANNOTATION` elements.

    Example:
        >>> reshaped(np.arange(3).reshape(1, 3, 1, 1), (1, 3, 2, 2), (3, 4)).tolist()
        [[0], [1], [2]]
    """
    if array.ndim == 0:
        return array
    groups = _groups(before, after)
    start_b = start_a = 0
    sizes: list[int] = []  # of the annotation's axes after the reshape
    spread: list[int] = []  # of its axes before
    for end_b, end_a in groups:
        varies = any(array.shape[axis] > 1 for axis in range(start_b, end_b))
        spread += list(before[start_b:end_b]) if varies else [1] * (end_b - start_b)
        sizes += list(after[start_a:end_a]) if varies else [1] * (end_a - start_a)
        start_b, start_a = end_b, end_a
    if prod(sizes) > MAX_ANNOTATION:
        return None
    return aligned(np.broadcast_to(array, spread).reshape(sizes), len(after))


def _groups(before: Sequence[int], after: Sequence[int]) -> list[tuple[int, int]]:
    """Ends of the shortest groups of axes with equal products, in both shapes."""
    ends, i, j = [], 0, 0
    while i < len(before) or j < len(after):
        p = q = 1
        if i < len(before):
            p, i = p * before[i], i + 1
        if j < len(after):
            q, j = q * after[j], j + 1
        while p != q:
            if p < q:
                p, i = p * before[i], i + 1
            else:
                q, j = q * after[j], j + 1
        ends.append((i, j))
    return ends
