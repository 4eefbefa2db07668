"""How a layer's weight tensor maps to the dot products its accumulators sum."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn

__all__ = ["WeightLayout"]


@dataclass(frozen=True)
class WeightLayout:
    """View of a weight tensor as one row per output channel, each row the products of one dot product.

    A convolution stores ``(C, I/groups, *kernel)``, whose rows lie in memory as they are. A transposed convolution
    stores ``(I, C/groups, *kernel)``: output channel ``c`` of group ``g`` sums over the inputs of its own group only.
    With a stride above one an output meets a subset of the taps; counting all of them is the safe side.

    Args:
        transposed: Whether the input channels come first.
        groups: Groups of the layer; 1 for a linear layer.

    Example:
        >>> import torch
        >>> WeightLayout(transposed=True, groups=2).rows(torch.zeros(4, 3, 5, 5)).shape
        torch.Size([6, 50])
    """

    transposed: bool = False
    groups: int = 1

    @classmethod
    def of(cls, module: nn.Module) -> WeightLayout:
        """Layout of a quantized layer's weight."""
        transposed = int(getattr(module, "output_channel_dim", 0)) == 1
        return cls(transposed, int(getattr(module, "groups", 1)) if transposed else 1)

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
        return per_group.flatten(0, 1).flatten(1)

    def weight(self, rows: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Inverse of :meth:`rows` for a weight of this shape."""
        if not self.transposed:
            return rows.reshape(shape)
        inputs, outputs, *kernel = shape
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
