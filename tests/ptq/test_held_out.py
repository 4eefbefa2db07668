"""What a network is judged by, where the data leave little to judge by."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from brevitas_a2q.errors import DataError
from brevitas_a2q.ptq._held_out import Judge, compare


def test_an_error_of_one_output_is_relative_to_its_power() -> None:
    one = torch.tensor([[3.0, 4.0]])
    assert compare([one], [one * 1.1]).error == pytest.approx(0.01, rel=1e-3)


def test_labels_are_classes_of_the_output() -> None:
    x = torch.randn(4, 3)
    for labels in ([0, 1, 2, 3], [0, -1, 0, 0]):
        with pytest.raises(DataError, match=r"labels: found labels from .*expected classes from 0 to 2"):
            Judge.of(nn.Identity(), [((x,), {})], torch.tensor(labels))
