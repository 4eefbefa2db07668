"""Whether a network, its data and its recipes belong together, tried before anything is trained."""

from __future__ import annotations

import torch
from torch import nn

from brevitas_a2q.data import Data, ImageData
from brevitas_a2q.errors import ConfigError
from brevitas_a2q.models.registry import model_entry

__all__ = ["require_fit", "require_task"]


def require_task(name: str, data: Data) -> None:
    """Check that a network is for the task that the data are for.

    Args:
        name: Of the network, in the registry.
        data: Of the run.

    Raises:
        ConfigError: It is for another.
    """
    task = model_entry(name).task
    if task != data.task:
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
    shape = tuple(data.input_shape)
    try:
        with torch.no_grad():
            outputs = model.eval()(data.examples(2))
    except RuntimeError as error:
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(
            f"does not take the images of {data.name!r}, of shape {shape} ({reason})",
            where=f"model {name}",
            expected=f"for example images of shape {model_entry(name).input_shape}",
            remedy="choose another data set or other data_options",
        ) from error
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
