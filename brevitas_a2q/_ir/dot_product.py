"""One layer's dot products as integers: what the certificate, the simulation and the estimator all start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from brevitas_a2q._ranges import Window, covered_taps
from brevitas_a2q._ranges.rows import rows_under
from brevitas_a2q.bounds import IntRange
from brevitas_a2q.errors import ModelError

__all__ = ["MORE_WEIGHTS", "DotProductLayer", "IntArray"]

IntArray = npt.NDArray[np.int64]

_MANY_WEIGHTS: Final = 1 << 22  # of one layer; more are summed with all of their taps, which is never too few
MORE_WEIGHTS: Final = 1 << 24  # elements, of all layers of a network, beside the weights that it holds

_ORDERS: Final = {
    "MatMul": "input feature",
    "Conv": "input channel, kernel axes",
    "ConvTranspose": "phase of the stride, input channel, kernel axes",
}


@dataclass(frozen=True, eq=False)
class DotProductLayer:
    """The integer dot products of a linear or convolutional layer, one row of ``weights`` per output channel.

    Grouped and depthwise layers list only the inputs their own group sees, so K is the number of products that one
    output really sums. ``x_lo`` and ``x_hi`` hold what each product's input (code less zero-point) can be; they always
    include 0, see :func:`brevitas_a2q.bounds.input_range`.
    """

    name: str
    op: str  # Conv, ConvTranspose, MatMul: the ONNX operator it is or becomes
    weights: IntArray  # shape: (channels, K)
    x_lo: IntArray  # shape: broadcastable to (channels, K); not positive
    x_hi: IntArray  # shape: broadcastable to (channels, K); not negative
    input_bit_width: int  # N of the input's data type
    input_signed: bool
    weight_bit_width: int  # M of the weights' data type
    bias: IntArray | None = None  # shape: (channels,), at the scale of the accumulator
    accumulator_bit_width: int | None = None  # target P; None: none was set
    tile: int | None = None  # products per tile with inner width P; None: one accumulator for all K
    outer_accumulator_bit_width: int | None = None  # width of the sum of tiles, where it is fixed
    range_source: str = "data type"  # what the input range was taken from
    notes: tuple[str, ...] = field(default=())
    raw: IntRange | None = None  # of codes whose zero-point is not subtracted first; None: there is none
    zero_point: str = "subtracted"  # or "raw": the datapath that its target was trained for

    def either_sign(self) -> DotProductLayer:
        """The same layer where a datapath may hold all its integers, or their negatives at the positive scale.

        Its inputs must be allowed both signs already; a channel with a bias becomes two, one with the negated bias.
        """
        if self.bias is None or not self.bias.any():
            return self
        ends = (end if end.shape[0] == 1 else np.repeat(end, 2, axis=0) for end in (self.x_lo, self.x_hi))
        x_lo, x_hi = ends
        bias = np.stack([self.bias, -self.bias], axis=1).reshape(-1)
        return replace(self, weights=np.repeat(self.weights, 2, axis=0), x_lo=x_lo, x_hi=x_hi, bias=bias)

    def where_covered(self, window: Window, size: Sequence[int]) -> DotProductLayer:
        """The same convolution on images of this size: taps that only padding meets are no part of a sum.

        Unchanged where some output meets all taps, as on all but the smallest images.
        """
        masks = covered_taps(window, size)
        if (len(masks) == 1 and masks[0].all()) or len(masks) * self.weights.size > _MANY_WEIGHTS:
            return self
        bias = None if self.bias is None else np.repeat(self.bias, len(masks))
        note = f"taps in the padding of images of {' x '.join(map(str, size))} are no part of a sum"
        return replace(
            self,
            weights=rows_under(self.weights, masks),
            x_lo=self._under(self.x_lo, masks),
            x_hi=self._under(self.x_hi, masks),
            bias=bias,
            notes=(*self.notes, note),
        )

    def _under(self, ends: IntArray, masks: Sequence[npt.NDArray[np.bool_]]) -> IntArray:
        return ends if ends.size == 1 else rows_under(np.broadcast_to(ends, self.weights.shape), masks)

    def __post_init__(self) -> None:
        if self.weights.ndim != 2 or self.weights.dtype != np.int64:
            raise ModelError(
                f"found weights of shape {self.weights.shape} and type {self.weights.dtype}",
                where=f"layer {self.name}",
                expected="int64 of shape (channels, K)",
            )
        if (self.x_lo > 0).any() or (self.x_hi < 0).any():
            raise ModelError("found an input range without 0", where=f"layer {self.name}", expected="x_lo <= 0 <= x_hi")

    def of_codes(self) -> DotProductLayer:
        """The same layer where codes are multiplied as they are, and the zero-point is corrected behind the sum."""
        if self.raw is None:
            return self
        ends = (np.array([[end]], np.int64) for end in (self.raw.lo, self.raw.hi))
        return replace(self, x_lo=next(ends), x_hi=next(ends))

    @property
    def order(self) -> str:
        """How its products are laid out in a row: the order in which tiles, hashes and witnesses have them."""
        return _ORDERS[self.op]

    @property
    def channels(self) -> int:
        """Number of output channels."""
        return int(self.weights.shape[0])

    @property
    def dot_product_size(self) -> int:
        """K, the products that one output sums."""
        return int(self.weights.shape[1])
