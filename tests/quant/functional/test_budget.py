"""Budgets as tensors equal the exact ones of ``brevitas_a2q.bounds``."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from brevitas_a2q.bounds import input_range, two_sided_budget
from brevitas_a2q.quant._functional import budget_use, make_budget

INT64_MAX = 2**63 - 1


@settings(max_examples=150, deadline=None)
@given(
    accumulator_bits=st.integers(2, 64),
    input_bits=st.integers(1, 16),
    signed=st.booleans(),
    narrow=st.booleans(),
    zero_point=st.integers(-300, 300),
    bias=st.lists(st.integers(-(2**40), 2**40), max_size=3),
)
def test_equals_the_exact_budget(
    accumulator_bits: int, input_bits: int, signed: bool, narrow: bool, zero_point: int, bias: list[int]
) -> None:
    shared = torch.tensor(bias) if bias else None
    budget = make_budget(accumulator_bits, torch.tensor(float(input_bits)), signed, zero_point, narrow, shared)
    inputs = input_range(input_bits, signed, narrow_range=narrow, zero_point=zero_point)
    for channel, offset in enumerate(bias or [0]):
        exact = two_sided_budget(accumulator_bits, inputs, offset)
        found = [int(limit.flatten()[channel if limit.dim() else 0]) for limit in budget]
        assert found == [inputs.lo, inputs.hi, exact.upper, min(exact.lower, INT64_MAX)]
        for plus, minus in ((3, 5), (0, 2**31), (2**31, 0), (7, 0)):
            sums = torch.full((len(bias) or 1, 1), plus), torch.full((len(bias) or 1, 1), minus)
            assert bool(budget.holds(*sums)[channel]) == exact.holds(plus, minus)


@settings(max_examples=60, deadline=None)
@given(
    accumulator_bits=st.integers(2, 20),
    input_bits=st.integers(1, 8),
    signed=st.booleans(),
    zero_point=st.integers(-300, 300),
)
def test_caps_are_the_largest_sums_that_hold(
    accumulator_bits: int, input_bits: int, signed: bool, zero_point: int
) -> None:
    budget = make_budget(accumulator_bits, input_bits, signed, zero_point)
    exact = two_sided_budget(accumulator_bits, input_range(input_bits, signed, zero_point=zero_point))
    cap, half = int(budget.l1_cap), int(budget.centred_cap)
    splits = {(0, cap), (cap, 0), (cap // 2, cap - cap // 2)}
    assert all(exact.holds(*split) for split in splits)
    assert not (exact.holds(cap + 1, 0) and exact.holds(0, cap + 1))
    assert exact.holds(half, half)
    assert not exact.holds(half + 1, half + 1)
    caps = budget.sign_caps()
    assert (caps is None) == (exact.inputs.lo < 0 < exact.inputs.hi)
    if caps is not None:
        assert (int(caps[0]), int(caps[1])) == (exact.max_positive_sum, exact.max_negative_sum)


def test_use_is_one_when_full() -> None:
    budget = make_budget(5, 1, False)
    assert budget_use(torch.tensor([[15, -16], [0, 0], [7, -8]]), budget).tolist() == [1.0, 0.0, 0.5]
