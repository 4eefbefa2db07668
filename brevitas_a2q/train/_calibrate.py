"""Activation scales from data, before training."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

with warnings.catch_warnings():
    # On import Brevitas' graph tools warn of an optional package and of a part of themselves that is to go.
    warnings.simplefilter("ignore")
    from brevitas_a2q._brevitas import calibration_mode

__all__ = ["calibrate"]


@torch.no_grad()
def calibrate(model: nn.Module, images: Tensor, batch_size: int = 128) -> None:
    """Set the scale of every activation quantizer from the float activations of these images, in place.

    Without it Brevitas collects statistics during the first 300 training steps, and short runs end while their scales
    still jump. Float models are left as they are.

    Args:
        model: Brevitas model; put in evaluation mode.
        images: Training images, shape (count, channels, height, width).
        batch_size: Images per forward pass.
    """
    model.eval()
    with calibration_mode(model):
        for batch in images.split(batch_size):
            model(batch)
