"""What is known of every tensor of a network: its shape, the values it can take, and the integers it stands for.

Arrays of a tensor's annotation broadcast to its shape: one value for the whole tensor, one per channel, or one per
element where a range differs between elements (a flattened image).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from brevitas_a2q.bounds import IntRange
from brevitas_a2q.ir.datatypes import IntType
from brevitas_a2q.ir.dot_product import IntArray

__all__ = ["MAX_ANNOTATION", "Codes", "FloatArray", "Tensor", "compact", "integer_sum_fits"]

FloatArray = npt.NDArray[np.float64]

# Elements over which an annotation may vary; beyond that one range stands for all, or the network is refused.
MAX_ANNOTATION: Final = 1 << 22


def compact(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The same annotation with every axis along which it does not vary shortened to 1.

    Example:
        >>> compact(np.array([[2, 2, 2], [5, 5, 5]])).tolist()
        [[2], [5]]
    """
    for axis in range(array.ndim):
        if array.shape[axis] > 1:
            first = array.take([0], axis=axis)
            if (array == first).all():
                array = first
    return array


def integer_sum_fits(largest: int) -> bool:
    """Whether sums of this magnitude can be computed in 64 bits without a thought for overflow."""
    return largest < 1 << 62


@dataclass(frozen=True, eq=False)
class Codes:
    """Integers behind a tensor: ``value = scale * v`` with ``v`` in ``[lo, hi]``, and ``v = code - zero_point``.

    ``lo`` and ``hi`` come from range analysis, so they can be narrower than the data type; they do not include 0 of
    themselves. ``scale`` is not zero; it is negative where a constant turned the sign.
    """

    scale: FloatArray  # shape: broadcastable to the tensor
    lo: IntArray  # shape: broadcastable to the tensor
    hi: IntArray  # shape: broadcastable to the tensor
    dtype: IntType  # of the codes, before the zero-point is subtracted
    zero_point: IntArray  # shape: broadcastable to the tensor; all zero except behind asymmetric quantizers
    narrow: bool = False  # whether the type's outermost code is left out, as Brevitas' narrow ranges do

    @property
    def range(self) -> IntRange:
        """Lowest and highest integer of the whole tensor."""
        return IntRange(int(self.lo.min()), int(self.hi.max()))

    @property
    def uniform_scale(self) -> float | None:
        """The scale if it is one number for the whole tensor."""
        first = self.scale.flat[0]
        return float(first) if (self.scale == first).all() else None

    def type_range(self) -> tuple[IntArray, IntArray]:
        """Lowest and highest ``v`` that the data type alone allows; shapes broadcast to the tensor."""
        lo, hi = self.dtype.range.lo, self.dtype.range.hi
        if self.narrow:
            lo, hi = (lo + 1, hi) if self.dtype.signed else (lo, hi - 1)
        return lo - self.zero_point, hi - self.zero_point

    @property
    def integer_type(self) -> IntType:
        """Type of the integers ``v``: the codes' own, or the smallest that holds them less the zero-point."""
        if not self.zero_point.any():
            return self.dtype
        lo, hi = self.type_range()
        return IntType.smallest(IntRange(int(lo.min()), int(hi.max())))

    def interval(self) -> tuple[FloatArray, FloatArray]:
        """Lowest and highest real value."""
        ends = self.scale * self.lo, self.scale * self.hi
        return np.minimum(*ends), np.maximum(*ends)


@dataclass(frozen=True, eq=False)
class Tensor:
    """One tensor: constant (``value``), integers (``codes``), or only known to lie in ``[lo, hi]``."""

    name: str
    shape: tuple[int, ...]
    lo: FloatArray  # shape: broadcastable to the tensor
    hi: FloatArray  # shape: broadcastable to the tensor
    codes: Codes | None = None
    value: npt.NDArray[Any] | None = None  # of constants, as the file holds it or as folding computes it
    integers: IntArray | None = None  # of constants with codes: value = scale * integers

    @classmethod
    def of_codes(cls, name: str, shape: tuple[int, ...], codes: Codes) -> Tensor:
        """A tensor of integers that is not constant."""
        lo, hi = codes.interval()
        return cls(name, shape, lo, hi, codes)

    @classmethod
    def of_value(
        cls, name: str, value: npt.NDArray[Any], codes: Codes | None = None, integers: IntArray | None = None
    ) -> Tensor:
        """A constant."""
        numeric = value.astype(np.float64) if value.dtype.kind in "fiub" and value.size else np.zeros(())
        lo, hi = np.asarray(numeric.min()), np.asarray(numeric.max())
        return cls(name, value.shape, lo, hi, codes, value, integers)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=object))
