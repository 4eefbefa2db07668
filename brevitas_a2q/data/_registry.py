"""Data sets by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brevitas_a2q._named import is_named_function
from brevitas_a2q._settings import nearest, parse
from brevitas_a2q.data._arrays import ImageData
from brevitas_a2q.data._bsd300 import Bsd300Options, load_bsd300
from brevitas_a2q.data._cifar10 import Cifar10Options, load_cifar10, load_cifar10_subset
from brevitas_a2q.data._digits import DigitsOptions, load_digits
from brevitas_a2q.data._image_folder import ImageFolderOptions, load_image_folder
from brevitas_a2q.data._own import load_own_data
from brevitas_a2q.data._pairs import ImagePairs
from brevitas_a2q.errors import ConfigError

__all__ = ["DATA_SETS", "Data", "DataSet", "load_data"]

Data = ImageData | ImagePairs


@dataclass(frozen=True)
class DataSet:
    """How a data set is loaded, and what can be asked of it."""

    load: Callable[[Path | None, Any], Data]
    options: type[Any]  # dataclass; every data set has ``validation``
    summary: str


DATA_SETS: Mapping[str, DataSet] = {
    "digits": DataSet(
        lambda root, options: load_digits(options.split_seed),
        DigitsOptions,
        "1,797 handwritten digits of 8x8 pixels that come with scikit-learn",
    ),
    "cifar10": DataSet(load_cifar10, Cifar10Options, "60,000 colour images of 32x32 pixels in ten classes"),
    "cifar10-subset": DataSet(load_cifar10_subset, Cifar10Options, "a part of CIFAR-10 in an .npz file, for CPU runs"),
    "image-folder": DataSet(
        load_image_folder, ImageFolderOptions, "your own images in train/CLASS and test/CLASS, PNG or JPEG"
    ),
    "bsd300": DataSet(load_bsd300, Bsd300Options, "200 training and 100 test photographs, for super-resolution"),
}


def load_data(name: str, root: str | Path | None = None, **options: Any) -> Data:
    """A data set, in memory, on the CPU.

    Args:
        name: One of :data:`DATA_SETS`, or ``package.module:function`` for data of your own; see
            :func:`brevitas_a2q.data._own.load_own_data` for what the function may return.
        root: Folder, or .npz file, that holds it; ``digits`` needs none.
        **options: Fields of the data set's options, or arguments of your function. Always among them is
            ``validation``: how many training images take the place of the test images, for choices that the test
            images must not make.

    Raises:
        ConfigError: No data set of this name, or no such option.
        DataError: It is not there, or damaged; the message says how to get it.

    Example:
        >>> data = load_data("digits", validation=200)
        >>> data.task, data.input_shape, data.len_train, len(data.x_test)
        ('classification', (1, 8, 8), 1147, 200)
    """
    if is_named_function(name):
        validation = options.pop("validation", 0)
        own = load_own_data(name, root, options)
        return own.with_validation(validation) if validation else own
    if name not in DATA_SETS:
        raise ConfigError(
            f"found data set {name!r}",
            expected=f"one of {', '.join(DATA_SETS)}, or package.module:function",
            remedy=nearest(name, DATA_SETS),
        )
    kind = DATA_SETS[name]
    chosen = parse(kind.options, options, f"options of data set {name}")
    data = kind.load(None if root is None else Path(root), chosen)
    return data.with_validation(chosen.validation) if chosen.validation else data
