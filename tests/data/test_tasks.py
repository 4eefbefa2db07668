"""Losses and metrics."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from brevitas_a2q.data._tasks import TASKS, psnr_db
from brevitas_a2q.errors import ConfigError


def test_accuracy_is_the_share_of_hits() -> None:
    scores = torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]])
    assert TASKS["classification"].scores(scores, torch.tensor([1, 1, 1])).tolist() == [1.0, 0.0, 1.0]


def test_psnr_is_taken_per_image_and_not_over_the_batch() -> None:
    targets = torch.full((2, 3, 4, 4), 0.5)
    outputs = targets + torch.tensor([0.1, 0.01]).view(2, 1, 1, 1)
    assert psnr_db(outputs, targets).tolist() == pytest.approx([20.0, 40.0], abs=1e-3)


def test_what_a_display_clips_does_not_count() -> None:
    white = torch.ones(1, 3, 2, 2)
    assert psnr_db(white * 7, white).item() == pytest.approx(100.0)


def test_losses_by_name() -> None:
    task = TASKS["super-resolution"]
    assert task.loss() is F.mse_loss
    assert task.loss("l1") is F.l1_loss
    with pytest.raises(ConfigError, match=r"super-resolution: found loss 'ms'.*did you mean 'mse'"):
        task.loss("ms")


def test_smoothed_labels_keep_a_tenth_for_all_classes() -> None:
    scores, label = torch.tensor([[2.0, 0.0, -1.0, 0.5]]), torch.tensor([0])
    target = torch.tensor([[0.925, 0.025, 0.025, 0.025]])
    expected = -(target * scores.log_softmax(1)).sum()
    found = TASKS["classification"].loss("smoothed-cross-entropy")(scores, label)
    assert found.item() == pytest.approx(expected.item())
