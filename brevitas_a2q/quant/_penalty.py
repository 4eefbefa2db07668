"""The regularization penalty of A2Q (ICCV 2023, arXiv 2308.13504)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from brevitas_a2q.quant._layers import accumulator_layers
from brevitas_a2q.quant._tensor_quant import LearnedNormTensorQuant

__all__ = ["a2q_penalty"]


def a2q_penalty(model: nn.Module, strength: float = 1e-3) -> Tensor:
    """``strength * sum over layers and channels of max(t - T, 0)``, to be added to the task's loss.

    A channel whose learned log-norm ``t`` exceeds its cap ``T`` is quantized as if ``t = T``, and the task's gradient
    no longer reaches ``t``; the penalty draws it back. Layers whose input range is not known yet, and the projection,
    which learns no norm, add nothing.

    Args:
        model: Any model.
        strength: Lambda of the paper.

    Returns:
        A scalar that can be backpropagated, also where it is zero.  # shape: ()
    """
    first = next(model.parameters(), torch.zeros(()))
    total = torch.zeros((), device=first.device, requires_grad=True)
    for _, layer in accumulator_layers(model):
        proxy = layer.weight_quant
        quantizer = getattr(proxy.tensor_quant, "_orig_mod", proxy.tensor_quant)
        if isinstance(quantizer, LearnedNormTensorQuant) and quantizer.norm_ready and proxy.input_range() is not None:
            scale, budget = proxy.scale_and_budget(layer.weight)
            column = proxy.layout.per_channel(scale)
            total = total + quantizer.norm_excess(column, budget).clamp_min(0).sum().float()
    return strength * total
