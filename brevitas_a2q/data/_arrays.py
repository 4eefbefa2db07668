"""A labelled image data set that fits in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from brevitas_a2q.data._augment import as_float, random_flip, random_shift
from brevitas_a2q.errors import DataError

__all__ = ["ImageData", "batches", "random_order", "split"]


@dataclass(frozen=True, eq=False)
class ImageData:
    """Training and test images with their labels.

    Images are float in [0, 1], or uint8, of shape (count, channels, height, width); labels int64 of shape (count,).
    Batches are float in [0, 1], cut and augmented on the device that holds the images.
    """

    name: str
    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    classes: int
    padding: int = 0  # training images shift by up to so many pixels
    flip: bool = False  # training images are mirrored left to right, half of them

    task: ClassVar[str] = "classification"

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Channels, height and width of one image."""
        return tuple(self.x_train.shape[1:])

    @property
    def len_train(self) -> int:
        """Images of one pass over the training data."""
        return len(self.x_train)

    def to(self, device: torch.device | str) -> ImageData:
        """The same data on another device."""
        moved = {name: getattr(self, name).to(device) for name in ("x_train", "y_train", "x_test", "y_test")}
        return dataclasses.replace(self, **moved)

    def train_batches(self, batch_size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of one pass over the training images, shuffled and augmented by ``generator``."""
        for images, labels in batches(self.x_train, self.y_train, batch_size, generator):
            if self.padding:
                images = random_shift(images, self.padding, generator)
            if self.flip:
                images = random_flip(images, generator)
            yield as_float(images), labels

    def test_batches(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of the test images, in order."""
        for images, labels in batches(self.x_test, self.y_test, batch_size, None):
            yield as_float(images), labels

    def examples(self, count: int) -> Tensor:
        """The first training images, not augmented, for calibration and initialisation."""
        return as_float(self.x_train[:count])

    def with_validation(self, count: int, seed: int = 0) -> ImageData:
        """Data whose test part is ``count`` of the training images, drawn by ``seed``; the test images are left out.

        Raises:
            DataError: There are not so many training images.
        """
        kept, held_out = split(len(self.x_train), count, seed, f"data set {self.name}")
        return dataclasses.replace(
            self,
            x_train=self.x_train[kept],
            y_train=self.y_train[kept],
            x_test=self.x_train[held_out],
            y_test=self.y_train[held_out],
        )


def split(total: int, count: int, seed: int, where: str) -> tuple[Tensor, Tensor]:
    """Numbers of the images that are kept, in order, and of the ``count`` that are held out, drawn by ``seed``.

    Raises:
        DataError: ``total`` images are too few.
    """
    if not 0 < count < total:
        raise DataError(
            f"found a validation part of {count} images", where=where, expected=f"1 to {total - 1} of {total}"
        )
    order = torch.randperm(total, generator=torch.Generator().manual_seed(seed))
    return order[count:].sort().values, order[:count]


def random_order(count: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """A permutation of 0 .. count - 1 on ``device``."""
    return torch.randperm(count, generator=generator, device=generator.device).to(device)


def batches(
    x: Tensor, y: Tensor, batch_size: int, generator: torch.Generator | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of images and labels, shuffled by ``generator``, or in order where it is None."""
    if generator is None:
        yield from zip(x.split(batch_size), y.split(batch_size), strict=True)
        return
    for index in random_order(len(x), generator, x.device).split(batch_size):
        yield x[index], y[index]
