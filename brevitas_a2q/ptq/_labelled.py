"""Samples with labels by name, as the command line gives them: what a network's accuracy is measured on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from brevitas_a2q.data._sources import IMAGE_SUFFIXES, read_images, read_npz
from brevitas_a2q.errors import ConfigError, DataError
from brevitas_a2q.ptq._sources import ImageShape, called, image_tensor

__all__ = ["LabelledData", "labelled_data"]

_LABEL_NAMES: Final = ("y", "label", "labels", "target", "targets", "y_test")
_BATCH: Final = 64


@dataclass(frozen=True, eq=False)
class LabelledData:
    """Samples, and their labels where there are any.

    Attributes:
        inputs: A tensor of samples, or keyword arguments of the model by name.
        labels: Of the samples; None where there are none.
    """

    inputs: Tensor | Mapping[str, Tensor]
    labels: Tensor | None

    def __len__(self) -> int:
        return len(self.inputs if isinstance(self.inputs, Tensor) else next(iter(self.inputs.values())))

    def __getitem__(self, part: Tensor) -> LabelledData:
        inputs = self.inputs
        some = inputs[part] if isinstance(inputs, Tensor) else {name: t[part] for name, t in inputs.items()}
        return LabelledData(some, None if self.labels is None else self.labels[part])

    @property
    def batches(self) -> Any:
        """What :func:`quantize_post_training_` takes."""
        if isinstance(self.inputs, Tensor):
            return self.inputs
        parts = torch.arange(len(self)).split(_BATCH)
        return [{name: tensor[part] for name, tensor in self.inputs.items()} for part in parts]

    def split(self, first: int, seed: int) -> tuple[LabelledData, LabelledData]:
        """This many samples, chosen at random, and the others."""
        order = torch.from_numpy(np.random.RandomState(seed).permutation(len(self)))
        return self[order[:first]], self[order[first:]]


def labelled_data(source: str, shape: ImageShape | None, part: Literal[0, 1] = 1) -> LabelledData:
    """Data by ``module:function``, an .npz file, or a folder of images.

    Args:
        source: Which. An .npz file holds samples (one array, or one for each keyword argument of the model) and may
            hold labels (an array named y, labels or targets). In a folder, folders of images are classes, in the order
            of their names. A function returns samples, a pair of samples and labels, a torch dataset of pairs, or two
            of them, as training runs take them.
        shape: Height and width that images are scaled and cropped to.
        part: Of two data sets which one: 0 to learn from, 1 to judge by.

    Raises:
        DataError: They cannot be read.
        ConfigError: The name is of no known kind.
    """
    path = Path(source)
    if path.is_dir():
        found = _folder(path, shape)
    elif path.suffix == ".npz" or path.is_file():
        found = _arrays({name: torch.from_numpy(a) for name, a in _numbers(path).items()}, source)
    else:
        given = called(source, "data")
        if isinstance(given, (tuple, list)) and len(given) == 2 and all(isinstance(each, Dataset) for each in given):
            given = given[part]
        found = _returned(given, source)
    if not len(found):
        raise DataError("found no samples", where=source, expected="samples")
    return found


def _numbers(path: Path) -> dict[str, Any]:
    arrays = read_npz(path)
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub":
            raise DataError(f"found {name} of type {array.dtype}", where=str(path), expected="numbers")
    return arrays


def _arrays(arrays: Mapping[str, Tensor], where: str) -> LabelledData:
    named = [name for name in arrays if name.lower() in _LABEL_NAMES and _are_labels(arrays[name])]
    if len(arrays) < 2:
        named = []
    inputs = {name: t.float() if t.is_floating_point() else t for name, t in arrays.items() if name not in named[:1]}
    lengths = {len(tensor) if tensor.dim() else 0 for tensor in arrays.values()}
    if not inputs or len(lengths) != 1:
        raise DataError("found no arrays of one length", where=where, expected="samples along the first axis")
    only = next(iter(inputs.values())) if len(inputs) == 1 else inputs
    return LabelledData(only, arrays[named[0]].long() if named else None)


def _are_labels(tensor: Tensor) -> bool:
    return tensor.dim() == 1 and not tensor.is_floating_point()


def _folder(path: Path, shape: ImageShape | None) -> LabelledData:
    if shape is None:
        raise ConfigError(
            "found a folder of images", where=str(path), expected="their size", remedy="give --image-size"
        )
    classes = sorted(part for part in path.iterdir() if part.is_dir())
    if not classes or any(part.suffix.lower() in IMAGE_SUFFIXES for part in path.iterdir()):
        return LabelledData(torch.stack([image_tensor(array, shape) for array in read_images(path)]), None)
    images, labels = list[Tensor](), list[int]()
    for index, part in enumerate(classes):
        found = [image_tensor(array, shape) for array in read_images(part)]
        images += found
        labels += [index] * len(found)
    return LabelledData(torch.stack(images), torch.tensor(labels))


def _returned(found: Any, where: str) -> LabelledData:
    if isinstance(found, Tensor):
        return LabelledData(found, None)
    if isinstance(found, Mapping):
        return _arrays({str(name): torch.as_tensor(value) for name, value in found.items()}, where)
    try:
        if isinstance(found, Sequence) and len(found) == 2 and not isinstance(found[0], (tuple, list)):
            data, labels = _returned(found[0], where), torch.as_tensor(found[1])
            if _are_labels(labels) and len(labels) == len(data):
                return replace(data, labels=labels.long())
        elif hasattr(found, "__getitem__") and hasattr(found, "__len__"):  # a dataset of pairs
            items = [found[i] for i in range(len(found))]
            inputs = torch.stack([torch.as_tensor(item[0]) for item in items])
            return LabelledData(inputs.float(), torch.tensor([int(item[1]) for item in items]))
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        raise DataError(f"cannot be used ({error})", where=where, expected="samples with labels") from error
    raise DataError(
        f"found a {type(found).__name__}",
        where=where,
        expected="a tensor, a pair of samples and labels (integers, one for each), a mapping, or a dataset of pairs",
    )
