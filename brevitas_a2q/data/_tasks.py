"""What a network is trained for: its losses and the one number it is judged by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from brevitas_a2q._settings import nearest
from brevitas_a2q.errors import ConfigError

__all__ = ["TASKS", "Task", "psnr_db"]

Loss = Callable[[Tensor, Tensor], Tensor]

_LEAST_MSE = 1e-10  # an exact picture scores 100 dB, not infinity


@dataclass(frozen=True)
class Task:
    """Losses and metric of one task.

    ``scores(outputs, targets)`` gives one number per image, shape (batch,), and a network's metric is its mean over the
    test images; higher is better.
    """

    name: str
    metric: str  # "accuracy", a share in [0, 1], or "psnr_db"
    scores: Callable[[Tensor, Tensor], Tensor]
    losses: Mapping[str, Loss]  # the first is the default; each the mean over a batch

    def loss(self, name: str | None = None) -> Loss:
        """A loss by name.

        Raises:
            ConfigError: The task has no loss of this name.
        """
        if name is None:
            return next(iter(self.losses.values()))
        if name not in self.losses:
            raise ConfigError(
                f"found loss {name!r}",
                where=f"task {self.name}",
                expected=f"one of {', '.join(self.losses)}",
                remedy=nearest(name, self.losses),
            )
        return self.losses[name]

    def show(self, value: float) -> str:
        """The metric for people.

        Example:
            >>> TASKS["classification"].show(0.942), TASKS["super-resolution"].show(30.953)
            ('94.20 %', '30.95 dB')
        """
        return f"{value:.2f} dB" if self.metric == "psnr_db" else f"{100 * value:.2f} %"


def psnr_db(outputs: Tensor, targets: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image in decibels, over all of its pixels and colours.

    Args:
        outputs: Images, shape (batch, channels, height, width); clipped to [0, 1], as a display does.
        targets: Images in [0, 1] of the same shape.

    Returns:
        Shape (batch,), float32.

    Example:
        >>> psnr_db(torch.full((1, 3, 2, 2), 0.6), torch.full((1, 3, 2, 2), 0.5)).round().tolist()
        [20.0]
    """
    mean_squares = (outputs.float().clamp(0, 1) - targets.float()).square().mean(dim=(1, 2, 3))
    return -10 * torch.log10(mean_squares.clamp_min(_LEAST_MSE))


def _smoothed_cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(scores, labels, label_smoothing=0.1)


def _hits(scores: Tensor, labels: Tensor) -> Tensor:
    return (scores.argmax(1) == labels).float()


# Smoothing spreads a tenth of each label over all classes (C. Szegedy et al., arXiv 1512.00567, section 7).
_CLASSIFICATION_LOSSES: Mapping[str, Loss] = {
    "cross-entropy": F.cross_entropy,
    "smoothed-cross-entropy": _smoothed_cross_entropy,
}

TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        Task("classification", "accuracy", _hits, _CLASSIFICATION_LOSSES),
        Task("super-resolution", "psnr_db", psnr_db, {"mse": F.mse_loss, "l1": F.l1_loss}),
    )
}
