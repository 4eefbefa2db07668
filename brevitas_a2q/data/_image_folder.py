"""A folder of images by class: ``train/CLASS/*.png`` and ``test/CLASS/*.png``, PNG or JPEG."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from brevitas_a2q.data._arrays import ImageData
from brevitas_a2q.data._sources import MAX_BYTES, read_images
from brevitas_a2q.errors import ConfigError, DataError

__all__ = ["ImageFolderOptions", "load_image_folder"]


@dataclass(frozen=True)
class ImageFolderOptions:
    """What can be asked of a folder of images."""

    size: int = 32  # side in pixels that images are resized to, after the middle square is cut out
    padding: int = 0  # largest shift of a training image in pixels
    flip: bool = False  # mirror half of the training images
    validation: int = 0  # training images that take the place of the test images

    def __post_init__(self) -> None:
        for name, least in (("size", 1), ("padding", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"found {name} = {getattr(self, name)}", expected=f"at least {least}")


def load_image_folder(root: Path | None, options: ImageFolderOptions) -> ImageData:
    """All images of the folder in memory; classes are numbered by the order of their names.

    Raises:
        DataError: A part or class is missing, or an image cannot be decoded; the message names it.
    """
    if root is None:
        raise DataError("found no folder", where="no --data-root", expected="one with train/CLASS and test/CLASS")
    classes = _classes(root / "train")
    if _classes(root / "test") != classes:
        raise DataError(
            "found other classes in test than in train", where=str(root), expected=f"{', '.join(classes[:8])} in both"
        )
    images, labels = {}, {}
    for part in ("train", "test"):
        by_class = [_resized(root / part / name, options.size) for name in classes]
        images[part] = torch.cat(by_class)
        labels[part] = torch.cat([torch.full((len(x),), index) for index, x in enumerate(by_class)])
    return ImageData(
        "image-folder",
        images["train"],
        labels["train"],
        images["test"],
        labels["test"],
        len(classes),
        options.padding,
        options.flip,
    )


def _classes(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise DataError("is no folder", where=str(folder), expected="a folder for each class in it")
    found = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not found:
        raise DataError("found no classes", where=str(folder), expected="a folder for each class in it")
    return found


def _resized(folder: Path, size: int) -> Tensor:
    """uint8 images of shape (count, 3, size, size)."""
    squares = []
    for pixels in read_images(folder):
        height, width, _ = pixels.shape
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = Image.fromarray(pixels[top : top + side, left : left + side])
        squares.append(np.asarray(square.resize((size, size), Image.Resampling.BICUBIC)))
        if len(squares) * 3 * size * size > MAX_BYTES:
            raise DataError(f"found more than {MAX_BYTES} bytes", where=str(folder), remedy="make `size` smaller")
    return torch.from_numpy(np.stack(squares).transpose(0, 3, 1, 2).copy())
