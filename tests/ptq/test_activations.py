"""Which types are tried for the input of a layer."""

from __future__ import annotations

import pytest
import torch

from brevitas_a2q.ptq._activations import Sample, kinds_of


@pytest.mark.parametrize(
    ("low", "zero_point", "rectified", "kinds"),
    [
        (0.0, True, True, ("unsigned",)),
        (0.0, True, False, ("unsigned",)),
        (0.0, False, True, ("unsigned",)),
        (0.0, False, False, ("signed",)),  # an average behind a ReLU, for FINN
        (-0.25, True, True, ("signed", "shifted")),
        (-0.25, False, True, ("signed",)),
    ],
)
def test_unsigned_for_finn_behind_a_relu_only(
    low: float, zero_point: bool, rectified: bool, kinds: tuple[str, ...]
) -> None:
    assert kinds_of(Sample(torch.tensor([low, 1.0]), low, 1.0), zero_point, rectified) == kinds
