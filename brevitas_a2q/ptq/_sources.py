"""Models and calibration data by name, as the command line gives them."""

from __future__ import annotations

from collections.abc import Sized
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from brevitas_a2q._extras import need
from brevitas_a2q._named import is_named_function, named_function
from brevitas_a2q._settings import nearest
from brevitas_a2q.data._sources import read_images, read_npz
from brevitas_a2q.errors import ConfigError, DataError, ModelError
from brevitas_a2q.models._torchvision_models import PREFIX
from brevitas_a2q.ptq._onnx_file import read_float_model

__all__ = ["ImageShape", "calibration_data", "called", "float_model", "image_tensor", "load_weights"]

ImageShape = tuple[int, int]  # height, width
# What torchvision's classifiers were trained with (ImageNet), in the range [0, 1].
IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)


def float_model(source: str, weights: Path | None = None) -> nn.Module:
    """A model by ``module:function``, ``torchvision:NAME`` or the path of an ONNX file.

    Args:
        source: Which. A function is called without arguments and returns the model.
        weights: State to load, a safetensors file or one of ``torch.save``.

    Raises:
        ConfigError: The name is of no known kind.
        ModelError: The function fails or returns no model.
        DataError: Weights that cannot be read.
    """
    if source.endswith(".onnx"):
        model = read_float_model(source)
    elif source.startswith(PREFIX):
        model = _torchvision(source, pretrained=weights is None)
    else:
        model = called(source, "model")
        if not isinstance(model, nn.Module):
            raise ModelError(f"found {type(model).__name__}", where=source, expected="a function that returns a model")
    if weights is not None:
        load_weights(model, weights)
    return model.eval()


def _torchvision(source: str, pretrained: bool) -> nn.Module:
    need(f"model {source}", "torchvision")
    from torchvision import models

    name = source.removeprefix(PREFIX)
    if name not in models.list_models(module=models):
        raise ConfigError(
            f"found model {source!r}",
            expected=f"{PREFIX}NAME with a classifier of torchvision",
            remedy=nearest(name, models.list_models(module=models)),
        )
    try:
        found: nn.Module = models.get_model(name, weights="DEFAULT" if pretrained else None)
    except OSError as error:
        raise DataError(
            f"its weights cannot be fetched ({error})", where=f"model {source}", remedy="give a file with --weights"
        ) from error
    return found


def load_weights(model: nn.Module, path: Path) -> None:
    """Load a state into a model, in place; nothing is unpickled but tensors."""
    where = f"file {path}"
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: dict[str, Any] = dict(load_file(str(path)))
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        state = state.get("state_dict", state)
        model.load_state_dict(state)
    except Exception as error:  # whatever the two readers and torch raise
        reason = f"{type(error).__name__}: {error}"
        raise DataError(f"cannot be loaded ({reason})", where=where, expected="a state of this model") from error


def calibration_data(source: str, shape: ImageShape | None, samples: int | None, seed: int) -> Any:
    """Data by ``module:function``, an .npz file, or a folder of images.

    Args:
        source: Which. An .npz file holds samples: one array, or one for each keyword argument of the model. A function
            returns what :func:`quantize_post_training_` takes, or a pair of data sets as training runs take them, of
            which the first is taken.
        shape: Height and width that images are scaled and cropped to, normalized as torchvision's classifiers expect.
        samples: How many to take; None for all.
        seed: Of the choice.

    Raises:
        DataError: They cannot be read.
        ConfigError: The name is of no known kind.
    """
    path = Path(source)
    if path.is_dir():
        if shape is None:
            raise ConfigError(
                "found a folder of images", where=source, expected="their size", remedy="give --image-size"
            )
        return _some([image_tensor(array, shape) for array in read_images(path)], samples, seed)
    if path.suffix == ".npz" or path.is_file():
        return _arrays(path, samples, seed)
    found = called(source, "calibration")
    if isinstance(found, (tuple, list)) and found and all(isinstance(part, Dataset) for part in found):
        found = found[0]
    if isinstance(found, Dataset) and isinstance(found, Sized) and len(found):
        chosen = np.random.RandomState(seed).permutation(len(found))[: samples or len(found)]
        return DataLoader(Subset(found, chosen.tolist()), batch_size=64)
    return found


def _arrays(path: Path, samples: int | None, seed: int) -> Any:
    arrays = read_npz(path)
    if not arrays or len({len(array) if array.ndim else 0 for array in arrays.values()}) != 1:
        raise DataError("found no arrays of one length", where=str(path), expected="samples along the first axis")
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub":
            raise DataError(f"found {name} of type {array.dtype}", where=str(path), expected="numbers")
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    tensors = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
    count = len(next(iter(tensors.values())))
    chosen = torch.from_numpy(np.random.RandomState(seed).permutation(count)[: samples or count])
    if len(tensors) == 1:
        return next(iter(tensors.values()))[chosen]
    return [{name: tensor[part] for name, tensor in tensors.items()} for part in chosen.split(64)]


def image_tensor(array: np.ndarray[Any, Any], shape: ImageShape) -> Tensor:
    """An image scaled and cropped, normalized as torchvision's classifiers expect.  # shape: (3, H, W)"""
    image = Image.fromarray(array)
    factor = max(shape[0] / image.height, shape[1] / image.width)
    size = (max(shape[1], round(image.width * factor)), max(shape[0], round(image.height * factor)))
    image = image.resize(size, Image.Resampling.BILINEAR)
    left, top = (size[0] - shape[1]) // 2, (size[1] - shape[0]) // 2
    pixels = np.asarray(image.crop((left, top, left + shape[1], top + shape[0])), np.float32) / 255
    normal = (pixels - np.array(IMAGENET_MEAN, np.float32)) / np.array(IMAGENET_STD, np.float32)
    return torch.from_numpy(normal).permute(2, 0, 1)


def _some(images: list[Tensor], samples: int | None, seed: int) -> Tensor:
    chosen = np.random.RandomState(seed).permutation(len(images))[: samples or len(images)]
    return torch.stack([images[i] for i in chosen])


def called(source: str, what: str) -> Any:
    """What the user's ``module:function`` returns."""
    where = f"{what} {source!r}"
    if not is_named_function(source):
        raise ConfigError(f"found {where}", expected="module:function, torchvision:NAME or a file")
    function = named_function(source, where)
    try:
        return function()
    except (Exception, SystemExit) as error:  # the user's code
        raise ModelError(
            f"cannot be called ({type(error).__name__}: {error})", where=source, expected="a function without arguments"
        ) from error
