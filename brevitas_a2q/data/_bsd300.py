"""BSD300: 200 training and 100 test photographs of 481x321 pixels, for super-resolution.

Source: D. Martin, C. Fowlkes, D. Tal, J. Malik, *A Database of Human Segmented Natural Images and its Application to
Evaluating Segmentation Algorithms and Measuring Ecological Statistics*, ICCV 2001.

Which protocol the published numbers are of was found by bicubic upscaling of the 100 test images at x2, for which the
super-resolution example of Brevitas, where A2Q's authors published ESPCN, gives 28.71 dB. Mean RGB PSNR in dB:

====================================  ========================  =======================
judged pixels                         antialiased bilinear low  antialiased bicubic low
====================================  ========================  =======================
512x512 around the centre, with the   28.75                     29.51
black pixels outside of the image
whole images                          27.58                     28.42
====================================  ========================  =======================

Theirs is thus the first: a photograph of 481x321 pixels in a square of 512 (two pixels in five are black, and cost
nothing), made smaller by torchvision's default filter. It is the default here, as ``published``, so that numbers
compare; ``whole`` judges photographs alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from brevitas_a2q.data._pairs import ImagePairs, Protocol
from brevitas_a2q.data._ragged import RaggedImages
from brevitas_a2q.data._sources import find_npz, read_images, read_npz, require
from brevitas_a2q.errors import DataError

__all__ = ["PROTOCOLS", "Bsd300Options", "load_bsd300"]

PROTOCOLS = {
    "published": Protocol("published", resample="bilinear", window=512),
    "whole": Protocol("whole", resample="bicubic", window=None),
}
_PARTS = ("train", "test")
_FOLDERS = ("", "images", "BSDS300/images", "bsd300")  # where they are looked for under the root


@dataclass(frozen=True)
class Bsd300Options:
    """What can be asked of BSD300."""

    factor: Literal[2, 3] = 2  # sides of the target over those of the input
    crop: int = 128  # side of the training targets in pixels, cut to what ImagePairs.multiple divides
    windows_per_image: int = 1  # training windows from every photograph in one epoch
    protocol: Literal["published", "whole"] = "published"
    canvas: bool = False  # training windows from the whole square that is judged, black margins included
    validation: int = 0  # training images that take the place of the test images


def load_bsd300(root: Path | None, options: Bsd300Options) -> ImagePairs:
    """BSD300 from the folders ``train`` and ``test`` of JPEG or PNG images under ``root`` or in its archive's place.

    An .npz file (``root`` itself, or bsd300*.npz in it) with x_train and x_test (uint8, count x height x width x 3)
    serves for small parts of it.

    Training windows of ``crop`` pixels lie inside of the images; those of 512 pixels are black outside, as published,
    and with ``canvas`` smaller ones are cut from the square of 512.

    Raises:
        DataError: It is not there, or damaged, or an image is too small.
    """
    train, test = (RaggedImages.pack(images) for images in _read(root))
    protocol = PROTOCOLS[options.protocol]
    data = ImagePairs(
        "bsd300", train, test, options.factor, options.crop, protocol, options.windows_per_image, options.canvas
    )
    if data.crop != protocol.window and not data.canvas:
        train.require_sides(data.side, "data set bsd300, training part", "choose a smaller crop")
    test.require_sides(data.multiple, "data set bsd300, test part", "leave it out")
    return data


def _read(root: Path | None) -> tuple[Sequence[NDArray[np.uint8]], ...]:
    for folder in () if root is None else (root / name for name in _FOLDERS):
        if all((folder / part).is_dir() for part in _PARTS):
            return tuple(read_images(folder / part) for part in _PARTS)
    path = root if root is None or root.is_file() else find_npz(root, "bsd300*.npz")
    if path is None:
        raise DataError(
            "data set bsd300 not found",
            where="no --data-root" if root is None else f"--data-root {root}",
            expected="folders train and test of JPEG or PNG images, or a file bsd300*.npz with x_train and x_test",
            remedy="get BSDS300-images.tgz from https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/bsds/, "
            "unpack it there",
        )
    arrays = read_npz(path)
    return tuple(_colour_images(require(arrays, path, f"x_{part}", 4), path, f"x_{part}") for part in _PARTS)


def _colour_images(images: NDArray[np.uint8], path: Path, name: str) -> Sequence[NDArray[np.uint8]]:
    if images.dtype != np.uint8 or images.shape[3] != 3:
        raise DataError(
            f"found {name} of type {images.dtype} and shape {images.shape}",
            where=str(path),
            expected="uint8 of shape (count, height, width, 3)",
        )
    return list(images)
