"""What stands between a layer and FINN's (or the estimator's) units, as far as the model alone tells.

``check-finn`` reads an exported file and knows more: sizes of images, data types, sums. It finds these, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch.nn.functional as F
from torch import nn
from torch.fx import Node

__all__ = ["YES", "obstacle", "overlaps"]

YES: Final = "yes"
# What hardware computes between layers: thresholds absorb a ReLU and a normalisation by constants.
_ABSORBED: Final = (
    *("ReLU", "ReLU6", "relu", "relu_", "input", "add", "iadd", "add_", "cat"),
    *("Linear", "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"),
    *("BatchNorm1d", "BatchNorm2d", "BatchNorm3d"),
    *("AdaptiveAvgPool2d", "adaptive_avg_pool2d", "mean"),
)


def obstacle(layer: Any, origins: tuple[str, ...] | None) -> str:
    """:data:`YES`, or why there is no unit for a layer or for what makes its input.

    Args:
        layer: With weights.
        origins: Operations between it and the layers before; None where that is not known, empty where the model's code
            is no graph.
    """
    if isinstance(layer, nn.Linear):
        found = None
    elif not isinstance(layer, nn.modules.conv._ConvNd):
        found = f"no unit for {type(layer).__name__}"
    elif len(layer.kernel_size) != 2:
        found = f"{len(layer.kernel_size)} spatial dimensions, not 2"
    elif layer.padding_mode != "zeros":
        found = f"{layer.padding_mode} padding"
    elif layer.groups > 1 and not layer.groups == layer.in_channels == layer.out_channels:
        found = f"{layer.groups} groups"
    else:
        found = None
    if found is None and origins is not None:
        others = [origin for origin in origins if origin not in _ABSORBED]
        found = f"no unit for {', '.join(dict.fromkeys(others))}" if others else None
        found = "sums between layers stay real numbers" if not origins else found
    return found or YES


def overlaps(node: Node, modules: Mapping[str, nn.Module]) -> bool:
    """Whether a node is a max pool whose windows share pixels or reach past the image, as no step of FINN builds."""
    module: Any = modules[str(node.target)] if node.op == "call_module" else None
    kernel: Any
    stride: Any
    padding: Any
    if isinstance(module, nn.MaxPool2d):
        kernel, stride, padding = module.kernel_size, module.stride, module.padding
    elif node.target is F.max_pool2d:
        given = dict(zip(("kernel_size", "stride", "padding"), node.args[1:], strict=False)) | dict(node.kwargs)
        kernel, stride, padding = (given.get(name) for name in ("kernel_size", "stride", "padding"))
    else:
        return False
    return _pair(stride or kernel) != _pair(kernel) or _pair(padding or 0) != (0, 0)


def _pair(value: Any) -> tuple[Any, ...]:
    return (value, value) if isinstance(value, int) else tuple(value)
