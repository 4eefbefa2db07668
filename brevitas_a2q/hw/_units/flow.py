"""When a unit needs its inputs and how fast it works: what a schedule of the whole network is computed from.

Pixels are counted in raster order. A unit finishes output pixel p no earlier than ``interval[p]`` cycles after pixel
p - 1, and no earlier than ``tail`` cycles after the last input pixel that it needs, ``need[p]``, has arrived.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

import numpy as np

from brevitas_a2q.hw._units.runs import Runs

__all__ = ["Flow", "evenly", "paced", "raster", "repeated", "surrounded"]

_WHOLE = 1e-6  # what a row's place may fall short of a whole number
_MOST_RUNS = 1 << 20  # of an image's rows; taller ones are followed along straight lines


@dataclass(frozen=True, eq=False)
class Flow:
    """How one folded unit turns pixels into pixels; times in cycles."""

    inputs: int  # pixels read from each input per image
    need: Runs  # of each output pixel: last input pixel needed, never decreasing; -1: none of this image
    interval: Runs  # of each output pixel, equal within each run
    read: float  # to read one input pixel at full speed
    tail: float  # from the last input pixel needed to the last word of the output pixel
    span: float  # from the first to the last word of an output pixel
    reach: int | None = None  # input pixels back to the first one of an output pixel, whose words leave as they come
    holding: float = 0.0  # from the first word of the last pixel needed to the last word of the output pixel, at least
    taking: float = 0.0  # to take an input pixel, where that is more than a word a cycle; then it reads while it works
    ahead: float = 0.0  # the next inputs are read from so long before a pixel enters the pipeline on
    rest: float = 0.0  # of an image's first interval, in which what is left of the image before is read
    spare: int = 0  # pixels beyond those needed that the unit has room for
    latency: float = 1.0  # of its pipeline
    queued: float = 0.0  # how much longer that is where pixels come faster than they leave

    @property
    def pixels(self) -> int:
        """Output pixels per image."""
        return self.need.length


def evenly(outputs: int, inputs: int) -> Runs:
    """Last input pixel that each output pixel needs where every output takes as many inputs.

    Where an input makes several outputs, they need it little by little: a schedule that is possible, in one run.
    """
    rest = 1 - gcd(inputs, outputs) / outputs
    return Runs.ramp(inputs / outputs - 1 + rest, inputs / outputs, outputs).minimum(inputs - 1)


def repeated(inputs: int, times: int, outputs: int) -> Runs:
    """The same of the first ``outputs`` of inputs that are each written some times."""
    return Runs.ramp(0, 1 / times, outputs).minimum(inputs - 1)


def raster(rows: Runs, columns: Runs, width: int) -> Runs:
    """The same where output row i needs input row ``rows[i]``, and output column j the column ``columns[j]``."""
    wide = columns.length
    if columns.length == 1 or rows.length * len(columns.start) > _MOST_RUNS:
        last = float(max(columns.value.max(), columns.last.max()))
        along = Runs(rows.start * wide, rows.value * width, rows.step * width / wide, rows.length * wide)
        return along.plus(last).minimum(float(rows.last[-1]) * width + last)
    row = np.arange(rows.length)
    start = row[:, None] * wide + columns.start
    value = np.floor(rows.at(row)[:, None] + _WHOLE) * width + columns.value
    step = np.tile(columns.step, rows.length)
    return Runs.joined(start.reshape(-1), value.reshape(-1), step, rows.length * wide).rising()


def surrounded(shape: tuple[int, int], pads: tuple[int, int, int, int]) -> Runs:
    """The pixels read so far, less one, where zeros are written (top, left, bottom, right) around an image."""
    (height, width), (top, left, bottom, right) = shape, pads
    wide, high = left + width + right, top + height + bottom
    if 3 * height > _MOST_RUNS:
        return Runs.ramp(width * (1 - top) - 1, width / wide, high * wide).maximum(-1).minimum(height * width - 1)
    row = np.arange(height)[:, None]
    start = np.append(0, (top + row) * wide + [0, left, left + width])
    value = np.append(-1, row * width + [-1, 0, width - 1])
    step = np.append(0, np.tile([0, 1, 0], height))
    some = np.diff(start, append=high * wide) > 0
    return Runs.joined(start[some], value[some], step[some], high * wide)


def paced(shape: tuple[int, int], inner: float, row: float, image: float) -> Runs:
    """Cycles of each pixel of an image of this shape: within a row, at the first of a row, at the first of an image."""
    height, width = shape
    if 2 * height > _MOST_RUNS:
        whole = height * (width - 1) * inner + (height - 1) * row + image
        return Runs.constant(whole / (height * width), height * width)
    start = (np.arange(height)[:, None] * width + np.arange(min(width, 2))).reshape(-1)
    value = np.tile(np.array([row, inner][: min(width, 2)], np.float64), height)
    value[0] = image
    return Runs.levels(start, value, height * width)
