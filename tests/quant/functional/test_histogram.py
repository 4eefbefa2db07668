"""The histogram finds the same optimum as taking units one by one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from brevitas_a2q.quant.functional.histogram import histogram_codes

WEIGHTS = {
    "uniform": lambda normal: normal.erf() * 127,
    "normal": lambda normal: normal * 30,
    "small": lambda normal: normal * 0.4,
    "heavy tails": lambda normal: (normal**3 * 3).clamp(-250, 250),
    "ties": lambda normal: (normal * 40).round() / 8,
    "halves": lambda normal: (normal * 8).round() / 2,
}


def _greedy_distance(magnitude: Tensor, cap: int, limit: int) -> float:
    """Smallest ``||q - m||^2`` of one row: the ``cap`` units that gain most."""
    gains = (magnitude.double().unsqueeze(1) - torch.arange(limit) - 0.5).flatten().clamp_min(0)
    return float(magnitude.double().square().sum() - 2 * gains.sort(descending=True).values[:cap].sum())


@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize("length", [1, 7, 600])
@pytest.mark.parametrize(("q_min", "q_max"), [(-127, 127), (-8, 7)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_the_greedy_optimum(kind: str, length: int, q_min: int, q_max: int, dtype: torch.dtype) -> None:
    u = WEIGHTS[kind](torch.randn(3, length, generator=torch.Generator().manual_seed(length), dtype=dtype))
    for cap in (0, 1, 37, 500, 100_000):
        caps = torch.tensor([cap, cap + 3], dtype=dtype).view(2, 1, 1).expand(2, 3, 1)
        found = histogram_codes(u, caps, q_min, q_max)
        assert found is not None
        codes, used_up = found
        sums = torch.stack([codes.clamp_min(0), codes.neg().clamp_min(0)]).sum(2, keepdim=True)
        assert (sums <= caps).all()
        assert torch.equal(used_up, sums >= caps)
        want = [
            _greedy_distance(row.clamp_min(0), cap, q_max) + _greedy_distance(row.neg().clamp_min(0), cap + 3, -q_min)
            for row in u
        ]
        got = (codes.double() - u.double()).square().sum(1)
        torch.testing.assert_close(got, torch.tensor(want, dtype=torch.float64), rtol=1e-9, atol=1e-5)


@pytest.mark.parametrize("largest", [300.0, 1e30, float("inf"), float("-inf")])
def test_weights_beyond_the_bins_are_left_to_the_search(largest: float) -> None:
    assert histogram_codes(torch.tensor([[largest, 1.0]]), torch.ones(2, 1, 1), -127, 127) is None
