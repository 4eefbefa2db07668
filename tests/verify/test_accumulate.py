"""Accumulators of all outputs at once against one accumulator that adds product by product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from brevitas_a2q.bounds import accumulator_range
from brevitas_a2q.errors import A2QError, ModelError
from brevitas_a2q.verify._accumulate import Accumulators, Overflow, accumulate
from brevitas_a2q.verify._products import Products

OVERFLOWS = get_args(Overflow)


def add_one_by_one(terms: Sequence[int], bits: int | None, overflow: str) -> tuple[int, int]:
    """The value of one accumulator and how often it left its range; Python integers, no tricks."""
    if bits is None:
        return sum(terms), 0
    limit, value, exact, count = accumulator_range(bits), 0, 0, 0
    for term in terms:
        exact += term
        value += term
        if overflow == "check":
            count += exact not in limit
        elif value not in limit:
            count += 1
            half = 1 << (bits - 1)
            value = (
                min(max(value, limit.lo), limit.hi) if overflow == "saturate" else (value + half) % (2 * half) - half
            )
    if overflow == "check":
        return exact, count
    return value, count if overflow == "saturate" else int(exact not in limit)


def wrapped(value: int, bits: int) -> int:
    half = 1 << (bits - 1)
    return (value + half) % (2 * half) - half


def ordered(terms: list[int], accumulators: Accumulators) -> list[int]:
    if accumulators.order == "random":
        generator = torch.Generator().manual_seed(accumulators.seed)
        return [terms[i] for i in torch.randperm(len(terms), generator=generator).tolist()]
    return terms[::-1] if accumulators.order == "reverse" else terms


def one_output(products: list[int], bias: int | None, how: Accumulators) -> tuple[int, int]:
    """One output, in tiles if there are any."""
    last = [] if bias is None else [bias]
    if how.tile is None or how.tile >= len(products):
        return add_one_by_one(ordered(products + last, how), how.bit_width, how.overflow)
    products = products + [0] * (-len(products) % how.tile)
    tiles = [products[start : start + how.tile] for start in range(0, len(products), how.tile)]
    inner = [add_one_by_one(ordered(tile, how), how.bit_width, how.overflow) for tile in tiles]
    value, more = add_one_by_one(ordered([v for v, _ in inner] + last, how), how.outer_bit_width, how.overflow)
    return value, more + sum(count for _, count in inner)


@st.composite
def cases(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, Accumulators]:
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1 << 16)))
    batch, outputs, size = draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.integers(1, 7))
    lowest = draw(st.sampled_from([0, -4]))
    x = torch.randint(lowest, 5, (batch, size), generator=generator)
    weights = torch.randint(-5, 6, (outputs, size), generator=generator)
    bias = torch.randint(-20, 20, (outputs,), generator=generator) if draw(st.booleans()) else None
    return (
        x,
        weights,
        bias,
        Accumulators(
            draw(st.none() | st.integers(2, 8)),
            draw(st.sampled_from(OVERFLOWS)),
            draw(st.sampled_from(["forward", "reverse", "random"])),
            draw(st.integers(0, 9)),
            draw(st.none() | st.integers(1, 8)),
            draw(st.none() | st.integers(2, 8)),
        ),
    )


@settings(max_examples=300, deadline=None)
@given(cases())
def test_agrees_with_a_loop(case: tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, Accumulators]) -> None:
    x, weights, bias, how = case
    if how.tile is None or how.tile >= weights.shape[1]:
        how = Accumulators(how.bit_width, how.overflow, how.order, how.seed)
    sums, count = accumulate(Products(weights), x, bias, how)
    expected, total = [], 0
    for row in x.tolist():
        for channel, kernel in enumerate(weights.tolist()):
            products = [w * v for w, v in zip(kernel, row, strict=True)]
            value, overflows = one_output(products, None if bias is None else int(bias[channel]), how)
            expected.append(value)
            total += overflows
    assert sums.flatten().tolist() == expected
    assert count == total


@pytest.mark.parametrize("overflow", OVERFLOWS)
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize(("stride", "dilation", "padding"), [((1, 1), (1, 1), (1, 1)), ((2, 1), (1, 2), (0, 2))])
def test_convolutions_agree_with_a_loop(
    overflow: Any, groups: int, stride: tuple[int, int], dilation: tuple[int, int], padding: tuple[int, int]
) -> None:
    generator = torch.Generator().manual_seed(groups)
    x = torch.randint(-8, 8, (2, 4, 6, 5), generator=generator)
    weights = torch.randint(-7, 8, (8, 4 // groups, 3, 2), generator=generator)
    products = Products(weights, groups, stride, dilation, tuple((pad, pad) for pad in padding))
    how = Accumulators(7, overflow, "reverse")
    sums, count = accumulate(products, x, None, how)
    # Unfold is another implementation of where a window's inputs are.
    columns = F.unfold(x.double(), (3, 2), dilation, padding, stride).long().reshape(2, groups, -1, sums[0, 0].numel())
    rows = weights.reshape(groups, 8 // groups, -1)
    expected, total = [], 0
    for image in columns:
        for group in range(groups):
            for kernel in rows[group]:
                for column in image[group].T:
                    value, overflows = one_output((kernel * column).tolist(), None, how)
                    expected.append(value)
                    total += overflows
    assert sums.flatten().tolist() == expected
    assert count == total
    assert total > 0


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_transposed_convolutions_are_convolutions_of_spread_inputs(groups: int, stride: int) -> None:
    generator = torch.Generator().manual_seed(stride)
    x = torch.randint(-8, 8, (2, 4, 5, 4), generator=generator)
    weights = torch.randint(-7, 8, (4, 3, 3, 4), generator=generator)
    extra = (stride - 1, 0)
    products = Products.transposed(weights, groups, (stride,) * 2, (1, 2), ((1, 1), (0, 0)), extra)
    sums, count = accumulate(products, x, None, Accumulators(None))
    expected = F.conv_transpose2d(x.double(), weights.double(), None, stride, (1, 0), extra, groups, (1, 2))
    assert torch.equal(sums.double(), expected)
    assert count == 0


@pytest.mark.parametrize("overflow", OVERFLOWS)
@pytest.mark.parametrize(("order", "tile"), [("forward", None), ("reverse", None), ("forward", 3), ("reverse", 4)])
@pytest.mark.parametrize(
    ("groups", "stride", "dilation", "padding", "extra"),
    [(1, (2, 2), (1, 1), (0, 0), (0, 0)), (2, (2, 3), (1, 2), (1, 0), (1, 0)), (1, (1, 1), (1, 1), (1, 2), (0, 0))],
)
def test_transposed_convolutions_add_what_exists(
    overflow: Any,
    order: Any,
    tile: int | None,
    groups: int,
    stride: tuple[int, int],
    dilation: tuple[int, int],
    padding: tuple[int, int],
    extra: tuple[int, int],
) -> None:
    """A loop over pixels and taps: no zeros between them, products in the order of the stored kernel."""
    generator = torch.Generator().manual_seed(groups)
    x = torch.randint(0, 16, (1, 4, 3, 4), generator=generator)
    weights = torch.randint(-7, 8, (4, 2, 3, 3), generator=generator)
    pads = tuple((pad, pad) for pad in padding)
    products = Products.transposed(weights, groups, stride, dilation, pads, extra)
    how = Accumulators(6, overflow, order, 0, tile, 7)
    sums, count = accumulate(products, x, None, how)
    expected, total, additions = [], 0, 0
    for channel in range(2 * groups):
        first = channel // 2 * (4 // groups)
        for row, column in np.ndindex(*sums.shape[2:]):
            terms: list[int | None] = []  # of the phase; None: no pixel there
            for c in range(first, first + 4 // groups):
                for a, b in np.ndindex(3, 3):
                    r, s = row + padding[0] - a * dilation[0], column + padding[1] - b * dilation[1]
                    if r % stride[0] or s % stride[1]:
                        continue
                    r, s = r // stride[0], s // stride[1]
                    inside = 0 <= r < 3 and 0 <= s < 4
                    terms.append(int(x[0, c, r, s]) * int(weights[c, channel % 2, a, b]) if inside else None)
            additions += sum(term is not None for term in terms)
            if tile is None:
                value, overflows = one_output([t for t in terms if t is not None], None, how)
            else:
                value, overflows = _tiles(terms, how)
            expected.append(value)
            total += overflows
    assert sums.flatten().tolist() == expected
    assert count == total
    assert products.additions(x) == additions


def _tiles(terms: list[int | None], how: Accumulators) -> tuple[int, int]:
    assert how.tile is not None
    if how.tile >= len(terms):
        return one_output(
            [t for t in terms if t is not None], None, Accumulators(how.bit_width, how.overflow, how.order)
        )
    parts = [[t for t in terms[i : i + how.tile] if t is not None] for i in range(0, len(terms), how.tile)]
    inner = [add_one_by_one(ordered(part, how), how.bit_width, how.overflow) for part in parts]
    value, more = add_one_by_one(ordered([v for v, _ in inner], how), how.outer_bit_width, how.overflow)
    return value, more + sum(count for _, count in inner)


def test_one_and_three_spatial_axes() -> None:
    generator = torch.Generator().manual_seed(0)
    for axes, convolve in ((1, F.conv1d), (3, F.conv3d)):
        x = torch.randint(0, 16, (1, 2, *[5] * axes), generator=generator)
        weights = torch.randint(-7, 8, (3, 2, *[2] * axes), generator=generator)
        products = Products(weights, 1, (1,) * axes, (1,) * axes, ((0, 0),) * axes)
        for overflow in OVERFLOWS:
            sums, _ = accumulate(products, x, None, Accumulators(8, overflow))
            exact = convolve(x.double(), weights.double())
            if overflow == "check":
                assert torch.equal(sums.double(), exact)
            else:
                assert sums.abs().max() <= 128 < exact.abs().max()


def test_wrapping_gives_the_same_in_every_order() -> None:
    x, weights = torch.full((1, 64), 15), torch.randint(-7, 8, (32, 64), generator=torch.Generator().manual_seed(1))
    settings: list[Any] = ["forward", "reverse", "random"]
    results = [accumulate(Products(weights), x, None, Accumulators(7, "wrap", order)) for order in settings]
    assert all(torch.equal(results[0][0], other[0]) and results[0][1] == other[1] for other in results)


@pytest.mark.parametrize("largest", [(1 << 24) - 1, (1 << 40) - 1])
def test_sums_are_exact_beyond_float32(largest: int) -> None:
    weights = torch.tensor([[largest // 2, largest // 2, 1]])
    sums, _ = accumulate(Products(weights), torch.tensor([[1, 1, 1]]), None, Accumulators(None))
    assert int(sums) == largest // 2 * 2 + 1


def test_sums_beyond_float64_are_refused() -> None:
    with pytest.raises(ModelError, match="sums below 2\\^53"):
        accumulate(Products(torch.tensor([[1 << 30]])), torch.tensor([[1 << 30]]), None, Accumulators(8))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bit_width": 1}, "found accumulator_bit_width = 1"),
        ({"bit_width": 65}, "found accumulator_bit_width = 65"),
        ({"bit_width": 8, "overflow": "clip"}, "found overflow = 'clip'; expected 'wrap' or 'saturate' or 'check'"),
        ({"bit_width": 8, "order": "backward"}, "found order = 'backward'"),
        ({"bit_width": 8, "tile": 0}, "found tile = 0"),
    ],
)
def test_bad_settings_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(A2QError, match=message):
        Accumulators(**options)


def test_lower_float_precision_does_not_reach_the_sums() -> None:
    x, weights = torch.full((4, 256), 255), torch.full((8, 256), 127)
    exact = 256 * 255 * 127
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        with torch.autocast("cpu", dtype=torch.bfloat16):
            sums, _ = accumulate(Products(weights), x, None, Accumulators(None))
    finally:
        torch.set_float32_matmul_precision(before)
    assert np.unique(sums.numpy()).tolist() == [exact]
