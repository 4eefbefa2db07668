"""How much of each accumulator's budget a model uses."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from brevitas_a2q.bounds import IntRange
from brevitas_a2q.quant._functional import budget_use
from brevitas_a2q.quant._layers import accumulator_layers
from brevitas_a2q.quant._proxy import AccumulatorAwareWeightQuantProxy
from brevitas_a2q.quant._tensor_quant import LearnedNormTensorQuant

__all__ = ["LayerState", "ModelState", "accumulator_state"]


@dataclass(frozen=True)
class LayerState:
    """Budget use of one layer; shares are between 0 and 1, over its channels (and tiles).

    Attributes:
        name: Qualified name.
        method: ``"projected"``, ``"a2q"`` or ``"a2q+"``.
        accumulator_bit_width: P.
        tile: Weights per tile of a multi-stage accumulator, or None.
        inputs: Integers that one input may take; None where no input has been seen, and the shares are then None too.
        mean_use: Mean share of the budget that a channel uses.
        max_use: Share that the fullest channel uses; at most 1.
        zero_weights: Share of integer weights that are zero.
        dead_channels: Share of channels without a weight.
        capped_channels: Share of channels whose learned norm is above its cap; None for the projection.
        bias_covered: Whether the bias, if any, is part of the budget.
    """

    name: str
    method: str
    accumulator_bit_width: int
    tile: int | None
    inputs: IntRange | None
    mean_use: float | None
    max_use: float | None
    zero_weights: float | None
    dead_channels: float | None
    capped_channels: float | None
    bias_covered: bool


@dataclass(frozen=True)
class ModelState:
    """State of every accumulator-aware layer; ``str()`` gives a table."""

    layers: tuple[LayerState, ...]

    def __str__(self) -> str:
        head = f"{'layer':<32} {'method':<10} {'P':>3} {'mean use':>9} {'max use':>8} {'zeros':>6} {'dead':>6}"
        lines = [head, "-" * len(head)]
        for row in self.layers:
            shares = (row.mean_use, row.max_use, row.zero_weights, row.dead_channels)
            cells = [f"{share:.1%}" if share is not None else "?" for share in shares]
            lines.append(
                f"{row.name:<32} {row.method:<10} {row.accumulator_bit_width:>3} "
                f"{cells[0]:>9} {cells[1]:>8} {cells[2]:>6} {cells[3]:>6}"
            )
        return "\n".join(lines)


@torch.no_grad()
def accumulator_state(model: nn.Module) -> ModelState:
    """Report how much of each budget the integer weights use right now.

    Args:
        model: A model whose layers have seen an input, or been told of its range.

    Returns:
        One row per accumulator-aware layer.
    """
    return ModelState(tuple(_layer_state(name, layer.weight_quant) for name, layer in accumulator_layers(model)))


def _layer_state(name: str, proxy: AccumulatorAwareWeightQuantProxy) -> LayerState:
    inputs = proxy.input_range()
    identity = (name, proxy.method, proxy.accumulator_bit_width, proxy.accumulator_tile, inputs)
    if inputs is None:
        return LayerState(*identity, None, None, None, None, None, proxy.bias_covered)
    codes = proxy.integer_weight()
    scale, budget = proxy.scale_and_budget(proxy.tracked_module_list[0].weight)
    quantizer = getattr(proxy.tensor_quant, "_orig_mod", proxy.tensor_quant)
    use = torch.stack([budget_use(part, budget) for part in codes.split(quantizer.tile_sizes(codes), dim=1)])
    capped = None
    if isinstance(proxy.tensor_quant, LearnedNormTensorQuant):
        capped = float((proxy.tensor_quant.norm_excess(proxy.layout.per_channel(scale), budget) > 0).double().mean())
    return LayerState(
        *identity,
        mean_use=float(use.mean()),
        max_use=float(use.max()),
        zero_weights=float((codes == 0).double().mean()),
        dead_channels=float((codes == 0).all(1).double().mean()),
        capped_channels=capped,
        bias_covered=proxy.bias_covered,
    )
