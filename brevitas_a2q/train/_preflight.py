"""Whether a network, its data and its recipes belong together, tried before anything is trained."""

from __future__ import annotations

import torch
from torch import nn

from brevitas_a2q.data import ImageData
from brevitas_a2q.data._augment import resized
from brevitas_a2q.data._registry import Data
from brevitas_a2q.errors import ConfigError
from brevitas_a2q.models._registry import model_entry

__all__ = ["require_fit", "require_size", "require_task"]


def require_task(name: str, data: Data) -> None:
    """Check that a network is for the task that the data are for.

    Args:
        name: Of the network, in the registry.
        data: Of the run.

    Raises:
        ConfigError: It is for another.
    """
    task = model_entry(name).task
    if task not in (None, data.task):
        raise ConfigError(
            f"found data set {data.name!r}, which is for {data.task}",
            where=f"model {name}",
            expected=f"one for {task}",
            remedy="change `data` or `model`",
        )


def require_fit(name: str, model: nn.Module, data: Data) -> None:
    """Check that a network takes the data's inputs, and that its outputs can be compared with their targets.

    Args:
        name: Of the network, in the registry.
        model: Its float form, on the data's device; left in evaluation mode.
        data: Of the run.

    Raises:
        ConfigError: It does not, and how.
    """
    shape, usual = tuple(data.input_shape), model_entry(name).input_shape
    try:
        with torch.no_grad():
            outputs = model.eval()(data.examples(2))
    except Exception as error:  # a network may be anybody's
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(
            f"does not take the images of {data.name!r}, of shape {shape} ({reason})",
            where=f"model {name}",
            expected=f"for example images of shape {usual}" if usual else "images of a shape that it takes",
            remedy="choose another data set or other data_options",
        ) from error
    if not isinstance(outputs, torch.Tensor) or outputs.dim() != (2 if isinstance(data, ImageData) else 4):
        found = f"of shape {tuple(outputs.shape)}" if isinstance(outputs, torch.Tensor) else type(outputs).__name__
        raise ConfigError(
            f"found outputs {found}",
            where=f"model {name}",
            expected="class scores, (batch, classes)" if isinstance(data, ImageData) else "a batch of images",
        )
    if isinstance(data, ImageData):
        if outputs.shape[1] < data.classes:
            raise ConfigError(
                f"found {outputs.shape[1]} classes",
                where=f"model {name}",
                expected=f"at least the {data.classes} of {data.name!r}",
                remedy="change model_options.classes",
            )
        return
    factor = outputs.shape[-1] / shape[-1]
    if factor != data.factor:
        raise ConfigError(
            f"enlarges its images {factor:g} times, but those of {data.name!r} are to be enlarged {data.factor} times",
            where=f"model {name}",
            remedy="give model_options.upscale_factor and data_options.factor the same value",
        )


def require_size(name: str, model: nn.Module, data: Data, height: int) -> None:
    """Check that a network takes smaller images than the data's.

    Args:
        name: Of the network, in the registry.
        model: Its float form, on the data's device, in evaluation mode.
        data: Of the run.
        height: Of the images of its first epoch, in pixels.

    Raises:
        ConfigError: It does not, the data's are not larger, or they are no images of classes.
    """
    where, own = "float training, first_image_size", data.input_shape[-2]
    if not isinstance(data, ImageData) or height > own:
        kind = "for classification only" if not isinstance(data, ImageData) else f"at most the images' own {own} pixels"
        raise ConfigError(f"found {height}", where=where, expected=kind)
    try:
        with torch.no_grad():
            model(resized(data.examples(2), height))
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(
            f"model {name} does not take images {height} pixels high ({reason})",
            where=where,
            expected="a network that averages over whole images, whatever their size",
            remedy=f"take a number nearer to {own}",
        ) from error
