"""Colour images of different sizes in one tensor, so that windows of many of them are cut at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brevitas_a2q.errors import DataError

__all__ = ["RaggedImages"]


@dataclass(frozen=True, eq=False)
class RaggedImages:
    """Images one behind the other: number i has ``heights[i] * widths[i]`` rows of ``pixels`` from ``starts[i]`` on."""

    pixels: Tensor  # uint8, shape (pixels of all images, 3)
    heights: Tensor  # int64, shape (count,), as the next two
    widths: Tensor
    starts: Tensor

    @classmethod
    def pack(cls, images: Sequence[NDArray[np.uint8]]) -> RaggedImages:
        """Images, each of shape (height, width, 3)."""
        heights = torch.tensor([image.shape[0] for image in images])
        widths = torch.tensor([image.shape[1] for image in images])
        areas = heights * widths
        pixels = torch.from_numpy(np.concatenate([image.reshape(-1, 3) for image in images]))
        return cls(pixels, heights, widths, areas.cumsum(0) - areas)

    def __len__(self) -> int:
        return len(self.heights)

    def to(self, device: torch.device | str) -> RaggedImages:
        """The same images on another device."""
        return RaggedImages(*(part.to(device) for part in (self.pixels, self.heights, self.widths, self.starts)))

    def select(self, index: Tensor) -> RaggedImages:
        """Some of the images; pixels are shared."""
        return RaggedImages(self.pixels, self.heights[index], self.widths[index], self.starts[index])

    def require_sides(self, least: int, where: str, remedy: str) -> None:
        """Check that no image is less than ``least`` pixels high or wide.

        Raises:
            DataError: Giving the size of the first that is.
        """
        small = (torch.minimum(self.heights, self.widths) < least).nonzero()
        if len(small):
            first = int(small[0])
            raise DataError(
                f"found an image of {int(self.widths[first])}x{int(self.heights[first])} pixels",
                where=where,
                expected=f"sides of at least {least}",
                remedy=remedy,
            )

    def windows(self, index: Tensor, top: Tensor, left: Tensor, size: tuple[int, int]) -> Tensor:
        """One window of each indexed image, black where it reaches outside.

        Args:
            index: Images, int64 of shape (batch,), as the next two.
            top: First row of each window; may be negative.
            left: First column of each window; may be negative.
            size: Height and width of the windows.

        Returns:
            uint8, shape (batch, 3, *size).

        Example:
            >>> images = RaggedImages.pack([np.full((2, 2, 3), 7, np.uint8)])
            >>> images.windows(torch.tensor([0]), torch.tensor([1]), torch.tensor([-1]), (2, 2))[0, 0].tolist()
            [[0, 7], [0, 0]]
        """
        rows = top[:, None] + torch.arange(size[0], device=index.device)
        columns = left[:, None] + torch.arange(size[1], device=index.device)
        heights, widths = self.heights[index, None], self.widths[index, None]
        inside = ((rows >= 0) & (rows < heights))[:, :, None] & ((columns >= 0) & (columns < widths))[:, None, :]
        rows = torch.minimum(rows.clamp_min(0), heights - 1)
        columns = torch.minimum(columns.clamp_min(0), widths - 1)
        places = (self.starts[index, None] + rows * widths)[:, :, None] + columns[:, None, :]
        return (self.pixels[places] * inside[..., None]).permute(0, 3, 1, 2).contiguous()
