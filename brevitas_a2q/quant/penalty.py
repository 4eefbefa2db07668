"""The regularization penalty of A2Q."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from brevitas_a2q.quant.layers import accumulator_layers

__all__ = ["a2q_penalty"]


def a2q_penalty(model: nn.Module, strength: float = 1e-3) -> Tensor:
    """``strength * sum over layers and channels of max(t - T, 0)``, to be added to the task's loss.

    A channel whose learned log-norm ``t`` exceeds its cap ``T`` is quantized as if ``t = T`` and gets no gradient from
    the task; the penalty draws it back (A2Q, section 4.1). Layers whose input range is not known yet, and methods that
    learn no norm, add nothing.

    Args:
        model: Any model; without A2Q layers the penalty is a zero that can be backpropagated.
        strength: Lambda of the paper.

    Returns:
        A scalar.  # shape: ()
    """
    terms = [term for _, layer in accumulator_layers(model) for term in layer.weight_quant.norm_excess()]
    if not terms:
        reference = next(model.parameters(), torch.zeros(()))
        return torch.zeros((), device=reference.device, requires_grad=True)
    return strength * torch.stack([term.float().clamp_min(0).sum() for term in terms]).sum()
