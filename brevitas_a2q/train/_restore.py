"""The network in a run's folder, finished or not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from brevitas_a2q.errors import DataError
from brevitas_a2q.models import build_model
from brevitas_a2q.models._registry import model_entry
from brevitas_a2q.train._checkpoints import latest_checkpoint
from brevitas_a2q.train._config import RunConfig
from brevitas_a2q.train._folder import CHECKPOINTS, read_config
from brevitas_a2q.train._start import quantized_form

__all__ = ["TrainedNetwork", "trained_network"]


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A quantized network on the CPU in evaluation mode, after ``epoch`` epochs of quantization-aware training."""

    model: nn.Module
    config: RunConfig
    epoch: int
    input_shape: tuple[int, ...] | None = None  # of its training data; checkpoints of version 0.1 do not say

    def example(self, shape: tuple[int, int, int] | None = None) -> Tensor:
        """An input to run it with, the same every time.

        Args:
            shape: Channels, height and width; those of the training data by default, of which networks for
                super-resolution, that take any size, are given a part.

        Returns:
            Values in [0, 1].  # shape: (1, channels, height, width)

        Raises:
            DataError: The network takes no inputs of this shape, or nothing says which it takes.
        """
        entry = model_entry(self.config.model)
        trained = None if entry.task == "super-resolution" else self.input_shape
        usual = trained or entry.input_shape or self.input_shape
        if shape is None and usual is None:
            raise DataError(
                "found no shape of its inputs",
                where=f"model {self.config.model}",
                expected="channels, height and width",
                remedy="give --input-shape C H W",
            )
        example = torch.rand(1, *(shape or usual or ()), generator=torch.Generator().manual_seed(self.config.seed))
        try:
            with torch.no_grad():
                self.model(example)
        except RuntimeError as error:
            raise DataError(
                f"does not take inputs of shape {tuple(example.shape[1:])} ({error})",
                where=f"model {self.config.model}",
                expected=f"for example {usual}" if usual else "inputs like those it was trained on",
            ) from error
        return example


def trained_network(folder: str | Path) -> TrainedNetwork:
    """Read a network from the newest checkpoint of a run; its data are not needed.

    Args:
        folder: What ``brevitas-a2q train --out`` was given, or ``sweep pick --to``.

    Returns:
        The network, ready to run, as ``model``; with its configuration and an ``example()`` of its inputs.

    Raises:
        DataError: No run's folder, a damaged one, or one in which no quantized network has been trained yet.
    """
    folder = Path(folder)
    config = read_config(folder)
    checkpoint = latest_checkpoint(folder / CHECKPOINTS)
    if checkpoint is None or checkpoint.phase != "quantized":
        what = "no epoch" if checkpoint is None else f"{checkpoint.epoch} epochs of float training only"
        raise DataError(
            f"found {what}", where=str(folder), expected="a quantized network", remedy="train it by brevitas-a2q train"
        )
    # Weights that training started from (an option of torchvision's networks) need not be fetched to be replaced.
    options = {name: value for name, value in config.model_options.items() if name != "weights"}
    model = quantized_form(build_model(config.model, None, **options), config)
    checkpoint.restore(model)
    return TrainedNetwork(model.eval(), config, checkpoint.epoch, checkpoint.input_shape)
