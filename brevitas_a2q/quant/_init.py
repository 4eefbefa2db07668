"""Initialization of a whole model: EP-init, and scales chosen with the budget in mind.

EP-init starts A2Q from the Euclidean projection of the float weights (A2Q+, arXiv 2401.10432):
``v* = argmin ||v - w||^2 subject to ||v||_1 <= s * cap`` and ``g* = min(||w||_1, s * cap)``. A2Q+ constrains centred
weights, so there it is the centred weights that are projected, each sign onto half of the cap: the result is centred
again, which projecting ``w`` itself would not give.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from brevitas_a2q.quant._euclidean import project_rows
from brevitas_a2q.quant._layers import accumulator_layers, learn_input_ranges
from brevitas_a2q.quant._scale_search import is_learned, search_scale_
from brevitas_a2q.quant._tensor_quant import LearnedNormTensorQuant

__all__ = ["ep_init_", "scale_init_"]


@torch.no_grad()
def ep_init_(model: nn.Module, example_inputs: Any = None) -> list[str]:
    """Euclidean-projection initialization of every A2Q and A2Q+ layer, in place: weights ``v`` and norms ``t``.

    All layer types, all channels at once. Layers that project in every step need no initialization and are left alone.

    Args:
        model: Any model with accumulator-aware layers, holding the float weights to start from.
        example_inputs: Input tensor, or tuple of inputs, to learn input ranges from; not needed where they are known.

    Returns:
        Names of the layers that were initialized.

    Raises:
        ModelError: The input range of a layer is not known and cannot be learnt.
    """
    learn_input_ranges(model, example_inputs)
    done = []
    for name, layer in accumulator_layers(model):
        proxy = layer.weight_quant
        quantizer = getattr(proxy.tensor_quant, "_orig_mod", proxy.tensor_quant)
        if not isinstance(quantizer, LearnedNormTensorQuant):
            continue
        scale, budget = proxy.scale_and_budget(layer.weight)
        rows = proxy.layout.rows(layer.weight)
        column = proxy.layout.per_channel(scale)
        projected, cap = project_rows(rows, column, budget, quantizer.centred, quantizer.tile_sizes(rows))
        quantizer.set_norm(rows, at_most=cap)
        layer.weight.copy_(proxy.layout.weight(projected.to(rows.dtype), tuple(layer.weight.shape)))
        done.append(name)
    return done


def scale_init_(model: nn.Module, example_inputs: Any = None) -> list[str]:
    """Choose the learned scale of every accumulator-aware layer with its budget in mind, in place.

    Projecting quantizers with a learned scale of their own do this by themselves when first used; for the others, and
    after weights have been loaded, it is there to be called.

    Args:
        model: Any model with accumulator-aware layers.
        example_inputs: Input tensor, or tuple of inputs, to learn input ranges from; not needed where they are known.

    Returns:
        Names of the layers whose scale was set: those that learn one.
    """
    learn_input_ranges(model, example_inputs)
    done = []
    for name, layer in accumulator_layers(model):
        if is_learned(layer.weight_quant.tensor_quant.scaling_impl):
            search_scale_(layer.weight_quant, layer.weight)
            done.append(name)
    return done
