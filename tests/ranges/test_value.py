"""Annotations stay small; windows meet the taps that they meet."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from brevitas_a2q._ranges import MAX_ANNOTATION, Codes, IntType, RangeError, Value, Window, covered_taps, table
from brevitas_a2q._ranges.annotation import reshaped

ZERO = np.zeros((), np.int64)


def test_per_channel_ranges_of_a_large_image_stay_per_channel():
    shape = (1, 3, 4096, 4096)
    hi = np.array([1, 2, 3]).reshape(1, 3, 1, 1)
    value = Value.of_codes(shape, Codes(np.ones(()), ZERO, hi, IntType("UINT4"), ZERO))
    padded = table.pad(value, [(0, 0), (0, 1), (1, 1), (1, 1)])
    moved = table.reshape(table.permute(padded, (0, 2, 3, 1)), (4098 * 4098, 4))
    assert moved.codes is not None
    assert moved.codes.hi.tolist() == [[1, 2, 3, 0]]


def test_ranges_beyond_the_limit_are_joined():
    side = 2048
    row = Value.interval((1, 1, side, side), np.arange(side).reshape(1, 1, side, 1) * 1.0, np.full((), 1e9))
    column = Value.constant(np.arange(side, dtype=np.float32).reshape(1, 1, 1, side))
    total = table.add(row, column)
    assert total.lo.size <= MAX_ANNOTATION
    assert float(total.lo.min()) <= 0


@pytest.mark.parametrize("trial", range(60))
def test_reshaped_annotations(trial):
    rng = np.random.default_rng(trial)
    before = tuple(rng.integers(1, 5, rng.integers(1, 5)))
    array = rng.integers(0, 3, tuple(n if rng.integers(2) else 1 for n in before))
    size = int(np.prod(before))
    divisors = [d for d in range(1, size + 1) if size % d == 0]
    first = int(rng.choice(divisors))
    second = int(rng.choice([d for d in divisors if (size // first) % d == 0]))
    after = (first, second, size // first // second)
    full = np.broadcast_to(array, before).reshape(after)
    assert np.array_equal(np.broadcast_to(reshaped(array, before, after), after), full)


def test_hull():
    value = Value.interval((2,), np.float64(0), np.float64(1)).hull(
        Value.interval((2,), np.float64(-3), np.float64(0.5))
    )
    assert (float(value.lo), float(value.hi)) == (-3.0, 1.0)


def test_covered_taps_by_enumeration():
    rng = np.random.default_rng(0)
    for _ in range(200):
        kernel, stride, dilation = (tuple(int(v) for v in rng.integers(1, 4, 2)) for _ in range(3))
        pads = tuple((int(a), int(b)) for a, b in rng.integers(0, 3, (2, 2)))
        size = tuple(int(v) for v in rng.integers(1, 6, 2))
        window = Window.of(kernel, stride, pads, dilation)
        if min(window.positions(size)) < 1:
            continue
        seen = set()
        for place in itertools.product(*(range(n) for n in window.positions(size))):
            mask = tuple(
                all(0 <= place[d] * stride[d] - pads[d][0] + tap[d] * dilation[d] < size[d] for d in range(2))
                for tap in itertools.product(range(kernel[0]), range(kernel[1]))
            )
            seen.add(mask)
        assert window.meets_nothing(size) == any(not any(mask) for mask in seen)
        largest = {
            m
            for m in seen
            if any(m) and not any(m != o and all(a <= b for a, b in zip(m, o, strict=True)) for o in seen)
        }
        found = {tuple(bool(v) for v in mask.reshape(-1)) for mask in covered_taps(window, size)}
        assert {m for m in found if any(m)} == largest


def test_parameters_that_do_not_fit():
    x = Value.unknown((1, 3, 4, 4))
    for attempt in (
        lambda: table.permute(x, (0, 1)),
        lambda: table.reshape(x, (5,)),
        lambda: table.take(x, 1, [3]),
        lambda: table.pad(x, [(0, 0)]),
        lambda: table.concat([x, Value.unknown((1, 3, 4, 5))], 1),
        lambda: table.max_pool(x, Window.of((5, 5))),
        lambda: table.add(x, Value.unknown((2, 2))),
        lambda: table.pixel_shuffle(x, 2),
    ):
        with pytest.raises(RangeError):
            attempt()


def test_scale_per_channel_follows_padding():
    """Padding along the channels behind scales per channel: each channel keeps its own."""
    scale = np.array([1.0, 16.0]).reshape(1, 2, 1, 1)
    x = Value.of_codes((1, 2, 4, 4), Codes(scale, ZERO, ZERO + 15, IntType("UINT4"), ZERO))
    padded = table.pad(x, [(0, 0), (0, 2), (0, 0), (0, 0)])
    assert padded.codes is not None
    assert padded.codes.scale.reshape(-1).tolist() == [1, 16, 16, 16]
    assert padded.codes.hi.reshape(-1).tolist() == [15, 15, 0, 0]
    assert float(padded.hi.max()) == 240
