"""CIFAR-10: 50,000 training and 10,000 test images of 32x32 pixels in ten classes.

Source: A. Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*, technical report, University of Toronto,
2009. Augmented as K. He et al. (CVPR 2016, section 4.2) do: shifts by up to four pixels, and mirroring.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brevitas_a2q._extras import need
from brevitas_a2q.data._arrays import ImageData
from brevitas_a2q.data._sources import find_npz, read_npz, require
from brevitas_a2q.errors import ConfigError, DataError

__all__ = ["Cifar10Options", "load_cifar10", "load_cifar10_subset"]

CLASSES = 10
SIDE = 32
_FOLDER = "cifar-10-batches-py"


@dataclass(frozen=True)
class Cifar10Options:
    """What can be asked of CIFAR-10."""

    size: Literal[32, 16, 8] = 32  # side in pixels; smaller images are means of 2x2 or 4x4 pixels, for small networks
    padding: int = 4  # largest shift of a training image in pixels
    flip: bool = True  # mirror half of the training images
    validation: int = 0  # training images that take the place of the test images
    download: bool = False  # let torchvision fetch the set into the root where it is not there

    def __post_init__(self) -> None:
        if not 0 <= self.padding <= SIDE:
            raise ConfigError(f"found padding = {self.padding}", expected=f"0 to {SIDE}")


def load_cifar10(root: Path | None, options: Cifar10Options) -> ImageData:
    """CIFAR-10 from torchvision's folder under ``root``, or from an .npz file (``root`` itself, or in it).

    The file holds x_train, x_test (uint8, count x 32 x 32 x 3) and y_train, y_test (labels 0 to 9).

    Raises:
        DataError: It is not there, or damaged.
    """
    if root is not None and (options.download or (root / _FOLDER).is_dir()):
        return _image_data("cifar10", _from_torchvision(root, options.download), options)
    return _image_data("cifar10", _from_npz(root, "cifar10"), options)


def load_cifar10_subset(root: Path | None, options: Cifar10Options) -> ImageData:
    """A part of CIFAR-10 from an .npz file: ``root`` itself, or the one in that folder whose name starts with cifar10.

    Raises:
        DataError: It is not there, or damaged.
    """
    return _image_data("cifar10-subset", _from_npz(root, "cifar10-subset"), options)


def _from_torchvision(root: Path, download: bool) -> dict[str, NDArray[Any]]:
    """Both parts; torchvision compares checksums before it unpickles anything."""
    need("CIFAR-10 as downloaded", "torchvision")
    from torchvision.datasets import CIFAR10

    arrays: dict[str, NDArray[Any]] = {}
    for part in ("train", "test"):
        try:
            images = CIFAR10(str(root), train=part == "train", download=download)
        except (RuntimeError, OSError) as error:
            raise DataError(
                f"cannot be read ({error})",
                where=str(root / _FOLDER),
                expected="the files of CIFAR-10's python version, with their checksums",
                remedy="unpack cifar-10-python.tar.gz again",
            ) from error
        arrays |= {f"x_{part}": images.data, f"y_{part}": np.asarray(images.targets)}
    return arrays


def _from_npz(root: Path | None, name: str) -> dict[str, NDArray[Any]]:
    path = root if root is None or root.is_file() else find_npz(root, "cifar10*.npz")
    if path is None:
        file = "a file cifar10*.npz with x_train, y_train, x_test, y_test"
        subset = name != "cifar10"
        raise DataError(
            f"data set {name} not found",
            where="no --data-root" if root is None else f"--data-root {root}",
            expected=file if subset else f"torchvision's folder {_FOLDER}, or {file}",
            remedy="put one there, or take data set cifar10 for torchvision's folder"
            if subset
            else "get cifar-10-python.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html and unpack it there, "
            "or set the data option download: true",
        )
    arrays = read_npz(path)
    images = {f"x_{part}": _images(arrays, path, f"x_{part}") for part in ("train", "test")}
    labels = {f"y_{part}": require(arrays, path, f"y_{part}", 1) for part in ("train", "test")}
    for part in ("train", "test"):
        count, y = len(images[f"x_{part}"]), labels[f"y_{part}"]
        if len(y) != count or y.min() < 0 or y.max() >= CLASSES:
            raise DataError(
                f"found {len(y)} labels from {y.min()} to {y.max()} in y_{part}",
                where=str(path),
                expected=f"{count} labels from 0 to {CLASSES - 1}",
            )
    return images | labels


def _images(arrays: dict[str, NDArray[Any]], path: Path, name: str) -> NDArray[np.uint8]:
    """Images of shape (count, 32, 32, 3); planes stored as differences, which compress better, are summed up again."""
    images = require(arrays, path, name, 4)
    as_differences = images.shape[1:] == (3, SIDE, SIDE) and name.replace("x_", "i_") in arrays
    if images.dtype != np.uint8 or not (as_differences or images.shape[1:] == (SIDE, SIDE, 3)):
        raise DataError(
            f"found {name} of type {images.dtype} and shape {images.shape}",
            where=str(path),
            expected=f"uint8 of shape (count, {SIDE}, {SIDE}, 3)",
        )
    return undo_differences(images) if as_differences else images


def undo_differences(planes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images from planes of differences modulo 256 between neighbours, red and blue less green.

    Args:
        planes: Shape (count, 3, height, width).

    Returns:
        Shape (count, height, width, 3).
    """
    red, green, blue = planes.cumsum(2, dtype=np.uint8).cumsum(3, dtype=np.uint8).transpose(1, 0, 2, 3)
    return np.stack((red + green, green, blue + green), axis=-1)


def _image_data(name: str, arrays: dict[str, NDArray[Any]], options: Cifar10Options) -> ImageData:
    x = {part: _resized(arrays[f"x_{part}"], options.size) for part in ("train", "test")}
    y = {part: torch.from_numpy(arrays[f"y_{part}"].astype(np.int64)) for part in ("train", "test")}
    return ImageData(name, x["train"], y["train"], x["test"], y["test"], CLASSES, options.padding, options.flip)


def _resized(images: NDArray[np.uint8], size: int) -> Tensor:
    """uint8 images of shape (count, 3, size, size)."""
    x = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    if size == SIDE:
        return x
    return torch.nn.functional.avg_pool2d(x.float(), SIDE // size).round().to(torch.uint8)
