"""A labelled image data set that fits in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["ImageData", "batches"]


@dataclass(frozen=True, eq=False)
class ImageData:
    """Training and test images with their labels.

    Images are float in [0, 1] of shape (count, channels, height, width); labels int64 of shape (count,).
    """

    name: str
    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    classes: int


def batches(
    x: Tensor, y: Tensor, batch_size: int, generator: torch.Generator | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of images and labels, shuffled by ``generator``, or in order where it is None."""
    order = torch.arange(len(x)) if generator is None else torch.randperm(len(x), generator=generator)
    for index in order.split(batch_size):
        yield x[index], y[index]
