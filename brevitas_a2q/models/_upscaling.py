"""The last layers of a super-resolution network."""

from __future__ import annotations

import math
from typing import Literal, get_args

from torch import nn

from brevitas_a2q.errors import ConfigError
from brevitas_a2q.models._layers import LayerFactory

__all__ = ["Upsampling", "init_", "upscaling_head"]

Upsampling = Literal["resize", "subpixel"]


def upscaling_head(layers: LayerFactory, inputs: int, factor: int, upsampling: str) -> nn.Sequential:
    """From ``inputs`` channels to colour images with sides ``factor`` times as long.

    The output's quantizer stands in front of the pixel shuffle: it treats all values alike, and in hardware its
    thresholds then belong to the convolution that makes the sums.

    Raises:
        ConfigError: No such way of upsampling, or a factor other than 2 and 3.
    """
    if not isinstance(factor, int) or factor not in (2, 3):  # 2.0 is no size
        raise ConfigError(f"found upscale_factor = {factor!r}", expected="2 or 3")
    if upsampling == "resize":
        convolution = layers.conv(inputs, 3, 3, padding=1, boundary=True)
        return nn.Sequential(nn.UpsamplingNearest2d(scale_factor=factor), convolution, layers.unit_output())
    if upsampling == "subpixel":
        convolution = layers.conv(inputs, 3 * factor**2, 3, padding=1, boundary=True)
        return nn.Sequential(convolution, layers.unit_output(), nn.PixelShuffle(factor))
    raise ConfigError(f"found upsampling = {upsampling!r}", expected=f"one of {', '.join(get_args(Upsampling))}")


def init_(model: nn.Module, head: nn.Module) -> None:
    """Start every convolution from normal weights of variance 2 / fan-in, and the head's from positive ones, in place.

    Half of the sums of zero-mean weights over unsigned activations are negative at the start, and behind the ReLU that
    ends the network many of them stay so for good. Positive weights that turn the mean activation behind batch norm and
    ReLU, 1 / sqrt(2 pi), into a mid grey start every output where it has a gradient.

    Source: K. He et al., *Delving Deep into Rectifiers*, ICCV 2015, equation 10, which A2Q+ (appendix B) starts its
    super-resolution networks from; the head's start is ours.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    for module in head.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.uniform_(module.weight, 0, math.sqrt(2 * math.pi) / module.weight[0].numel())
