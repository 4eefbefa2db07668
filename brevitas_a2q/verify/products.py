"""How the outputs of a linear or convolutional layer sum products: all at once in floats, or product by product.

Integers below ``2^24`` add and multiply exactly in float32, and below ``2^53`` in float64, in any order. So the fast
path is PyTorch's own convolution, and it is exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from brevitas_a2q.errors import ModelError

__all__ = ["Products"]

_CONVOLUTION = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_EXACT = {torch.float32: 1 << 24, torch.float64: 1 << 53}


@dataclass(frozen=True, eq=False)
class Products:
    """The geometry of one layer; a dense layer is a convolution without spatial axes.

    A transposed convolution is the convolution with the flipped kernel of its input with ``stride - 1`` zeros put
    between pixels: zeros change no partial sum.
    """

    weights: Tensor  # int64, shape: (out_channels, in_channels / groups, *kernel)
    groups: int = 1
    stride: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    padding: tuple[tuple[int, int], ...] = ()  # (before, after) for each spatial axis; may be negative
    upsampling: tuple[int, ...] = ()  # of the input of a transposed convolution

    @classmethod
    def transposed(
        cls,
        weights: Tensor,
        groups: int,
        stride: Sequence[int],
        dilation: Sequence[int],
        padding: Sequence[tuple[int, int]],
        output_padding: Sequence[int],
    ) -> Products:
        """Products of a transposed convolution with weights of shape (in_channels, out_channels / groups, *kernel)."""
        inputs, outputs, *kernel = weights.shape
        grouped = weights.reshape(groups, inputs // groups, outputs, *kernel).transpose(1, 2)
        flipped = grouped.reshape(groups * outputs, inputs // groups, *kernel).flip(tuple(range(2, 2 + len(kernel))))
        reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        pads = tuple(
            (far - before, far - after + extra)
            for far, (before, after), extra in zip(reach, padding, output_padding, strict=True)
        )
        return cls(flipped.contiguous(), groups, (1,) * len(kernel), tuple(dilation), pads, tuple(stride))

    @property
    def size(self) -> int:
        """K, products per output (zeros between pixels of a transposed convolution included)."""
        return self.weights[0].numel()

    def prepared(self, x: Tensor) -> Tensor:
        """The input with its padding and, for a transposed convolution, the zeros between its pixels."""
        if any(factor > 1 for factor in self.upsampling):
            sizes = [(n - 1) * factor + 1 for n, factor in zip(x.shape[2:], self.upsampling, strict=True)]
            spread = x.new_zeros((*x.shape[:2], *sizes))
            pixels = (slice(None), slice(None), *(slice(None, None, factor) for factor in self.upsampling))
            spread[pixels] = x
            x = spread
        pads = [side for pair in reversed(self.padding) for side in pair]
        return F.pad(x, pads) if any(pads) else x

    def sums(self, prepared: Tensor, largest: int) -> Tensor:
        """Every output's exact sum of products.

        Args:
            prepared: Codes, any type.  # shape: (batch, in_channels, *spatial)
            largest: Bound on the magnitude of every partial sum.

        Returns:
            Integers in float32 or float64, whichever is exact.  # shape: (batch, out_channels, *spatial)
        """
        dtype = _exact_type(largest)
        x, weights = prepared.to(dtype), self.weights.to(dtype)
        with _exact_kernels():
            if not self.stride:
                return F.linear(x, weights)
            convolve = _CONVOLUTION[len(self.stride)]
            return convolve(x, weights, None, self.stride, 0, self.dilation, self.groups)

    def positive_part(self) -> Products:
        """The same geometry with the positive weights only."""
        return replace(self, weights=self.weights.clamp_min(0))

    def terms(self, prepared: Tensor, outputs: Tensor, chunk: int) -> Iterator[tuple[slice, Tensor]]:
        """The products that single outputs sum.

        Args:
            prepared: Codes.  # shape: (batch, in_channels, *spatial)
            outputs: Indices (batch, channel, *position), one row each.  # shape: (n, 2 + spatial axes)
            chunk: Largest number of products held at a time.

        Yields:
            Which rows of ``outputs``, and their products as int64, input channel slowest.  # shape: (rows, K)
        """
        windows = self._windows(prepared)
        channels_per_group = self.weights.shape[0] // self.groups
        rows = max(1, chunk // self.size)
        for start in range(0, outputs.shape[0], rows):
            batch, channel, *position = outputs[start : start + rows].unbind(1)
            window = (batch, *position, channel // channels_per_group)
            inputs = windows[window].flatten(1).long()
            yield slice(start, start + rows), inputs * self.weights[channel].flatten(1)

    def _windows(self, prepared: Tensor) -> Tensor:
        """A view of each output position's inputs, shape (batch, *positions, groups, channels per group, *kernel)."""
        x = prepared.contiguous()
        batch, channel, *spatial = x.stride()
        kernel = self.weights.shape[2:]
        positions = [
            (n - d * (k - 1) - 1) // s + 1
            for n, k, s, d in zip(x.shape[2:], kernel, self.stride, self.dilation, strict=True)
        ]
        each = self.weights.shape[1]
        shape = (x.shape[0], *positions, self.groups, each, *kernel)
        strides = (
            batch,
            *(step * s for step, s in zip(spatial, self.stride, strict=True)),
            channel * each,
            channel,
            *(step * d for step, d in zip(spatial, self.dilation, strict=True)),
        )
        return x.as_strided(shape, strides)


def _exact_type(largest: int) -> torch.dtype:
    if torch.get_float32_matmul_precision() != "highest":  # float32 products may be rounded to fewer bits
        return _checked(largest)
    return torch.float32 if largest < _EXACT[torch.float32] else _checked(largest)


def _checked(largest: int) -> torch.dtype:
    if largest >= _EXACT[torch.float64]:
        raise ModelError(
            f"found sums of up to {largest}", expected="sums below 2^53, which the simulation adds exactly"
        )
    return torch.float64


@contextmanager
def _exact_kernels() -> Iterator[None]:
    """Neither Winograd transforms, whose intermediate values are no integers, nor an automatic lower precision."""
    with torch.backends.nnpack.flags(enabled=False), torch.autocast("cpu", enabled=False):
        yield
