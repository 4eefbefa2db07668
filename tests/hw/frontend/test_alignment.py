"""Factors that bring two streams to one scale."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from brevitas_a2q.hw._frontend.alignment import align

SCALES = st.floats(2.0**-20, 2.0**10, width=32)


@given(st.integers(1, 256), st.integers(-256, 256).filter(bool), st.integers(-20, 4))
def test_ratios_of_small_integers_are_exact(p: int, q: int, exponent: int) -> None:
    step = 2.0**exponent
    found = align((np.array([p * step]), np.array([q * step])), (255, 255))
    assert found.error == 0
    for factor, scale in zip(found.factors, (p * step, q * step), strict=True):
        assert factor * found.step == scale


@given(
    st.lists(st.tuples(SCALES, SCALES, st.sampled_from([1, -1])), min_size=1, max_size=4),
    st.integers(1, 1 << 12),
    st.integers(1, 1 << 12),
)
def test_sums_are_off_by_no_more_than_said(
    scales: list[tuple[float, float, int]], first_top: int, second_top: int
) -> None:
    first, second = (np.array([s[0] for s in scales]), np.array([s[1] * s[2] for s in scales]))
    found = align((first, second), (first_top, second_top))
    coarse = np.maximum(np.abs(first), np.abs(second))
    p, q = (factor * found.step for factor in found.factors)
    off = np.abs(p - first) * first_top + np.abs(q - second) * second_top
    assert (off <= (found.error + 1e-6) * coarse).all()
    assert found.error <= 1 / 16
