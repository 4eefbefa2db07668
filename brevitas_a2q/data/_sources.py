"""Arrays and images from files that somebody else made: nothing is unpickled, and sizes are checked before reading."""

from __future__ import annotations

import lzma
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from brevitas_a2q.errors import DataError

__all__ = ["find_npz", "read_images", "read_npz", "require"]

MAX_BYTES = 4 << 30  # of one data set in memory
_UNPACKED: Final = 1 << 28  # bytes, however few they are packed in
_PACKED_TIMES: Final = 100  # more than numbers of any data are packed
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
UNREADABLE: Final = (  # what zipfile and numpy raise; RuntimeError for encryption and unknown compression
    OSError,
    ValueError,
    EOFError,
    KeyError,
    MemoryError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    tokenize.TokenError,
    SyntaxError,
    TypeError,
    struct.error,
    NotImplementedError,
)


def require(arrays: Mapping[str, NDArray[Any]], path: Path, name: str, ndim: int) -> NDArray[Any]:
    """An array of the file by name, of uint8 or another integer type, with ``ndim`` axes and at least one entry.

    Raises:
        DataError: It is not there or has another type or shape.
    """
    array = arrays.get(name)
    if array is None:
        raise DataError(f"found {', '.join(arrays) or 'nothing'}", where=str(path), expected=f"an array {name}")
    if array.ndim != ndim or not array.size or not np.issubdtype(array.dtype, np.integer):
        raise DataError(
            f"found {name} of type {array.dtype} and shape {array.shape}",
            where=str(path),
            expected=f"integers along {ndim} axes, none of them empty",
        )
    return array


def find_npz(folder: Path, pattern: str) -> Path | None:
    """The .npz file of the folder whose name matches, None where there is none.

    Raises:
        DataError: There are several.
    """
    found = sorted(folder.glob(pattern))
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise DataError(f"found {names}", where=str(folder), expected="one of them", remedy="name the file itself")
    return found[0] if found else None


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a .npz file; objects are refused.

    Raises:
        DataError: It cannot be read, or holds more than :data:`MAX_BYTES`, or far more than it has bytes itself.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        most = min(MAX_BYTES, max(_UNPACKED, _PACKED_TIMES * path.stat().st_size))
        if unpacked > most:
            raise DataError(
                f"found {unpacked} bytes", where=str(path), expected=f"at most {most} in a file of its size"
            )
        with np.load(path, allow_pickle=False) as archived:
            arrays = dict(archived)
    except DataError:
        raise
    except UNREADABLE as error:
        raise DataError(f"cannot be read ({error})", where=str(path), expected="an .npz file of arrays") from error
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):  # numpy hands out what it does not know as bytes
            raise DataError(f"found {name}, which is no array", where=str(path), expected="an .npz file of arrays")
    return arrays


def read_images(folder: Path) -> list[NDArray[np.uint8]]:
    """The JPEG and PNG images of a folder, in the order of their names.

    Returns:
        Arrays of shape (height, width, 3).

    Raises:
        DataError: There are none, one cannot be decoded (the message names it), or they need too much memory.
    """
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise DataError("found no images", where=str(folder), expected=f"files ending in {', '.join(IMAGE_SUFFIXES)}")
    images, used = [], 0
    for path in paths:
        images.append(_read_image(path, MAX_BYTES - used))
        used += images[-1].nbytes
    return images


def _read_image(path: Path, budget: int) -> NDArray[np.uint8]:
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as image:
            needed = 3 * image.width * image.height
            if needed > budget:
                raise DataError(
                    f"found an image of {image.width}x{image.height} pixels",
                    where=str(path),
                    expected=f"a set of at most {MAX_BYTES} bytes",
                )
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DataError(f"cannot be decoded ({error})", where=str(path), expected="a JPEG or PNG image") from error
