"""How a layer's weight tensor maps to the dot products its accumulators sum."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from brevitas_a2q._ranges.rows import transpose_phases

__all__ = ["WeightLayout", "unsliced"]


@dataclass(frozen=True)
class WeightLayout:
    """View of a weight tensor as one row per output channel, each row the products of one dot product.

    A convolution stores ``(C, I/groups, *kernel)``, whose rows lie in memory as they are. A transposed convolution
    stores ``(I, C/groups, *kernel)``: output channel ``c`` of group ``g`` sums over the inputs of its own group only.
    With a stride above one an output meets the taps of one phase of it. Counting all of them is the safe side for one
    accumulator; where there are tiles, which hold consecutive products of an output, rows go phase by phase.

    Products are in the order in which the certificate has them: phase, input channel, then the kernel's axes.

    Args:
        transposed: Whether the input channels come first.
        groups: Groups of the layer; 1 for a linear layer.
        phases: Taps of each phase as indices into the flattened kernel; empty where rows are not to go by phase.

    Example:
        >>> import torch
        >>> WeightLayout(transposed=True, groups=2).rows(torch.zeros(4, 3, 5, 5)).shape
        torch.Size([6, 50])
    """

    transposed: bool = False
    groups: int = 1
    phases: tuple[tuple[int, ...], ...] = ()

    @classmethod
    def of(cls, module: nn.Module) -> WeightLayout:
        """Layout of a quantized layer's weight."""
        if int(getattr(module, "output_channel_dim", 0)) != 1:
            return cls()
        kernel: Any = module.kernel_size
        found = transpose_phases(kernel, module.stride, module.dilation)  # type: ignore[arg-type]
        phases = [tuple(int(np.ravel_multi_index(tap, kernel)) for tap in taps) for taps in found]
        return cls(True, int(module.groups), tuple(phases) if len(phases) > 1 else ())  # type: ignore[arg-type]

    def in_one_piece(self) -> WeightLayout:
        """The same without phases."""
        return WeightLayout(self.transposed, self.groups)

    def pieces(self, row_length: int) -> list[int]:
        """Lengths of the parts of a row that no tile crosses: one for each phase."""
        taps = sum(map(len, self.phases))
        return [row_length // taps * len(phase) for phase in self.phases] if taps else [row_length]

    def rows(self, weight: Tensor) -> Tensor:
        """``weight`` as rows.

        Args:
            weight: As the layer stores it.  # shape: (C, I/groups, *kernel) or (I, C/groups, *kernel)

        Returns:
            A view or copy.  # shape: (C, K)
        """
        if not self.transposed:
            return weight.flatten(1) if weight.dim() > 1 else weight.unsqueeze(1)
        per_group = weight.reshape(self.groups, -1, *weight.shape[1:]).transpose(1, 2)
        by_input = per_group.flatten(0, 1)
        if not self.phases:
            return by_input.flatten(1)
        by_tap = by_input.flatten(2)
        return torch.cat([by_tap[:, :, list(taps)].flatten(1) for taps in self.phases], 1)

    def weight(self, rows: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Inverse of :meth:`rows` for a weight of this shape."""
        if not self.transposed:
            return rows.reshape(shape)
        inputs, outputs, *kernel = shape
        if self.phases:
            length = inputs // self.groups
            parts = [part.unflatten(1, (length, -1)) for part in rows.split(self.pieces(rows.shape[1]), 1)]
            places = [place for taps in self.phases for place in taps]
            rows = torch.cat(parts, 2)[:, :, [places.index(tap) for tap in range(len(places))]]
        per_group = rows.reshape(self.groups, outputs, inputs // self.groups, *kernel)
        return per_group.transpose(1, 2).reshape(shape)

    @staticmethod
    def per_channel(scale: Tensor) -> Tensor:
        """A Brevitas scale (one value, or one per output channel) as a column.

        Returns:
            # shape: (1, 1) or (C, 1)
        """
        return scale.reshape(-1, 1)

    def channels(self, shape: tuple[int, ...]) -> int:
        """C: output channels of a weight of this shape."""
        return shape[1] * self.groups if self.transposed else shape[0]

    def dot_product_size(self, shape: tuple[int, ...]) -> int:
        """K: products per output of a weight of this shape."""
        return math.prod(shape) // max(1, self.channels(shape))


def unsliced(weight: Tensor) -> Tensor:
    """The parameter that ``weight`` is a slice of, if that slice is all of it.

    Brevitas hands weights over as ``parameter[:]``. On the way back that makes a tensor of zeros, writes the gradient
    into it, and, where the parameter is channels-last and the zeros are not, copies it once more.
    """
    node: Any = weight.grad_fn
    if node is None or node.name() != "SliceBackward0":
        return weight
    source = getattr(node.next_functions[0][0], "variable", None)
    if source is None or (source.shape, source.stride()) != (weight.shape, weight.stride()):
        return weight
    parameter: Tensor = source
    return parameter
