"""What is left of the weights: sparsity, and how far entropy coding would compress them.

Both as in I. Colbert et al., *Quantized Neural Networks for Low-Precision Accumulation with Guaranteed Overflow
Avoidance*, arXiv 2301.13376: sparsity is the share of integer weights that are zero, and the compression rate is
``M / H``, with ``M`` the weights' bit width and ``H`` the Shannon entropy of the integer weights in bits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import nn

from brevitas_a2q._ir.dot_product import IntArray
from brevitas_a2q._trace import evaluating, quantized_layers
from brevitas_a2q.errors import ModelError
from brevitas_a2q.quant._proxy import AccumulatorAwareWeightQuantProxy
from brevitas_a2q.verify._torch_layers import integers

__all__ = ["LayerWeights", "WeightStatistics", "weight_statistics"]


@dataclass(frozen=True, eq=False)
class LayerWeights:
    """The integer weights of one layer."""

    name: str
    codes: IntArray  # shape: (count,)
    bit_width: int  # M
    constrained: bool  # whether its quantizer keeps an accumulator's budget


@dataclass(frozen=True)
class WeightStatistics:
    """Sparsity and entropy of the integer weights of some layers, taken together.

    Attributes:
        layers: Their number.
        weights: Number of their weights.
        zeros: Share of weights that are zero, in [0, 1].
        entropy_bits: Shannon entropy of one weight, from the frequency of each integer over all of the layers.
        bit_width: M, mean over the weights where layers differ.
    """

    layers: int
    weights: int
    zeros: float
    entropy_bits: float
    bit_width: float

    @property
    def compression(self) -> float | None:
        """``M / H``; None where all weights are equal, whose entropy is zero."""
        return self.bit_width / self.entropy_bits if self.entropy_bits > 0 else None

    @classmethod
    def of(cls, layers: Iterable[LayerWeights]) -> WeightStatistics | None:
        """Statistics of these layers' weights; None if there are none.

        Example:
            >>> weights = LayerWeights("fc", np.array([0, 0, 1, -1]), bit_width=3, constrained=True)
            >>> found = WeightStatistics.of([weights])
            >>> found.zeros, found.entropy_bits, found.compression
            (0.5, 1.5, 2.0)
        """
        chosen = list(layers)
        if not chosen:
            return None
        codes = np.concatenate([layer.codes for layer in chosen])
        _, counts = np.unique(codes, return_counts=True)
        shares = counts / codes.size
        return cls(
            layers=len(chosen),
            weights=codes.size,
            zeros=int((codes == 0).sum()) / codes.size,
            entropy_bits=float(-(shares * np.log2(shares)).sum()) + 0.0,  # no minus zero
            bit_width=sum(layer.bit_width * layer.codes.size for layer in chosen) / codes.size,
        )

    def to_json(self) -> dict[str, Any]:
        """All fields, and ``compression``."""
        return {**asdict(self), "compression": self.compression}


def weight_statistics(model: nn.Module) -> tuple[WeightStatistics, WeightStatistics]:
    """Statistics of the hidden layers' integer weights, and of all layers'.

    Hidden layers are those that keep an accumulator's budget. Where no layer does, they are all but the first and the
    last, so that plain quantization can be put beside a method.

    Args:
        model: Brevitas model whose layers have seen an input; it is left as it was.

    Returns:
        Of the hidden layers, and of all layers.

    Raises:
        ModelError: A model without quantized layers, or a layer whose weights are not integers.
    """
    layers = _integer_weights(model)
    everything = WeightStatistics.of(layers)
    if everything is None:
        raise ModelError("found no quantized layer", where=f"model {type(model).__name__}")
    hidden = [layer for layer in layers if layer.constrained] or layers[1:-1] or layers
    return WeightStatistics.of(hidden) or everything, everything


def _integer_weights(model: nn.Module) -> list[LayerWeights]:
    """Every quantized layer's, in the order in which layers are defined."""
    found = []
    with evaluating(model):
        for name, layer in quantized_layers(model):
            proxy = layer.weight_quant
            if not proxy.is_quant_enabled:
                raise ModelError("its weights are not quantized", where=f"layer {name}", expected="integer weights")
            constrained = isinstance(proxy, AccumulatorAwareWeightQuantProxy)
            weight = layer.quant_weight()
            codes = integers(weight.value, weight.scale, f"layer {name}, weight").flatten().cpu().numpy()
            found.append(LayerWeights(name, codes, int(weight.bit_width), constrained))
    return found
