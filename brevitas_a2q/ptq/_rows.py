"""The products of a layer's dot products: rows of inputs at sampled places of its output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from brevitas_a2q.quant._layout import WeightLayout

__all__ = ["Geometry", "Place", "sample_places"]


@dataclass(frozen=True)
class Place:
    """Where rows are taken: outputs of one batch.

    Attributes:
        batch: Index of the batch.
        sample: Index within the batch.  # shape: (n,)
        position: Index of the output, one column per spatial axis (none for a linear layer).  # shape: (n, axes)
    """

    batch: int
    sample: Tensor
    position: Tensor


@dataclass(frozen=True, eq=False)
class Geometry:
    """How a layer reads its input.

    Attributes:
        layer: Linear, convolutional, or transposed convolutional; of torch or of Brevitas.
        groups: G.
        transposed: Whether the convolution is.
        order: Place of each product of the weight's rows, counted input channel first; None where that is their order.
    """

    layer: Any
    groups: int
    transposed: bool
    order: Tensor | None = None  # shape: (K,)

    @classmethod
    def of(cls, layer: Any, tiled: bool = False) -> Geometry:
        """Geometry of a layer; where it has tiles, products go phase by phase of a transposed convolution's stride."""
        groups, transposed = int(getattr(layer, "groups", 1)), bool(getattr(layer, "transposed", False))
        layout, order = WeightLayout.of(layer), None
        if tiled and layout.phases:
            shape = tuple(layer.weight.shape)
            counted = torch.arange(layout.dot_product_size(shape)).repeat(layout.channels(shape), 1)
            order = layout.rows(layout.in_one_piece().weight(counted, shape))[0]
        return cls(layer, groups, transposed, order)

    @property
    def axes(self) -> int:
        """Spatial axes; 0 for a linear layer."""
        return 0 if isinstance(self.layer, nn.Linear) else len(self.layer.kernel_size)

    def output_size(self, x: Tensor) -> tuple[int, ...]:
        """Spatial size of the output for this input; of a linear layer, the sizes between batch and features."""
        if not self.axes:
            return tuple(x.shape[1:-1])
        layer, before = self.layer, self._padding()
        sizes = x.shape[2:]
        found = []
        for axis, size in enumerate(sizes):
            reach = layer.dilation[axis] * (layer.kernel_size[axis] - 1) + 1
            pad = sum(before[axis])
            if self.transposed:
                found.append((size - 1) * layer.stride[axis] - pad + reach + layer.output_padding[axis])
            else:
                found.append((size + pad - reach) // layer.stride[axis] + 1)
        return tuple(found)

    def _padding(self) -> list[tuple[int, int]]:
        layer = self.layer
        if layer.padding == "same":
            total = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
            return [(t // 2, t - t // 2) for t in total]
        if layer.padding == "valid":
            return [(0, 0)] * self.axes
        return [(p, p) for p in layer.padding]

    def rows(self, x: Tensor, place: Place) -> Tensor:
        """Inputs of the dot products at some outputs of one batch.

        Args:
            x: Input of the layer for the batch; a linear layer's has the features last.
            place: Which outputs.

        Returns:
            In the order of the weight's rows.  # shape: (n, G, K)
        """
        n = len(place.sample)
        if not self.axes:
            picked: Tensor = x.reshape(x.shape[0], -1, x.shape[-1]) if x.dim() > 1 else x[None, None]
            return picked[place.sample, place.position[:, 0]].reshape(n, 1, -1)
        mode = getattr(self.layer, "padding_mode", "zeros")
        padding = self._padding()
        if mode != "zeros":
            x = F.pad(x, [p for pair in reversed(padding) for p in pair], mode=mode)
            padding = [(0, 0)] * self.axes
        index: list[Tensor] = []
        inside: Tensor | None = None
        for axis in range(self.axes):
            source, valid = self._sources(axis, place.position[:, axis], padding[axis][0], x.shape[2 + axis])
            shape = [n, *[1] * self.axes]
            shape[1 + axis] = -1
            index.append(source.reshape(shape))
            inside = valid.reshape(shape) if inside is None else inside & valid.reshape(shape)
        first = place.sample.reshape(n, *[1] * self.axes)
        moved = x.movedim(1, -1)  # channels last, so that one gather takes all of a tap's
        assert inside is not None
        where = (first, *index)
        taps = moved[where] * inside.unsqueeze(-1)
        of_groups = taps.reshape(n, -1, self.groups, x.shape[1] // self.groups)
        rows = of_groups.permute(0, 2, 3, 1).reshape(n, self.groups, -1)
        return rows if self.order is None else rows[:, :, self.order]

    def _sources(self, axis: int, position: Tensor, pad: int, size: int) -> tuple[Tensor, Tensor]:
        """Input index of every tap along an axis, and whether there is one.  # shape: (n, kernel)"""
        layer = self.layer
        taps = torch.arange(layer.kernel_size[axis]) * layer.dilation[axis]
        if self.transposed:
            spread = position[:, None] + pad - taps
            source = torch.div(spread, layer.stride[axis], rounding_mode="floor")
            valid = spread % layer.stride[axis] == 0
        else:
            source = position[:, None] * layer.stride[axis] - pad + taps
            valid = torch.ones_like(source, dtype=torch.bool)
        valid &= (source >= 0) & (source < size)
        return source.clamp(0, size - 1), valid


def sample_places(
    geometry: Geometry, inputs: Sequence[Tensor], masks: Sequence[Tensor | None], wanted: int, seed: int
) -> list[Place]:
    """Outputs to take rows at: each as likely as any other, all of them if there are no more than wanted.

    Args:
        geometry: Of the layer.
        inputs: Its input for every batch.
        masks: Of tokens that count, one for each batch, or None.  # shape: (batch, tokens)
        wanted: How many, at most about.
        seed: Of the choice.
    """
    rng = np.random.default_rng(seed)
    sizes = [geometry.output_size(x) for x in inputs]
    counts = [len(x) * int(np.prod(size)) for x, size in zip(inputs, sizes, strict=True)]
    total = sum(counts)
    places = []
    for batch, (count, size, mask) in enumerate(zip(counts, sizes, masks, strict=True)):
        flat = np.arange(count)
        if mask is not None and not geometry.axes and tuple(mask.shape) == (len(inputs[batch]), *size):
            flat = np.flatnonzero(mask.reshape(-1).numpy())
        share = min(len(flat), -(-wanted * count // total))
        chosen = np.sort(rng.choice(flat, share, replace=False))
        if not geometry.axes:
            per = int(np.prod(size))
            where = torch.from_numpy(np.stack((chosen // per, chosen % per), 1))
            places.append(Place(batch, where[:, 0], where[:, 1:]))
            continue
        parts = np.stack(np.unravel_index(chosen, (len(inputs[batch]), *size)), 1)
        where = torch.from_numpy(parts)
        places.append(Place(batch, where[:, 0], where[:, 1:]))
    return places
