"""Quantizers of the table against the same arithmetic in float32, on values at their ends and at boundaries."""

from __future__ import annotations

import numpy as np
import pytest
from concrete import codes, reals

from brevitas_a2q._ranges import RangeError, Value, table

SHAPE = (2, 4, 3, 3)
ROUNDINGS = {
    "ROUND": np.round,
    "FLOOR": np.floor,
    "CEIL": np.ceil,
    "ROUND_TO_ZERO": np.trunc,
    "UP": lambda x: np.sign(x) * np.ceil(np.abs(x)),
    "HALF_UP": lambda x: np.sign(x) * np.floor(np.abs(x) + 0.5),
    "HALF_DOWN": lambda x: np.sign(x) * np.ceil(np.abs(x) - 0.5),
}


def _executed(x, scale, zero_point, bits, signed, narrow, rounding):
    steps = x / scale + zero_point
    lo = -(2 ** (bits - 1)) + int(narrow) if signed else 0
    hi = 2 ** (bits - 1) - 1 if signed else 2**bits - 1 - int(narrow)
    return ROUNDINGS[rounding](np.clip(steps, np.float32(lo), np.float32(hi))) - zero_point


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_quantize(rounding):
    rng = np.random.default_rng(0)
    for trial in range(60):
        given = codes(rng, SHAPE) if trial % 2 else reals(rng, SHAPE)
        scale = rng.choice(np.float32([0.1, 0.5, 1.0, 3.7, 1e-3]), [(), (1, 4, 1, 1)][trial % 2])
        zero_point = np.float32(rng.choice([0, 0, 3, 128]))
        bits, signed, narrow = int(rng.integers(2, 9)), bool(rng.integers(2)), bool(rng.integers(2))
        value = table.quantize(given.value, scale, zero_point, bits, signed, narrow, rounding)
        assert value.codes.holds(value.codes.lo, value.codes.hi)
        for tensor in given.tensors:
            v = _executed(tensor.numpy(), scale, zero_point, bits, signed, narrow, rounding)
            assert (v >= value.codes.lo).all()
            assert (v <= value.codes.hi).all()
            executed = (v * scale).astype(np.float32)
            assert ((executed >= value.lo) & (executed <= value.hi)).all()


def test_ranges_are_tight():
    """Integers of one scale quantized again at that scale gain nothing."""
    rng = np.random.default_rng(1)
    for scale in np.float32([0.1, 0.333, 1.0, 17.3]):
        given = codes(rng, SHAPE, scale=np.asarray(scale)).value
        again = table.quantize(given, scale, np.float32(0), 8, True).codes
        assert np.array_equal(np.broadcast_to(again.lo, SHAPE), np.broadcast_to(given.codes.lo, SHAPE))
        assert np.array_equal(np.broadcast_to(again.hi, SHAPE), np.broadcast_to(given.codes.hi, SHAPE))


def test_boundaries_gain_a_code_only_where_rounding_can_reach_it():
    def top(hi):
        return int(table.quantize(Value.interval((1,), np.float64(0), np.float64(hi)), 1.0, 0.0, 8, False).codes.hi)

    assert [top(2.4), top(2.5), top(2.6)] == [2, 2, 3]  # 2.5 is exact, and half goes to even
    third = np.float32(0.1)
    hi = float(third) * 2.5
    assert int(table.quantize(Value.interval((1,), np.float64(0), np.float64(hi)), third, 0.0, 8, False).codes.hi) == 3


def test_unknown_input_gives_the_whole_type():
    codes_ = table.quantize(Value.unknown((3,)), 1.0, 2.0, 4, False).codes
    assert (int(codes_.lo), int(codes_.hi)) == (-2, 13)


@pytest.mark.parametrize("scale", [0.0, np.nan, np.inf])
def test_bad_scales(scale):
    with pytest.raises(RangeError, match="scale"):
        table.quantize(Value.unknown((3,)), scale, 0.0, 4, False)


def test_bipolar_and_thresholds():
    rng = np.random.default_rng(2)
    thresholds = np.sort(rng.normal(0, 3, (4, 5)).astype(np.float32), axis=1)
    for trial in range(30):
        given = codes(rng, SHAPE) if trial % 2 else reals(rng, SHAPE)
        signs = table.bipolar(given.value, np.float32(0.3)).codes
        counts = table.threshold(given.value, thresholds, scale=0.5, bias=-2).codes
        for tensor in given.tensors:
            x = tensor.numpy()
            v = np.where(x >= 0, 1, -1)
            assert ((v >= signs.lo) & (v <= signs.hi)).all()
            n = (np.moveaxis(x, 1, -1)[..., None] >= thresholds).sum(-1)
            n = np.moveaxis(n, -1, 1) - 2
            assert ((n >= counts.lo) & (n <= counts.hi)).all()


def test_truncate():
    rng = np.random.default_rng(3)
    for _ in range(30):
        given = codes(rng, SHAPE, scale=np.asarray(np.float32(0.1)))
        value = table.truncate(given.value, np.float32(0.1), 2, output_scale=0.1, rounding="FLOOR").codes
        for tensor in given.tensors:
            v = np.floor(np.round(tensor.numpy() / np.float32(0.1)) / 4)
            assert ((v >= value.lo) & (v <= value.hi)).all()
