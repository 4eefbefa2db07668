"""Exact worst cases, computed here from what a user sees: the quantized weight, its scale, and the input's type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from brevitas_a2q.bounds import IntRange, accumulator_range, exact_range, required_bit_width


def integer_rows(layer: Any) -> Tensor:
    """Integer weights of a layer, one row per output channel, int64."""
    weight = layer.quant_weight()
    assert torch.isfinite(weight.value).all()
    assert torch.isfinite(weight.scale).all()
    codes = (weight.value.detach().double() / weight.scale.detach().double()).round().to(torch.int64)
    if layer.output_channel_dim == 0:
        return codes.flatten(1)
    per_group = codes.reshape(layer.groups, -1, *codes.shape[1:])
    return torch.cat([group.transpose(0, 1).flatten(1) for group in per_group])


def overflows(layer: Any, inputs: IntRange, bits: int, bias: Tensor | None = None) -> int:
    """Channels whose worst case over all inputs of this range leaves ``bits`` bits."""
    rows = integer_rows(layer)
    allowed, count = accumulator_range(bits), 0
    for channel, row in enumerate(rows):
        plus, minus = int(row.clamp_min(0).sum()), int(-row.clamp_max(0).sum())
        worst = exact_range(plus, minus, inputs, int(bias[channel]) if bias is not None else 0)
        count += not allowed.contains(worst)
    return count


@pytest.fixture
def no_overflow() -> Callable[..., None]:
    """Assert that no channel of a layer can overflow: ``no_overflow(layer, inputs, bits, bias=None)``."""

    def check(layer: Any, inputs: IntRange, bits: int, bias: Tensor | None = None) -> None:
        assert overflows(layer, inputs, bits, bias) == 0

    return check


@pytest.fixture
def widest_sum() -> Callable[[Any, IntRange], int]:
    """Bits that the layer's worst channel needs: ``widest_sum(layer, inputs)``."""

    def bits(layer: Any, inputs: IntRange) -> int:
        rows = integer_rows(layer)
        plus, minus = rows.clamp_min(0).sum(1), (-rows.clamp_max(0)).sum(1)
        ranges = [exact_range(int(p), int(m), inputs) for p, m in zip(plus, minus, strict=True)]
        return max(required_bit_width(r.lo, r.hi) for r in ranges)

    return bits
