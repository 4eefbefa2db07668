"""Integers are those of QONNX's own functions, bit for bit."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q._ir.quantizer import ROUNDING_MODES, MultiThreshold, Quantizer, Truncation, dequantize

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from qonnx.custom_op.general.bipolar_quant import binary_quant
    from qonnx.custom_op.general.multithreshold import multithreshold
    from qonnx.custom_op.general.quant import quant
    from qonnx.custom_op.general.trunc import trunc_v1, trunc_v2

MODES = sorted(set(ROUNDING_MODES) - {"ROUND_TO_ZERO"})  # QONNX calls it DOWN
REALS = hnp.arrays(np.float32, 40, elements=st.floats(-40, 40, width=32))
SCALES = st.floats(2.0**-6, 4, width=32)


@settings(max_examples=200, deadline=None)
@given(
    x=REALS,
    scale=SCALES,
    zero_point=st.integers(-8, 8),
    bits=st.integers(1, 12),
    signed=st.booleans(),
    narrow=st.booleans(),
    mode=st.sampled_from(MODES),
)
def test_quant(x: Any, scale: float, zero_point: int, bits: int, signed: bool, narrow: bool, mode: str) -> None:
    s, z, b = (np.float32(v) for v in (scale, zero_point, bits))
    if bits == 1 and signed:
        dtype, narrow = IntType("BIPOLAR"), False
    else:
        dtype = IntType.of(bits, signed)
    ours = Quantizer(s, z, dtype, narrow, mode)
    integers = ours.integers(x)
    np.testing.assert_array_equal(dequantize(integers, s), quant(x, s, z, b, signed, narrow, mode))


@example(x=np.full(3, -1e-45, np.float32), scale=2.0)
@given(x=REALS, scale=SCALES)
def test_bipolar_quant(x: Any, scale: float) -> None:
    s = np.float32(scale)
    ours = Quantizer(s, np.float32(0), IntType("BIPOLAR"), by_sign=True)
    np.testing.assert_array_equal(dequantize(ours.integers(x), s), binary_quant(x, s))


@settings(max_examples=100, deadline=None)
@given(
    v=hnp.arrays(np.int64, 40, elements=st.integers(-500, 500)),
    scale=SCALES,
    shift=st.integers(0, 5),
    mode=st.sampled_from(MODES),
)
def test_trunc(v: Any, scale: float, shift: int, mode: str) -> None:
    s = np.float32(scale)
    x = dequantize(v, s)
    first = Truncation(s, np.float32(2.0**shift), s, mode)
    expected = trunc_v1(x, s, np.float32(0), np.float32(10), np.float32(10 - shift), mode)
    np.testing.assert_array_equal(dequantize(first.integers(x), s), expected)
    wide = np.float32(scale * 2.0**shift)
    second = Truncation(s, np.float32(2.0**shift), wide, mode, (-32, 31))
    expected = trunc_v2(x, s, np.float32(0), np.float32(10), False, True, wide, np.float32(6), mode)
    np.testing.assert_array_equal(dequantize(second.integers(x), wide), expected)


@pytest.mark.parametrize("rows", [1, 3])
def test_multi_threshold(rows: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 3, 5, 5)).astype(np.float32)
    thresholds = np.sort(rng.standard_normal((rows, 7)).astype(np.float32), axis=1)
    ours = MultiThreshold(thresholds, np.float32(0.5), -3)
    np.testing.assert_array_equal(dequantize(ours.integers(x), ours.scale), multithreshold(x, thresholds, 0.5, -1.5))


def test_wide_quantizers_keep_their_ends() -> None:
    ours = Quantizer(np.float32(1), np.float32(0), IntType("INT32"))
    assert ours.integers(np.float32([-1e30, 1e30])).tolist() == [-(2**31), 2**31 - 1]
