"""When a unit needs its inputs and how fast it works: what a schedule of the whole network is computed from.

Pixels are counted in raster order. A unit finishes output pixel p no earlier than ``interval[p]`` cycles after pixel
p - 1, and no earlier than ``tail`` cycles after the last input pixel that it needs, ``need[p]``, has arrived.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Floats", "Flow", "Ints", "evenly", "raster"]

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Flow:
    """How one folded unit turns pixels into pixels; times in cycles."""

    inputs: int  # pixels read from each input per image
    need: Ints  # shape: (output pixels,): last input pixel needed, never decreasing; -1: none of this image
    interval: Floats  # shape: (output pixels,)
    read: float  # to read one input pixel at full speed
    tail: float  # from the last input pixel needed to the last word of the output pixel
    span: float  # from the first to the last word of an output pixel
    reads_ahead: bool = False  # whether the next pixels of an image are read while this one is written
    across: bool = False  # whether those may be of the next image
    spare: int = 0  # pixels beyond those needed that the unit has room for
    latency: float = 1.0  # of its pipeline

    @property
    def pixels(self) -> int:
        """Output pixels per image."""
        return len(self.need)


def evenly(outputs: int, inputs: int) -> Ints:
    """Last input pixel that each output pixel needs where every output takes as many inputs."""
    return np.asarray(-(-(np.arange(outputs, dtype=np.int64) + 1) * inputs // outputs) - 1)


def raster(rows: Iterable[int], columns: Iterable[int], width: int) -> Ints:
    """The same where output row i needs input row ``rows[i]``, and output column j the column ``columns[j]``."""
    down, across = (np.asarray(axis, dtype=np.int64) for axis in (rows, columns))
    return np.asarray(down[:, None] * width + across[None]).reshape(-1)
