"""Random changes of whole batches of images by tensor operations, on whatever device the images are on.

Randomness comes from a ``torch.Generator`` on any device; what it draws moves to the images.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["as_float", "random_dihedral", "random_flip", "random_integers", "random_shift", "resized"]


def as_float(images: Tensor) -> Tensor:
    """Images as float in [0, 1]; those of dtype uint8 are divided by 255."""
    return images.float() / 255 if images.dtype == torch.uint8 else images


def random_integers(limits: Tensor, generator: torch.Generator) -> Tensor:
    """One integer from 0 to ``limits[i]``, both included, for each i; shape and device of ``limits``, int64."""
    uniform = torch.rand(limits.shape, generator=generator, device=generator.device, dtype=torch.float64)
    return (uniform.to(limits.device) * (limits + 1)).long()


def random_flip(images: Tensor, generator: torch.Generator, dim: int = -1) -> Tensor:
    """Each image mirrored along ``dim`` with probability one half; shape (batch, channels, height, width)."""
    return torch.where(_coins(images, generator), images.flip(dim), images)


def random_dihedral(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each square image turned and mirrored into one of its eight positions."""
    images = random_flip(random_flip(images, generator), generator, dim=-2)
    return torch.where(_coins(images, generator), images.transpose(-1, -2), images)


def random_shift(images: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Each image cut at random, in its own size, from itself with ``padding`` black pixels on every side.

    Source: the usual augmentation of CIFAR-10 (K. He et al., *Deep Residual Learning for Image Recognition*,
    CVPR 2016, section 4.2).
    """
    batch, _, height, width = images.shape
    limits = torch.full((2, batch), 2 * padding, device=images.device)
    top, left = random_integers(limits, generator)
    rows = top[:, None] + torch.arange(height, device=images.device)
    columns = left[:, None] + torch.arange(width, device=images.device)
    padded = torch.nn.functional.pad(images, (padding,) * 4).permute(0, 2, 3, 1)
    index = torch.arange(batch, device=images.device)[:, None, None]
    return padded[index, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


def resized(images: Tensor, height: int) -> Tensor:
    """Images at another height and, in proportion, width: interpolated, and smoothed where they shrink."""
    if images.shape[-2] == height:
        return images
    size = (height, max(1, round(height * images.shape[-1] / images.shape[-2])))
    return torch.nn.functional.interpolate(images, size, mode="bilinear", antialias=True)


def _coins(images: Tensor, generator: torch.Generator) -> Tensor:
    """One fair coin per image, shape (batch, 1, 1, 1)."""
    coins = torch.rand((len(images), 1, 1, 1), generator=generator, device=generator.device) < 0.5
    return coins.to(images.device)
