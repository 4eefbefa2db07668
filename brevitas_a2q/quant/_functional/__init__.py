"""Accumulator-aware weight quantization as functions of tensors, one method per module.

Every function takes weights as a channels-first matrix ``(C, K)``: one row per output channel, one column per product
of its dot product.
"""

from brevitas_a2q.quant._functional.a2q import a2q_codes, a2q_quantize, log2_norm_cap
from brevitas_a2q.quant._functional.a2q_plus import a2q_plus_codes, a2q_plus_quantize
from brevitas_a2q.quant._functional.budget import Budget, budget_from_range, budget_use, make_budget, sign_sums
from brevitas_a2q.quant._functional.projection import projected_codes, projected_quantize

__all__ = [
    "Budget",
    "a2q_codes",
    "a2q_plus_codes",
    "a2q_plus_quantize",
    "a2q_quantize",
    "budget_from_range",
    "budget_use",
    "log2_norm_cap",
    "make_budget",
    "projected_codes",
    "projected_quantize",
    "sign_sums",
]
