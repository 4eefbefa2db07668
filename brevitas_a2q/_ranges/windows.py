"""Sliding windows: the geometry that convolutions and pools share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

import numpy as np
import numpy.typing as npt

from brevitas_a2q._ranges.annotation import RangeError

__all__ = ["Window", "covered_taps"]

# Beyond these no small image is looked at tap by tap.
_MANY_PLACES: Final = 1 << 14
_MANY_TAPS: Final = 1 << 16


@dataclass(frozen=True)
class Window:
    """A window over spatial axes; all sequences have one entry per axis.

    Args:
        kernel: Taps.
        stride: Steps between positions.
        pads: Elements before and behind the image.
        dilation: Steps between taps.
        ceil: Whether positions that overhang the padded image behind count (they must begin inside image or pad).
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    ceil: bool = False

    @classmethod
    def of(
        cls,
        kernel: Sequence[int],
        stride: Sequence[int] | None = None,
        pads: Sequence[tuple[int, int]] | None = None,
        dilation: Sequence[int] | None = None,
        ceil: bool = False,
    ) -> Window:
        """A window whose steps are 1, and pads 0, where they are not given."""
        n = len(kernel)
        whole = cls(
            tuple(kernel),
            tuple(stride or (1,) * n),
            tuple((int(a), int(b)) for a, b in (pads or ((0, 0),) * n)),
            tuple(dilation or (1,) * n),
            ceil,
        )
        if {len(whole.stride), len(whole.pads), len(whole.dilation)} != {n}:
            raise RangeError(f"found a window of {n} axes with parameters of others", expected="one for each axis")
        if min(*whole.kernel, *whole.stride, *whole.dilation) < 1:
            raise RangeError(f"found kernel {kernel}, stride {stride}, dilation {dilation}", expected="1 or more")
        return whole

    @property
    def taps(self) -> int:
        """Elements of one window."""
        return prod(self.kernel)

    @property
    def padded(self) -> bool:
        """Whether any pad is not zero."""
        return any(before or behind for before, behind in self.pads)

    def span(self, axis: int) -> int:
        """Elements from the first tap to the last."""
        return self.dilation[axis] * (self.kernel[axis] - 1) + 1

    def positions(self, size: Sequence[int]) -> tuple[int, ...]:
        """Positions along each axis of an image of this size."""
        counts = []
        for axis, n in enumerate(size):
            before, behind = self.pads[axis]
            free = n + before + behind - self.span(axis)
            steps = -(-free // self.stride[axis]) if self.ceil else free // self.stride[axis]
            if self.ceil and steps * self.stride[axis] >= n + before:
                steps -= 1  # a window must begin inside the image or its leading pad
            counts.append(steps + 1 if free >= 0 or (self.ceil and steps >= 0) else 0)
        return tuple(counts)

    def overhangs(self, size: Sequence[int]) -> bool:
        """Whether a position reaches behind the padded image, as with ``ceil`` it can."""
        return any(
            (count - 1) * self.stride[axis] + self.span(axis) > size[axis] + sum(self.pads[axis])
            for axis, count in enumerate(self.positions(size))
        )

    def meets_nothing(self, size: Sequence[int]) -> bool:
        """Whether a position has none of its taps inside the image."""
        if not self.padded and not self.overhangs(size):
            return False
        places = [_places(self, axis, n) for axis, n in enumerate(size)]
        return any(seen is None or bool((seen[:, 0] > seen[:, 1]).any()) for seen in places)


def covered_taps(window: Window, size: Sequence[int]) -> list[npt.NDArray[np.bool_]]:
    """The taps that one position really meets, the others lying in the padding: the largest such sets.

    Args:
        window: Of a convolution.
        size: Of the image.

    Returns:
        Masks of the kernel's shape, none inside another; one mask of all taps in the ordinary case.

    Example:
        >>> [int(mask.sum()) for mask in covered_taps(Window.of((3, 3), pads=((1, 1), (1, 1))), (2, 2))]
        [4, 4, 4, 4]
        >>> [int(mask.sum()) for mask in covered_taps(Window.of((3, 3), pads=((1, 1), (1, 1))), (1, 8))]
        [3]
    """
    per_axis = [_covered(window, axis, size[axis]) for axis in range(len(size))]
    if prod(map(len, per_axis)) * prod(window.kernel) > _MANY_TAPS:  # all taps, which is never too few
        return [np.ones(window.kernel, bool)]
    masks: list[npt.NDArray[np.bool_]] = [np.ones((), bool)]
    for options in per_axis:
        masks = [np.multiply.outer(mask, option) for mask in masks for option in options]
    return masks


def _places(window: Window, axis: int, size: int) -> npt.NDArray[np.int64] | None:
    """First and last tap that lie in the image, for each position along one axis; the first beyond the last for none.

    None where there are too many positions to look at.
    """
    free = size + sum(window.pads[axis]) - window.span(axis)
    count = 1 + free // window.stride[axis] + int(window.ceil and free % window.stride[axis] > 0)
    before, behind = window.pads[axis]
    # Only positions near the border see less than all taps, so a window of those and one in the middle is enough.
    reach = -(-(window.span(axis) + before + behind) // window.stride[axis]) + 1
    if min(count, 2 * reach) > _MANY_PLACES:
        return None
    starts = np.unique(np.r_[np.arange(min(count, reach)), np.arange(max(0, count - reach), count)])
    left = starts * window.stride[axis] - before
    first = np.maximum(0, -(left // window.dilation[axis]))
    last = np.minimum(window.kernel[axis] - 1, (size - 1 - left) // window.dilation[axis])
    return np.stack([first, last], axis=1)


def _covered(window: Window, axis: int, size: int) -> list[npt.NDArray[np.bool_]]:
    taps, places = window.kernel[axis], _places(window, axis, size)
    if places is None or taps > _MANY_TAPS or ((places[:, 0] == 0) & (places[:, 1] == taps - 1)).any():
        return [np.ones(min(taps, _MANY_TAPS + 1), bool)]
    # Taps that a position meets follow each other: by their first, and of these the longest before, none that ends
    # no later than one before it is the largest.
    turned = np.array([1, -1])
    some = np.unique(places[places[:, 0] <= places[:, 1]] * turned, axis=0) * turned
    largest = some[some[:, 1] > np.maximum.accumulate(np.r_[-1, some[:, 1]])[:-1]]
    if len(largest) * taps > _MANY_TAPS:
        return [np.ones(taps, bool)]
    each = np.arange(taps)
    return [(each >= first) & (each <= last) for first, last in largest] or [np.zeros(taps, bool)]
