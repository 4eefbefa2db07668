"""A2Q+: A2Q on zero-centred weights (Colbert et al., ICML 2024, arXiv 2401.10432).

Zero-centring makes ``S+ = S-``, so the norm may reach ``(2^P - 2)/(2^N - 1)``, twice that of A2Q for
unsigned inputs. Rounding to zero then shrinks either sum only, and the bound still holds. A row of one weight has no
room for centring and is quantized by plain A2Q; for depthwise layers call A2Q, as the paper does.
"""

from __future__ import annotations

import torch
from torch import Tensor

from brevitas_a2q.quant._functional.a2q import normalized_quantize
from brevitas_a2q.quant._functional.budget import Budget
from brevitas_a2q.quant._functional.numeric import recover_codes

__all__ = ["a2q_plus_codes", "a2q_plus_quantize"]


def a2q_plus_quantize(
    weight: Tensor, scale: Tensor, norm: Tensor, budget: Budget, q_min: int, q_max: int, tile: int | None = None
) -> Tensor:
    """Quantize weights by A2Q+ and return them dequantized; arguments as for :func:`~.a2q.a2q_quantize`."""
    return normalized_quantize(weight, scale, norm, budget, q_min, q_max, tile, centred=True)


@torch.no_grad()
def a2q_plus_codes(
    weight: Tensor, scale: Tensor, norm: Tensor, budget: Budget, q_min: int, q_max: int, tile: int | None = None
) -> Tensor:
    """The integers of :func:`a2q_plus_quantize`; int64, shape ``(C, K)``."""
    return recover_codes(a2q_plus_quantize(weight, scale, norm, budget, q_min, q_max, tile), scale)
