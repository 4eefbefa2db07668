"""A plain training loop for image classifiers that fit in memory."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from brevitas_a2q.data.arrays import ImageData, batches
from brevitas_a2q.errors import ModelError
from brevitas_a2q.quant.penalty import a2q_penalty

__all__ = ["EpochRecord", "History", "TrainConfig", "accuracy", "fit", "seed_everything"]


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training run: Adam under a one-cycle schedule."""

    epochs: int = 15
    batch_size: int = 64
    learning_rate: float = 5e-3  # peak of the cycle
    weight_decay: float = 1e-5
    penalty: float = 1e-3  # lambda of A2Q's penalty
    seed: int = 0


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch came to. ``test_accuracy`` is a share in [0, 1]; ``loss`` is the mean task loss."""

    epoch: int
    loss: float
    penalty: float
    test_accuracy: float
    seconds: float


@dataclass(frozen=True)
class History:
    """One record per epoch. The test set chooses nothing: ``last`` is the result, ``best`` is only reported."""

    epochs: tuple[EpochRecord, ...]

    @property
    def last(self) -> float:
        """Test accuracy after the last epoch."""
        return self.epochs[-1].test_accuracy

    @property
    def best(self) -> float:
        """Highest test accuracy of any epoch."""
        return max(record.test_accuracy for record in self.epochs)


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@torch.no_grad()
def accuracy(model: nn.Module, x: Tensor, y: Tensor, batch_size: int = 256) -> float:
    """Share of images whose highest score is their label's, in evaluation mode.

    Args:
        model: Classifier; put in evaluation mode.
        x: Images, shape (count, channels, height, width).
        y: Labels, shape (count,).
        batch_size: Images per forward pass.
    """
    model.eval()
    hits = sum(int((model(images).argmax(1) == labels).sum()) for images, labels in batches(x, y, batch_size, None))
    return hits / len(x)


def fit(
    model: nn.Module, data: ImageData, config: TrainConfig, on_epoch: Callable[[EpochRecord], None] | None = None
) -> History:
    """Train in place with cross-entropy plus A2Q's penalty (lambda times what norms exceed their caps by).

    Args:
        model: Classifier, float or quantized; left in evaluation mode.
        data: Images and labels.
        config: Settings; the seed orders the batches.
        on_epoch: Called after each epoch, for progress bars.

    Returns:
        One record per epoch.

    Raises:
        ModelError: The loss became NaN or infinite.
    """
    generator = torch.Generator().manual_seed(config.seed)
    steps_per_epoch = math.ceil(len(data.x_train) / config.batch_size)
    with torch.no_grad():  # quantizers that initialise from data or input widths do so before the optimizer is made
        model.train()(data.x_train[: config.batch_size])
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=config.learning_rate, total_steps=config.epochs * steps_per_epoch
    )
    records = []
    for epoch in range(1, config.epochs + 1):
        started = time.perf_counter()
        loss, penalty = _epoch(model, data, config, optimizer, schedule, generator)
        if not math.isfinite(loss):
            raise ModelError(
                f"found a loss of {loss} in epoch {epoch}", expected="a finite loss", remedy="lower the learning rate"
            )
        score = accuracy(model, data.x_test, data.y_test)
        records.append(EpochRecord(epoch, loss, penalty, score, time.perf_counter() - started))
        if on_epoch is not None:
            on_epoch(records[-1])
    return History(tuple(records))


def _epoch(
    model: nn.Module,
    data: ImageData,
    config: TrainConfig,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    generator: torch.Generator,
) -> tuple[float, float]:
    """One pass over the training images; mean task loss per image and the last penalty."""
    model.train()
    total, penalty = 0.0, torch.zeros(())
    for images, labels in batches(data.x_train, data.y_train, config.batch_size, generator):
        task = F.cross_entropy(model(images), labels)
        penalty = a2q_penalty(model, config.penalty)
        optimizer.zero_grad()
        (task + penalty).backward()
        optimizer.step()
        schedule.step()
        total += task.item() * len(images)
    return total / len(data.x_train), penalty.item()
