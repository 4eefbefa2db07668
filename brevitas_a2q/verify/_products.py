"""How the outputs of a linear or convolutional layer sum products: all at once in floats, or product by product.

Integers below ``2^24`` add and multiply exactly in float32, and below ``2^53`` in float64, in any order. So the fast
path is PyTorch's own convolution, and it is exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import prod

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
    between pixels. These zeros, and those around its image, are no products of it: they are not added.
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
        """K, products per output (of a transposed convolution: of all phases together)."""
        return self.weights[0].numel()

    @property
    def spread(self) -> bool:
        """Whether it is a transposed convolution."""
        return bool(self.upsampling)

    def additions(self, x: Tensor) -> int:
        """Products that all outputs sum, zeros of an ordinary convolution's padding included.

        Args:
            x: Codes.  # shape: (batch, in_channels, *spatial)
        """
        if not self.stride:
            return x.shape[0] * self.weights.numel()
        if not self.spread:
            sides = self._positions([n + sum(p) for n, p in zip(x.shape[2:], self.padding, strict=True)])
            return x.shape[0] * self.weights.numel() * prod(sides)
        taps = self._windows(self._pixels(x)).sum()
        return int(taps) * x.shape[0] * self.weights.shape[0] * self.weights.shape[1]

    def _pixels(self, x: Tensor) -> Tensor:
        """Ones where the prepared input has a pixel, as one channel; zeros where zeros were put."""
        return self.prepared(torch.ones((1, 1, *x.shape[2:])))

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

    def terms(self, x: Tensor, outputs: Tensor, chunk: int) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        """The products that single outputs sum, in order: input channel slowest, then the kernel's axes as stored.

        Args:
            x: Codes.  # shape: (batch, in_channels, *spatial)
            outputs: Indices (batch, channel, *position), one row each.  # shape: (n, 2 + spatial axes)
            chunk: Largest number of products held at a time.

        Yields:
            Which rows of ``outputs``; their products as int64 (of a transposed convolution: those of their phase); and
            which of them exist, None for all.  # shapes: (rows,), (rows, K), (rows, K)
        """
        windows = self._windows(self.prepared(x))
        pixels = self._windows(self._pixels(x))[0] if self.spread else None
        kernel = tuple(range(-(self.weights.dim() - 2), 0))
        weights = self.weights.flip(kernel) if self.spread else self.weights
        channels_per_group = self.weights.shape[0] // self.groups
        for rows, taps in self._phases(outputs):
            for part in rows.split(max(1, chunk // self.size)):
                batch, channel, *position = outputs[part].unbind(1)
                place = (batch, *position, channel // channels_per_group)
                inputs = windows[place]
                if pixels is None:
                    yield part, inputs.flatten(1).long() * weights[channel].flatten(1), None
                    continue
                there = tuple(position)
                inputs, exists = inputs.flip(kernel).flatten(2), pixels[there].flip(kernel).flatten(2)
                products = inputs[:, :, taps].long() * weights[channel].flatten(2)[:, :, taps]
                real = exists[:, 0, :, taps] if exists.dim() == 4 else exists[:, :, taps]
                yield part, products.flatten(1), real.expand(products.shape).flatten(1) > 0

    def _phases(self, outputs: Tensor) -> Iterator[tuple[Tensor, Tensor | slice]]:
        """Rows of outputs of one phase of the stride, and the flat taps that meet there."""
        everything = torch.arange(len(outputs))
        if not len(outputs):
            return
        if not self.spread:
            yield everything, slice(None)
            return
        starts = torch.tensor([before for before, _ in self.padding])
        keys = (outputs[:, 2:] - starts) % torch.tensor(self.upsampling)
        for key in torch.unique(keys, dim=0):
            taps = torch.ones(self.weights.shape[2:], dtype=torch.bool)
            for axis, (first, dilation, factor) in enumerate(zip(key, self.dilation, self.upsampling, strict=True)):
                size = self.weights.shape[2 + axis]
                meets = (first + torch.arange(size).flip(0) * dilation) % factor == 0  # the kernel is flipped
                taps &= meets.reshape(-1, *[1] * (taps.dim() - axis - 1))
            yield everything[(keys == key).all(1)], taps.flatten().nonzero().flatten()

    def _positions(self, size: Sequence[int]) -> list[int]:
        """Outputs along each axis of a prepared image."""
        sides = zip(size, self.weights.shape[2:], self.stride, self.dilation, strict=True)
        return [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in sides]

    def _windows(self, prepared: Tensor) -> Tensor:
        """A view of each output position's inputs, shape (batch, *positions, groups, channels per group, *kernel)."""
        x = prepared.contiguous()
        batch, channel, *spatial = x.stride()
        kernel = self.weights.shape[2:]
        positions = self._positions(x.shape[2:])
        groups, each = (self.groups, self.weights.shape[1]) if x.shape[1] > 1 else (1, 1)
        shape = (x.shape[0], *positions, groups, each, *kernel)
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
