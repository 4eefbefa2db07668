"""Quantizers of QONNX, computed in float32 in the order in which the QONNX executor computes them.

The integers of a file are what this arithmetic makes of it, so the order of operations matters: divide by the scale,
add the zero-point, clip, round (``qonnx.custom_op.general.intquant`` and ``bipolar_quant``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q._ir.dot_product import IntArray

__all__ = ["ROUNDING_MODES", "IntegerFunction", "MultiThreshold", "Quantizer", "Truncation", "round_as"]

Float = npt.NDArray[np.float32]


def round_as(mode: str, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Round by a rounding mode of QONNX; half to even unless told otherwise.

    Example:
        >>> round_as("ROUND", np.array([0.5, 1.5, -2.5])).tolist(), round_as("HALF_UP", np.array([0.5, -2.5])).tolist()
        ([0.0, 2.0, -2.0], [1.0, -3.0])
    """
    rounded: npt.NDArray[Any] = ROUNDING_MODES[mode](x)
    return rounded


ROUNDING_MODES: dict[str, Any] = {
    "ROUND": np.round,
    "HALF_EVEN": np.round,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": lambda x: np.sign(x) * np.ceil(np.abs(x)),
    "DOWN": np.trunc,
    "ROUND_TO_ZERO": np.trunc,
    "HALF_UP": lambda x: np.sign(x) * np.floor(np.abs(x) + np.float32(0.5)),
    "HALF_DOWN": lambda x: np.sign(x) * np.ceil(np.abs(x) - np.float32(0.5)),
}


class IntegerFunction(Protocol):
    """What every quantizing node carries as its attribute ``quantizer``: real values to integers and back."""

    @property
    def scale(self) -> Float:
        """Value of one integer step; shape broadcastable to the output."""

    def integers(self, x: npt.NDArray[Any]) -> IntArray:
        """The integers of real values, element by element, never falling where the values rise."""


def dequantize(integers: IntArray, scale: Float) -> Float:
    """Real values of integers, rounded to float32 as the executor does."""
    with np.errstate(all="ignore"):
        return np.asarray(integers, np.float32) * scale


@dataclass(frozen=True, eq=False)
class Quantizer:
    """``Quant``, ``IntQuant`` or ``BipolarQuant``: real values to integers ``v = code - zero_point``, and back.

    Args:
        scale: shape broadcastable to the input, positive.
        zero_point: shape broadcastable to the input, integral.
        dtype: Type of the codes; BIPOLAR means -1 or 1 by sign.
        narrow: Whether the lowest signed (highest unsigned) code is left out.
        rounding_mode: A key of :data:`ROUNDING_MODES`.

    Example:
        >>> one = np.float32(0.5), np.float32(0)
        >>> Quantizer(*one, IntType("INT4"), True, "ROUND").integers(np.float32([-9, 0.3, 9])).tolist()
        [-7, 1, 7]
    """

    scale: Float
    zero_point: Float
    dtype: IntType
    narrow: bool = False
    rounding_mode: str = "ROUND"
    by_sign: bool = False  # BipolarQuant looks at the sign of x itself: the smallest x, scaled, rounds to zero
    rounds_first: bool = False  # QuantizeLinear rounds before it adds the zero-point

    @property
    def code_range(self) -> tuple[int, int]:
        """Lowest and highest code."""
        lo, hi = self.dtype.range.lo, self.dtype.range.hi
        if self.narrow and self.dtype.name != "BIPOLAR":
            lo, hi = (lo + 1, hi) if self.dtype.signed else (lo, hi - 1)
        return lo, hi

    def integers(self, x: npt.NDArray[Any]) -> IntArray:
        """The integers ``v`` of real values, as int64; shape as ``x`` broadcast with the scale."""
        with np.errstate(all="ignore"):
            if self.dtype.name == "BIPOLAR":
                real = np.asarray(x, np.float32)
                signs = np.where((real if self.by_sign else real / self.scale + self.zero_point) >= 0, 1, -1)
                signs = np.broadcast_to(signs, np.broadcast_shapes(signs.shape, self.scale.shape))
                return signs - self.zero_point.astype(np.int64)
            lo, hi = self.code_range
            codes = np.asarray(x, np.float32) / self.scale
            codes = (
                round_as(self.rounding_mode, codes) + self.zero_point if self.rounds_first else codes + self.zero_point
            )
            codes = round_as(self.rounding_mode, np.clip(codes, np.float32(lo), np.float32(hi)))
            # Above 24 bits float32 can round a bound outward (2^31 - 1 becomes 2^31): clip once more, as integers.
            return np.clip(codes.astype(np.int64), lo, hi) - self.zero_point.astype(np.int64)


@dataclass(frozen=True, eq=False)
class Truncation:
    """``Trunc``: round at the input's scale, divide by a power of two, clip if it has limits, round again.

    Version 1 of the operator keeps the scale and does not clip (``qonnx.custom_op.general.trunc``).
    """

    input_scale: Float
    divisor: Float
    scale: Float
    rounding_mode: str
    limits: tuple[int, int] | None = None

    def integers(self, x: npt.NDArray[Any]) -> IntArray:
        """The integers of real values at the output's scale."""
        with np.errstate(all="ignore"):
            codes = np.round(np.asarray(x, np.float32) / self.input_scale) / self.divisor
            if self.limits is not None:
                codes = np.clip(codes, *self.limits)
            bounded = np.clip(round_as(self.rounding_mode, codes), -(2.0**62), 2.0**62)
        return np.asarray(bounded, np.int64)


@dataclass(frozen=True, eq=False)
class MultiThreshold:
    """``MultiThreshold``: ``each`` for every threshold at or below the input, plus a bias; channels on axis 1."""

    thresholds: Float  # shape: (channels or 1, steps)
    scale: Float
    bias: int
    channel_axis: int = 1
    each: int = 1

    def integers(self, x: npt.NDArray[Any]) -> IntArray:
        """The integers of real values; ``x`` has the tensor's rank."""
        last = np.moveaxis(np.asarray(x, np.float32), self.channel_axis, -1)
        count = (last[..., None] >= self.thresholds).sum(axis=-1, dtype=np.int64)
        return np.asarray(np.moveaxis(count, -1, self.channel_axis) * self.each + self.bias, np.int64)
