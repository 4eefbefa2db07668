"""Pairs of a low-resolution and a high-resolution image, for super-resolution."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from brevitas_a2q.data._arrays import random_order, split
from brevitas_a2q.data._augment import as_float, random_dihedral, random_integers
from brevitas_a2q.data._ragged import RaggedImages
from brevitas_a2q.data._tasks import psnr_db
from brevitas_a2q.errors import ConfigError

__all__ = ["ImagePairs", "Protocol", "bicubic_psnr_db", "shrink"]

_INPUT_MULTIPLE = 4


@dataclass(frozen=True)
class Protocol:
    """How the low-resolution image is made and which part of a test image is judged.

    ``window`` is the side of a square around the centre, black where it reaches outside of the image; None judges the
    whole image. Sides are cut to what :attr:`ImagePairs.multiple` divides.
    """

    name: str
    resample: str  # "bilinear" or "bicubic", antialiased
    window: int | None


@dataclass(frozen=True, eq=False)
class ImagePairs:
    """High-resolution images, from which pairs are cut on the device that holds them.

    Inputs are float in [0, 1] of shape (batch, 3, height, width), targets ``factor`` times as high and wide. Training
    windows that are larger than an image are centred, and black outside of it.

    Raises:
        ConfigError: A crop or a number of windows that is too small.
    """

    name: str
    train: RaggedImages
    test: RaggedImages
    factor: int
    crop: int  # side of the high-resolution training windows, cut to what ``multiple`` divides
    protocol: Protocol
    windows_per_image: int = 1  # training windows cut from every image in one pass
    canvas: bool = False  # training windows lie anywhere in the protocol's square, black margins included

    task: ClassVar[str] = "super-resolution"

    def __post_init__(self) -> None:
        if self.crop < self.multiple:
            raise ConfigError(f"found crop = {self.crop}", expected=f"at least {self.multiple}")
        if self.windows_per_image < 1:
            raise ConfigError(f"found windows_per_image = {self.windows_per_image}", expected="at least 1")
        if self.canvas and not self.crop <= (self.protocol.window or 0):
            found = f"canvas with crop = {self.crop}, protocol {self.protocol.name}"
            raise ConfigError(f"found {found}", expected="a protocol with a window, not smaller than the crop")

    @property
    def multiple(self) -> int:
        """What the sides of targets are multiples of: networks with two poolings take the inputs."""
        return _INPUT_MULTIPLE * self.factor

    @property
    def side(self) -> int:
        """Side of a training target."""
        return self.crop - self.crop % self.multiple

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Channels, height and width of one training input."""
        return (3, self.side // self.factor, self.side // self.factor)

    @property
    def len_train(self) -> int:
        """Windows of one pass over the training data."""
        return len(self.train) * self.windows_per_image

    def to(self, device: torch.device | str) -> ImagePairs:
        """The same data on another device."""
        return dataclasses.replace(self, train=self.train.to(device), test=self.test.to(device))

    def train_batches(self, batch_size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of one pass: a random window of every training image in a random one of its eight positions.

        With ``canvas``, the windows are those of the square that is judged, as a network that has not seen black
        would be judged by margins that it was not trained for.
        """
        images, size = self.train, (self.side, self.side)
        order = random_order(self.len_train, generator, images.heights.device) % len(images)
        for index in order.split(batch_size):
            sides = torch.stack((images.heights[index], images.widths[index]))
            top, left = self._corners(sides, generator)
            yield self._pair(random_dihedral(images.windows(index, top, left, size), generator))

    def _corners(self, sides: Tensor, generator: torch.Generator) -> Tensor:
        """Where random windows of images of these sides begin; shape as of ``sides``, (2, images)."""
        if self.canvas and self.protocol.window is not None:
            room = torch.full_like(sides, self.protocol.window - self.side)
            return _centred(sides - self.protocol.window) + random_integers(room, generator)
        spare = sides - self.side
        return torch.where(spare < 0, _centred(spare), random_integers(spare.clamp_min(0), generator))

    def test_batches(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of the test images in the protocol's windows, those of equal size together."""
        images, side = self.test, self.protocol.window
        if side is None:
            sizes = torch.stack((images.heights, images.widths), 1)
        else:
            sizes = torch.full((len(images), 2), side, device=images.heights.device)
        sizes = sizes - sizes % self.multiple
        for size in sizes.unique(dim=0):
            for index in (sizes == size).all(1).nonzero().squeeze(1).split(batch_size):
                spare = torch.stack((images.heights[index], images.widths[index])) - size[:, None]
                top, left = _centred(spare)
                yield self._pair(images.windows(index, top, left, (int(size[0]), int(size[1]))))

    def examples(self, count: int) -> Tensor:
        """Inputs from the centres of the first training images, for calibration and initialisation."""
        index = torch.arange(min(count, len(self.train)), device=self.train.heights.device)
        top, left = _centred(torch.stack((self.train.heights[index], self.train.widths[index])) - self.side)
        return self._pair(self.train.windows(index, top, left, (self.side, self.side)))[0]

    def with_validation(self, count: int, seed: int = 0) -> ImagePairs:
        """Data whose test part is ``count`` of the training images, drawn by ``seed``; the test images are left out.

        Raises:
            DataError: There are not so many training images.
        """
        kept, held_out = split(len(self.train), count, seed, f"data set {self.name}")
        return dataclasses.replace(self, train=self.train.select(kept), test=self.train.select(held_out))

    def _pair(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        target = as_float(pixels)
        return shrink(target, self.factor, self.protocol.resample), target


def shrink(images: Tensor, factor: int, resample: str) -> Tensor:
    """Antialiased downscaling to 8-bit colours.

    Args:
        images: Shape (batch, channels, height, width) in [0, 1]; sides are multiples of the factor.
        factor: Ratio of the sides.
        resample: "bilinear" or "bicubic".

    Example:
        >>> shrink(torch.full((1, 3, 4, 4), 0.2), 2, "bicubic").shape
        torch.Size([1, 3, 2, 2])
    """
    size = (images.shape[-2] // factor, images.shape[-1] // factor)
    small = F.interpolate(images, size=size, mode=resample, antialias=True)
    return (small.clamp(0, 1) * 255).round() / 255


def bicubic_psnr_db(data: ImagePairs, batch_size: int = 16) -> float:
    """Mean PSNR in decibels of bicubic upscaling on the test images: what a network has to beat.

    On BSD300 it is the published 28.71 dB at x2 of Brevitas' example within 0.04 dB, which says that the protocol is
    theirs.
    """
    scores = [
        psnr_db(F.interpolate(inputs, scale_factor=data.factor, mode="bicubic"), targets)
        for inputs, targets in data.test_batches(batch_size)
    ]
    return float(torch.cat(scores).double().mean())


def _centred(spare: Tensor) -> Tensor:
    """Where a window starts that leaves ``spare`` pixels; what is odd goes below and to the right of the image."""
    return torch.where(spare < 0, -((-spare) // 2), spare // 2)
