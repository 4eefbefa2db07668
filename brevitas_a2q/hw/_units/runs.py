"""Long sequences of numbers in runs of arithmetic progressions: times of pixels, kept by the row and not by the pixel.

The pixels of an image pass a unit evenly but at the ends of rows, so that their times are a few progressions a row.
What a schedule does with them, sums, maxima, running maxima and one sequence read at the places of another, takes runs
to runs; the work depends on how many there are, not on how many numbers they stand for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

__all__ = ["Floats", "Ints", "Runs", "sampled"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_SAME = 1e-6  # of places and times, which are whole or fractions with small denominators
_STEEPER = 1e-10
_SAMPLES = 1 << 8  # places at which a sequence of few runs is looked at


@dataclass(frozen=True, eq=False)
class Runs:
    """``length`` numbers; from index ``start[j]`` on they are ``value[j] + step[j] * (i - start[j])``.

    Numbers may be ``-inf``: nothing is known, or nothing is needed.

    Examples:
        >>> Runs.ramp(0, 2, 3) + Runs.constant(1, 3)
        Runs([1, 3, 5])
        >>> Runs.ramp(0, 1, 6).minimum(3).through(Runs.ramp(1, 2, 3))
        Runs([1, 3, 3])
    """

    start: Ints  # shape: (runs,); the first is 0
    value: Floats
    step: Floats
    length: int

    def __repr__(self) -> str:
        shown = ", ".join(f"{number:g}" for number in self.at(np.arange(min(self.length, 12))))
        return f"Runs([{shown}{', ...' if self.length > 12 else ''}])"

    @classmethod
    def constant(cls, value: float, length: int) -> Runs:
        """The same number everywhere."""
        return cls.ramp(value, 0.0, length)

    @classmethod
    def ramp(cls, first: float, step: float, length: int) -> Runs:
        """One progression."""
        return cls(np.zeros(1, np.int64), np.array([first], np.float64), np.array([step], np.float64), length)

    @classmethod
    def levels(cls, start: npt.ArrayLike, value: npt.ArrayLike, length: int) -> Runs:
        """Numbers that are equal within each run, as :meth:`sums` needs them."""
        starts = np.asarray(start, np.int64)
        return cls(starts, np.asarray(value, np.float64), np.zeros(len(starts)), length)

    @classmethod
    def joined(cls, start: npt.ArrayLike, value: npt.ArrayLike, step: npt.ArrayLike, length: int) -> Runs:
        """Runs from their parts, in order of ``start``; those that go on where the one before ends are one."""
        starts, values = np.asarray(start, np.int64), np.asarray(value, np.float64)
        steps = np.array(step, np.float64) if np.ndim(step) else np.full(values.shape, step, np.float64)
        if len(starts) == 1:
            return cls(starts, values, steps, length)
        lengths = _lengths(starts, length)
        with np.errstate(invalid="ignore"):
            onward = values[1:] - values[:-1]
            single = np.flatnonzero(lengths[:-1] == 1)
            steps[single] = np.where(np.isfinite(onward[single]), onward[single], 0.0)
            if lengths[-1] == 1:
                steps[-1] = 0.0
            off = steps[:-1] * lengths[:-1] - onward
            goes_on = (np.abs(off) < _SAME) | (np.isnan(off) & np.isneginf(values[1:]))
        straight = goes_on & (np.abs(steps[1:] - steps[:-1]) <= _STEEPER)
        closing = goes_on & (lengths[1:] == 1) & ~straight  # the last of one run does not lead into the next
        keep = np.ones(len(starts), bool)
        keep[1:] = ~(straight | closing)
        keep[2:] |= closing[:-1]
        return cls(starts[keep], values[keep], steps[keep], length)

    def same(self, other: Runs) -> bool:
        """Whether the other one has the same numbers in the same runs."""
        parts = (self.start, other.start), (self.value, other.value), (self.step, other.step)
        return all(np.array_equal(a, b) for a, b in parts)

    def counts_up_to(self, length: int) -> bool:
        """Whether these are the numbers from 0 up to this one, which is left out."""
        return self.length == length and len(self.start) == 1 and self.value[0] == 0 and self.step[0] == 1

    @cached_property
    def lengths(self) -> Ints:
        """How many numbers each run has."""
        return _lengths(self.start, self.length)

    @cached_property
    def last(self) -> Floats:
        """The last number of each run."""
        return np.asarray(self.value + self.step * (self.lengths - 1))

    def at(self, places: npt.ArrayLike) -> Floats:
        """The numbers at these indices."""
        index = np.asarray(places)
        run = np.searchsorted(self.start, index, side="right") - 1
        return np.asarray(self.value[run] + self.step[run] * (index - self.start[run]))

    def first(self, numbers: Floats) -> Ints:
        """The first index whose number is not below each of these, or the length; the sequence must never fall."""
        run = np.maximum(np.searchsorted(self.value, numbers - _SAME) - 1, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            ahead = (numbers - _SAME - self.value[run]) / self.step[run]
        end = self.start[run] + self.lengths[run]
        inside = np.ceil(np.where(np.isnan(ahead), 0.0, ahead)).clip(0, self.length)
        return np.asarray(np.minimum(self.start[run] + inside.astype(np.int64), end))

    def _lines(self, starts: Ints) -> tuple[Floats, Floats]:
        """Value and step at each of these starts of a finer division."""
        run = np.searchsorted(self.start, starts, side="right") - 1
        return self.value[run] + self.step[run] * (starts - self.start[run]), self.step[run]

    def __add__(self, other: Runs) -> Runs:
        starts = _union(self.start, other.start)
        (a, up), (b, on) = self._lines(starts), other._lines(starts)
        return Runs.joined(starts, a + b, up + on, self.length)

    def __neg__(self) -> Runs:
        return Runs(self.start, -self.value, -self.step, self.length)

    def __sub__(self, other: Runs) -> Runs:
        return self + -other

    def plus(self, number: float) -> Runs:
        """Every number raised by this one."""
        return Runs(self.start, self.value + number, self.step, self.length)

    def scaled(self, factor: float) -> Runs:
        """Every number times this one."""
        return Runs(self.start, self.value * factor, self.step * factor, self.length)

    def extended(self, number: float, length: int) -> Runs:
        """The same number behind the last one, up to this length."""
        if length == self.length:
            return self
        start, value = np.append(self.start, self.length), np.append(self.value, number)
        return Runs.joined(start, value, np.append(self.step, 0.0), length)

    def maximum(self, other: Runs | float) -> Runs:
        """The larger of two numbers, at every index."""
        if not isinstance(other, Runs):
            if min(self.value.min(), self.last.min()) >= other:
                return self
            other = Runs.constant(other, self.length)
        starts = _union(self.start, other.start)
        return _larger(starts, self._lines(starts), other._lines(starts), self.length)

    def minimum(self, other: Runs | float) -> Runs:
        """The smaller of two numbers, at every index."""
        return -((-self).maximum(-other))

    def rising(self) -> Runs:
        """The largest number so far."""
        top = np.maximum(self.value, self.last)
        before = np.full(top.shape, -np.inf)
        np.maximum.accumulate(top[:-1], out=before[1:])
        level = before, np.zeros(top.shape)
        return _larger(self.start, (self.value, np.maximum(self.step, 0.0)), level, self.length)

    def lowest_to_come(self) -> Runs:
        """The smallest number from each index on."""
        return -((-self).reversed().rising().reversed())

    def reversed(self) -> Runs:
        """The last number first."""
        start = self.length - (self.start + self.lengths)[::-1]
        return Runs(start, self.last[::-1], -self.step[::-1], self.length)

    def sums(self) -> Runs:
        """The sum so far, of numbers that are equal within each run (:meth:`levels`)."""
        assert not self.step.any()
        whole = self.value * self.lengths
        before = np.cumsum(whole) - whole
        return Runs.joined(self.start, before + self.value, self.value, self.length)

    def delayed(self, first: float) -> Runs:
        """``first``, then every number but the last."""
        keep = self.start + 1 < self.length
        start, value = np.append(0, self.start[keep] + 1), np.append(first, self.value[keep])
        return Runs.joined(start, value, np.append(0.0, self.step[keep]), self.length)

    def through(self, places: Runs, early: bool = False) -> Runs:
        """The numbers at these places, which never fall; ``-inf`` at negative ones.

        Between two indices the number is on the line of the run before, or, where it must be ``early`` (never later
        than that of the next index), of the run behind.
        """
        if places.counts_up_to(self.length):
            return self
        bounds = self.start.astype(np.float64)
        marks = places.first(bounds - 1.0 + 3.0 * _SAME if early else bounds)
        starts = _distinct(places.start, marks[marks < places.length])
        place, pace = places._lines(starts)
        whole = np.ceil(place - _SAME) if early else np.floor(place + _SAME)
        run = np.searchsorted(self.start, np.clip(whole, 0, self.length - 1), side="right") - 1
        known = place > -_SAME
        value = np.where(known, self.value[run] + self.step[run] * (place - self.start[run]), -np.inf)
        return Runs.joined(starts, value, np.where(known, self.step[run] * pace, 0.0), places.length)

    def raised(self, most: int) -> Runs:
        """At most as many runs, nowhere lower: groups of runs become one, along their chord."""
        if len(self.start) <= most:
            return self
        chosen = np.arange(0, len(self.start), -(-len(self.start) // most))
        start, last = self.start[chosen], self.last
        end = start + _lengths(start, self.length) - 1
        value = self.value[chosen]
        step = (last[np.append(chosen[1:], len(self.start)) - 1] - value) / np.maximum(end - start, 1)
        finite = np.isfinite(step)
        value, step = np.where(finite, value, self._tops(chosen)), np.where(finite, step, 0.0)
        chord = Runs(start, value, step, self.length)
        ends = self.start + self.lengths - 1
        with np.errstate(invalid="ignore"):
            over = np.maximum(self.value - chord.at(self.start), last - chord.at(ends))
        above = np.maximum.reduceat(np.where(np.isnan(over), 0.0, over), chosen)
        return Runs.joined(start, value + np.maximum(above, 0.0), step, self.length)

    def _tops(self, chosen: npt.NDArray[np.intp]) -> Floats:
        return np.asarray(np.maximum.reduceat(np.maximum(self.value, self.last), chosen))


def sampled(*sequences: Runs) -> Ints:
    """Indices at the ends and within every stretch in which none of these begins a new run; all, if they are few."""
    length = sequences[0].length
    start = _distinct(*(one.start for one in sequences))
    lengths = _lengths(start, length)
    count = max(2, min(_SAMPLES // len(start), int(lengths.max())))
    steps, last = np.arange(count), (start + lengths - 1)[:, None]
    first = start[:, None]
    within = first + lengths[:, None] * steps // count
    places = np.concatenate([np.minimum(first + steps, last), np.maximum(last - steps, first), within], axis=1)
    return _distinct(places.reshape(-1))


def _lengths(start: Ints, length: int) -> Ints:
    found = np.empty_like(start)
    np.subtract(start[1:], start[:-1], out=found[:-1])
    found[-1] = length - start[-1]
    return found


def _union(a: Ints, b: Ints) -> Ints:
    if len(a) == 1:  # both begin with 0
        return b
    return a if len(b) == 1 else _distinct(a, b)


def _distinct(*places: Ints) -> Ints:
    """All of these in order, each once."""
    every = np.concatenate(places)
    every.sort()
    new = np.ones(len(every), bool)
    np.not_equal(every[1:], every[:-1], out=new[1:])
    return every[new]


def _larger(starts: Ints, one: tuple[Floats, Floats], other: tuple[Floats, Floats], length: int) -> Runs:
    """The larger of two lines in each division, which is parted where they cross."""
    (a, up), (b, on) = one, other
    with np.errstate(invalid="ignore", divide="ignore"):
        ahead = np.where(a == b, 0.0, a - b)
        faster = up - on
        leads = (ahead > 0) | ((ahead == 0) & (faster >= 0))
        crossing = np.floor(-ahead / faster) + 1.0  # the first index at which the other leads
        lengths = _lengths(starts, length)
        parted = (leads != (faster >= 0)) & (faster != 0) & (crossing > 0) & (crossing < lengths)
    value, step = np.where(leads, a, b), np.where(leads, up, on)
    if not parted.any():
        return Runs.joined(starts, value, step, length)
    at = crossing[parted].astype(np.int64)
    later = np.where(leads[parted], b[parted] + on[parted] * at, a[parted] + up[parted] * at)
    slope = np.where(leads[parted], on[parted], up[parted])
    where = np.flatnonzero(parted) + 1
    return Runs.joined(
        np.insert(starts, where, starts[parted] + at),
        np.insert(value, where, later),
        np.insert(step, where, slope),
        length,
    )
