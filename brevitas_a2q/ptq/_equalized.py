"""A linear layer whose input features are brought nearer to one range before they are quantized."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import brevitas.nn as qnn
from brevitas.quant_tensor import QuantTensor
from torch import Tensor

from brevitas_a2q.ptq._activations import powers

__all__ = ["EqualizedLinear", "equalize_"]


class EqualizedLinear(qnn.QuantLinear):
    """``QuantLinear`` that multiplies its input by ``input_factors``, one power of two for each feature, first."""

    input_factors: Tensor  # shape: (in_features,)

    def forward(self, input: Any) -> Any:
        """The layer's output, of an input with the features last."""
        plain = input.value if isinstance(input, QuantTensor) else input
        return super().forward(plain * self.input_factors)


def equalize_(layer: Any, exponents: Sequence[int]) -> None:
    """Let a layer divide each feature by two to this power, in place; its weights are the caller's to multiply."""
    layer.register_buffer("input_factors", powers(exponents, -1).to(layer.weight.dtype))
    layer.__class__ = EqualizedLinear
