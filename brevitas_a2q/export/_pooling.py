"""Adaptive average pools to any size, in operators that ONNX has.

ONNX has pools whose windows are all of one size. PyTorch's exporter refuses the rest: VGG and AlexNet pool to 7x7 and
6x6 whatever comes, which is one pixel of small images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["pools_of_any_size"]


@contextmanager
def pools_of_any_size() -> Iterator[None]:
    """While active, adaptive average pools whose windows are of several sizes are slices, their means, and a join."""
    original: Callable[..., Any] = F.adaptive_avg_pool2d

    def adaptive_avg_pool2d(x: Any, output_size: Any) -> Any:
        if type(x) is not Tensor:  # quantized ones come again, as values
            return original(x, output_size)
        given = output_size if isinstance(output_size, (tuple, list)) else (output_size, output_size)
        have = [int(size) for size in x.shape[-2:]]
        wanted = [size if size is not None else same for size, same in zip(given, have, strict=True)]
        if all(size % out == 0 for size, out in zip(have, wanted, strict=True)):
            return original(x, output_size)
        if x.dim() == 4 and all(out % size == 0 for size, out in zip(have, wanted, strict=True)):
            factors = [float(out // size) for size, out in zip(have, wanted, strict=True)]
            return F.interpolate(x, scale_factor=factors, mode="nearest")
        return _means(_means(x, -2, wanted[0]), -1, wanted[1])

    F.adaptive_avg_pool2d = adaptive_avg_pool2d  # type: ignore[assignment]
    try:
        yield
    finally:
        F.adaptive_avg_pool2d = original


def _means(x: Tensor, axis: int, out: int) -> Tensor:
    """Means of ``out`` windows along an axis, as PyTorch places them: neighbours may overlap by one."""
    size = int(x.shape[axis])
    windows = [(k * size // out, -(-(k + 1) * size // out)) for k in range(out)]
    return torch.cat([x.narrow(axis, a, b - a).mean(axis, keepdim=True) for a, b in windows], axis)
