"""The user's own data: what a function of theirs returns, as images with labels in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from brevitas_a2q._named import named_function
from brevitas_a2q.data._arrays import ImageData
from brevitas_a2q.data._pairs import ImagePairs
from brevitas_a2q.data._sources import MAX_BYTES
from brevitas_a2q.errors import ConfigError, DataError

__all__ = ["load_own_data"]

_KEYS: Final = ("x_train", "y_train", "x_test", "y_test")
_FORMS: Final = (
    "ImageData, ImagePairs, a pair of torch datasets (training, test), or x_train, y_train, x_test and y_test as four "
    "arrays or in a mapping"
)


def load_own_data(name: str, root: Any, options: Mapping[str, Any]) -> ImageData | ImagePairs:
    """Call ``package.module:function`` and make of its result what training takes.

    Args:
        name: The function; it is called with ``options``, and with ``root`` where there is one.
        root: Folder that ``--data-root`` names, or None.
        options: Its keyword arguments.

    Returns:
        Images (uint8 as they are, floats as they are) of shape (count, channels, height, width), labels from 0 on.

    Raises:
        ConfigError: There is no such function, or it takes no such arguments.
        DataError: It fails, or returns something else.
    """
    where = f"data set {name}"
    function = named_function(name, where)
    try:
        found = function(**options) if root is None else function(root, **options)
    except TypeError as error:
        raise ConfigError(f"calling it failed ({error})", where=where, expected="a function of data_options") from error
    except (Exception, SystemExit) as error:  # of code that is not ours
        raise DataError(f"loading it failed ({error!r})", where=where) from error
    if isinstance(found, (ImageData, ImagePairs)):
        return found
    arrays = _four(found, where)
    parts = {key: _tensor(value, key, where) for key, value in zip(_KEYS, arrays, strict=True)}
    return _checked(name, parts, where)


def _four(found: Any, where: str) -> Sequence[Any]:
    """Four arrays, in the order of :data:`_KEYS`."""
    if isinstance(found, Mapping) and set(_KEYS) <= set(found):
        return [found[key] for key in _KEYS]
    if isinstance(found, (tuple, list)) and len(found) == 4:
        return found
    if isinstance(found, (tuple, list)) and len(found) == 2 and all(hasattr(part, "__getitem__") for part in found):
        return [array for part in found for array in _stacked(part, where)]
    raise DataError(f"found a {type(found).__name__}", where=where, expected=_FORMS)


@dataclass(frozen=True)
class _Item:
    image: Tensor
    label: int


def _stacked(dataset: Any, where: str) -> tuple[Tensor, Tensor]:
    """All items of a dataset that is indexed, which have to be of one shape."""
    items: list[_Item] = []
    try:
        for index in range(len(dataset)):
            items.append(_item(dataset[index], index, where))
            if items[-1].image.shape != items[0].image.shape:
                raise DataError(
                    f"found images of shape {tuple(items[0].image.shape)} and {tuple(items[-1].image.shape)}",
                    where=where,
                    expected="one shape",
                    remedy="resize them in the dataset's transform",
                )
            if len(items) * items[0].image.nbytes > MAX_BYTES:
                raise DataError(
                    f"found {len(dataset)} images that need more than {MAX_BYTES} bytes",
                    where=where,
                    remedy="let the dataset give uint8 images, smaller ones, or fewer",
                )
    except (TypeError, OSError) as error:
        raise DataError(f"reading item {len(items)} failed ({error!r})", where=where, expected=_FORMS) from error
    if not items:
        raise DataError("found a dataset without items", where=where, expected="images with labels")
    return torch.stack([item.image for item in items]), torch.tensor([item.label for item in items])


def _item(item: Any, index: int, where: str) -> _Item:
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise DataError(f"found a {type(item).__name__} as item {index}", where=where, expected="an image and a label")
    image, label = item
    if not isinstance(image, Tensor):  # a PIL image, or an array: height, width and channels
        pixels = np.asarray(image)
        pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
        if pixels.ndim != 3:
            raise DataError(f"found item {index} of shape {pixels.shape}", where=where, expected="an image")
        image = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
    return _Item(image, int(label))


def _tensor(value: Any, key: str, where: str) -> Tensor:
    try:
        return value.detach().cpu() if isinstance(value, Tensor) else torch.from_numpy(np.array(value))
    except (TypeError, ValueError) as error:
        raise DataError(f"found {key} of type {type(value).__name__}", where=where, expected="an array") from error


def _checked(name: str, parts: Mapping[str, Tensor], where: str) -> ImageData:
    for part in ("train", "test"):
        _check_images(parts[f"x_{part}"], f"x_{part}", where)
        _check_labels(parts[f"y_{part}"], len(parts[f"x_{part}"]), f"y_{part}", where)
    x_train, y_train, x_test, y_test = (parts[key] for key in _KEYS)
    if x_train.shape[1:] != x_test.shape[1:]:
        raise DataError("found training and test images of two shapes", where=where, expected="one")
    classes = 1 + int(max(y_train.max(), y_test.max()))
    return ImageData(name, _plain(x_train), y_train.long(), _plain(x_test), y_test.long(), classes)


def _check_images(images: Tensor, key: str, where: str) -> None:
    if images.dim() != 4 or not images.numel():
        shape, expected = tuple(images.shape), "(count, channels, height, width)"
        raise DataError(f"found {key} of shape {shape}", where=where, expected=expected)
    if not images.is_floating_point() and images.dtype != torch.uint8:
        raise DataError(f"found {key} of {images.dtype}", where=where, expected="floats, or uint8")
    if images.is_floating_point() and not bool(images.isfinite().all()):
        raise DataError(f"found {key} with values that are not finite", where=where, expected="finite ones")


def _check_labels(labels: Tensor, count: int, key: str, where: str) -> None:
    if tuple(labels.shape) != (count,):
        raise DataError(f"found {key} of shape {tuple(labels.shape)}", where=where, expected=f"{count} labels")
    if labels.is_floating_point() or labels.is_complex() or int(labels.min()) < 0:
        raise DataError(f"found {key} of {labels.dtype} from {labels.min()}", where=where, expected="0, 1, 2, ...")


def _plain(images: Tensor) -> Tensor:
    return images.float() if images.is_floating_point() else images
