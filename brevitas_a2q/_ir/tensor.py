"""A tensor of a network: its abstract value (:mod:`brevitas_a2q._ranges`) under its name, and its element type."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from brevitas_a2q._ranges.annotation import MAX_ANNOTATION, FloatArray, IntArray, compact, joined
from brevitas_a2q._ranges.value import Codes, Value, integer_sum_fits

__all__ = ["MAX_ANNOTATION", "Codes", "FloatArray", "Tensor", "compact", "integer_sum_fits"]

FLOAT32: Final[np.dtype[Any]] = np.dtype(np.float32)


@dataclass(frozen=True, eq=False)
class Tensor(Value):
    """One tensor: constant (``value``), integers (``codes``), or only known to lie in ``[lo, hi]``."""

    name: str = ""
    element: np.dtype[Any] = FLOAT32  # of what the file computes with; not of the integers that the values stand for

    @classmethod
    def named(cls, name: str, value: Value, element: np.dtype[Any] = FLOAT32) -> Tensor:
        """A value as a tensor of a network."""
        element = element if value.number is None else value.number.dtype
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(Value)}
        return cls(**fields, name=name, element=element)

    @property
    def value(self) -> npt.NDArray[Any] | None:
        """Of constants, the numbers themselves: as the file holds them or as folding computes them."""
        return self.number

    @property
    def integers(self) -> IntArray | None:
        """Of constants with codes: ``value = scale * integers``."""
        return self.codes.lo if self.number is not None and self.codes is not None else None

    @property
    def cost(self) -> int:
        """Elements that its annotations hold."""
        size = self.lo.size + self.hi.size
        if self.codes is None or self.number is not None:
            return size
        c = self.codes
        return size + c.scale.size + c.zero_point.size + c.lo.size + c.hi.size

    def within(self, size: int) -> Tensor:
        """The same with annotations of at most ``size`` elements each: ranges joined, scales that vary more dropped."""
        if self.number is not None or self.cost <= size:
            return self
        lo, hi = joined(self.lo, np.min, size), joined(self.hi, np.max, size)
        codes = self.codes
        if codes is not None:
            fits = max(codes.scale.size, codes.zero_point.size) <= size
            ends = joined(codes.lo, np.min, size), joined(codes.hi, np.max, size)
            codes = replace(codes, lo=ends[0], hi=ends[1]) if fits else None
        return replace(self, lo=lo, hi=hi, codes=codes)
