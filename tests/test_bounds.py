"""Bounds against brute force, both ways: the bound holds, and one bit less fails for some weights and input."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from brevitas_a2q.bounds import (
    MAX_INPUT_BITS,
    IntRange,
    a2q_budget,
    a2q_plus_budget,
    accumulator_range,
    data_type_bound,
    data_type_bound_exact,
    exact_range,
    input_range,
    required_bit_width,
    two_sided_budget,
    weight_bound,
    weight_range,
)
from brevitas_a2q.errors import A2QError

input_ranges = st.builds(
    lambda bits, signed, narrow, point: input_range(
        bits, signed, narrow_range=narrow, zero_point=min(point, (1 << bits) - 1)
    ),
    st.integers(1, 16),
    st.booleans(),
    st.booleans(),
    st.integers(0, (1 << 16) - 1),
)
small_weights = st.lists(st.integers(-3, 3), min_size=1, max_size=3)
small_ranges = st.builds(IntRange, st.integers(-3, 0), st.integers(0, 3))


def signed_sums(weights: list[int]) -> tuple[int, int]:
    return sum(max(q, 0) for q in weights), sum(max(-q, 0) for q in weights)


def partial_sums(weights: list[int], inputs: IntRange, bias: int) -> set[int]:
    """Every partial sum of every input, in every order of additions, the bias being one more term."""
    seen = {0}
    for x in itertools.product(range(inputs.lo, inputs.hi + 1), repeat=len(weights)):
        terms = [q * v for q, v in zip(weights, x, strict=True)] + [bias]
        for order in itertools.permutations(terms):
            seen.update(itertools.accumulate(order))
    return seen


@given(st.integers(-(1 << 70), 1 << 70), st.integers(0, 1 << 70))
def test_required_bit_width_is_the_smallest(lo: int, span: int) -> None:
    hi = lo + span
    bits = required_bit_width(lo, hi)
    assert -(1 << (bits - 1)) <= lo
    assert hi <= (1 << (bits - 1)) - 1
    if bits > 1:
        assert lo < -(1 << (bits - 2)) or hi > (1 << (bits - 2)) - 1


@settings(max_examples=60, deadline=None)
@given(small_weights, small_ranges, st.integers(-4, 4))
def test_exact_range_is_reached_and_never_left_by_any_partial_sum(
    weights: list[int], inputs: IntRange, bias: int
) -> None:
    bounds = exact_range(*signed_sums(weights), inputs, bias)
    sums = partial_sums(weights, inputs, bias)
    assert (min(sums), max(sums)) == (bounds.lo, bounds.hi)


@given(st.integers(1, 300), st.integers(1, 16), st.integers(1, 16), st.booleans())
def test_data_type_bound_holds_for_the_worst_weights_and_input(k: int, n: int, m: int, signed: bool) -> None:
    inputs = input_range(n, signed)
    extreme = weight_range(m, narrow_range=False)
    published = data_type_bound(k, n, m, signed)
    for weight in (extreme.lo, extreme.hi):
        worst = exact_range(k * max(weight, 0), k * max(-weight, 0), inputs)
        assert worst.bit_width <= published


@given(st.integers(1, 300), st.integers(1, 16), st.integers(1, 16), st.booleans())
def test_exact_data_type_bound_is_tight(k: int, n: int, m: int, signed: bool) -> None:
    inputs, weights = input_range(n, signed), weight_range(m, narrow_range=False)
    bits = data_type_bound_exact(k, inputs, weights)
    needed = [exact_range(k * max(w, 0), k * max(-w, 0), inputs).bit_width for w in (weights.lo, weights.hi)]
    assert bits == max(needed)  # one bit less fails for these weights


@given(st.integers(1, 4096), st.integers(1, 16), st.integers(1, 16), st.booleans())
def test_published_data_type_bound_is_its_formula_in_rational_arithmetic(k: int, n: int, m: int, signed: bool) -> None:
    # P - 1 = ceil(log2(2^alpha + 1)) is the smallest integer with 2^(P-1) >= 2^alpha + 1.
    two_to_alpha = Fraction(k) * Fraction(2) ** (n + m - 1 - int(signed))
    p = data_type_bound(k, n, m, signed)
    assert 2 ** (p - 1) >= two_to_alpha + 1 > 2 ** (p - 2)


@given(st.integers(0, 1 << 20), st.integers(1, 16), st.booleans(), st.data())
def test_weight_bound_holds_however_the_norm_is_split(norm: int, n: int, signed: bool, data: st.DataObject) -> None:
    positive = data.draw(st.integers(0, norm))
    worst = exact_range(positive, norm - positive, input_range(n, signed))
    assert worst.bit_width <= weight_bound(norm, n, signed)


@given(st.integers(2, 64), st.integers(1, 16), st.booleans(), st.data())
def test_a2q_budget_never_overflows(p: int, n: int, signed: bool, data: st.DataObject) -> None:
    cap = a2q_budget(p, n, signed)
    positive = data.draw(st.integers(0, cap))
    worst = exact_range(positive, cap - positive, input_range(n, signed))
    assert accumulator_range(p).contains(worst)


@given(st.integers(2, 64), st.integers(1, 16), st.booleans())
def test_a2q_budget_is_the_integer_part_of_its_formula(p: int, n: int, signed: bool) -> None:
    assert a2q_budget(p, n, signed) == int(Fraction(2 ** (p - 1) - 1) * Fraction(2) ** (int(signed) - n))


@given(st.integers(2, 64), st.integers(1, 16), st.booleans())
def test_a2q_plus_budget_never_overflows_and_is_tight_for_unsigned_inputs(p: int, n: int, signed: bool) -> None:
    cap = a2q_plus_budget(p, n)
    inputs = input_range(n, signed)
    assert accumulator_range(p).contains(exact_range(cap // 2, cap // 2, inputs))
    if not signed:
        assert not two_sided_budget(p, inputs).holds(cap // 2 + 1, cap // 2 + 1)


@given(st.integers(2, 64), input_ranges, st.integers(0, 1 << 40), st.integers(0, 1 << 40), st.integers(-300, 300))
def test_two_sided_budget_holds_exactly_when_the_exact_range_fits(
    p: int, inputs: IntRange, positive: int, negative: int, bias: int
) -> None:
    worst = exact_range(positive, negative, inputs, bias)
    assert two_sided_budget(p, inputs, bias).holds(positive, negative) == accumulator_range(p).contains(worst)


@given(st.integers(2, 64), input_ranges)
def test_two_sided_budget_is_weaker_than_a2q(p: int, inputs: IntRange) -> None:
    n = max(1, max(inputs.hi, -inputs.lo).bit_length())
    assume(n <= MAX_INPUT_BITS)
    cap = a2q_budget(p, n, False)
    budget = two_sided_budget(p, inputs)
    assert budget.holds(cap, 0)
    assert budget.holds(0, cap)


@given(st.integers(2, 64), input_ranges, st.integers(-1000, 1000))
def test_largest_sums_of_one_sign_are_largest(p: int, inputs: IntRange, bias: int) -> None:
    budget = two_sided_budget(p, inputs, bias)
    assume(budget.upper >= 0 and budget.lower >= 0)
    positive, negative = budget.max_positive_sum, budget.max_negative_sum
    if positive is None or negative is None:
        assert inputs == IntRange(0, 0)
        return
    assert budget.holds(positive, 0)
    assert not budget.holds(positive + 1, 0)
    assert budget.holds(0, negative)
    assert not budget.holds(0, negative + 1)


@pytest.mark.parametrize(
    ("bits", "signed", "narrow", "zero_point", "expected"),
    [
        (1, False, False, 0, IntRange(0, 1)),
        (1, True, False, 0, IntRange(-1, 0)),
        (8, True, True, 0, IntRange(-127, 127)),
        (8, False, True, 0, IntRange(0, 254)),
        (8, False, False, 3, IntRange(-3, 252)),
        (4, False, False, -5, IntRange(0, 20)),  # 0 is always included
    ],
)
def test_input_range(bits: int, signed: bool, narrow: bool, zero_point: int, expected: IntRange) -> None:
    assert input_range(bits, signed, narrow_range=narrow, zero_point=zero_point) == expected


@pytest.mark.parametrize("bits", [1, 0, -3, 65, 16.0, True, "16", None])
def test_accumulator_width_outside_2_to_64_is_refused(bits: object) -> None:
    with pytest.raises(A2QError, match="expected an integer from 2 to 64"):
        accumulator_range(bits)  # type: ignore[arg-type]


def test_bias_that_overflows_alone_leaves_no_budget() -> None:
    budget = two_sided_budget(8, input_range(4, False), bias=128)
    assert not budget.holds(0, 0)
    assert budget.max_positive_sum == -1
