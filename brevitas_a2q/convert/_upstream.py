"""What Brevitas' own A2Q and A2Q+ quantizers have learned, in ours.

Upstream computes ``q = clip(RTZ(v / ||v||_1 * min(g / s', T)))`` and reads it as ``q * s``. Its ``s`` and ``s'`` start
equal and are two parameters, which drift apart (METHOD: one scale). The integers are what the network is, so ours
takes ``s``, and the norm that gives the same integers, ``g = s * min(g / s', T)``. Upstream's ``T`` comes from the data
type of the input and is never above our exact one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from brevitas_a2q._brevitas import AccumulatorAwareZeroCenterWeightQuant
from brevitas_a2q.quant._tensor_quant import LearnedNormTensorQuant

__all__ = ["take_over_"]


@torch.no_grad()
def take_over_(layer: Any, old: Any, proxy: Any) -> None:
    """Give our quantizer the scale and the norms that Brevitas' has learned; for the projection, the weights change.

    Args:
        layer: Whose weights they quantize; for the projection they become ``q * s``, which it leaves as they are.
        old: Its A2Q proxy of Brevitas.
        proxy: Ours, which takes its place.
    """
    upstream, ours = old.tensor_quant, proxy.tensor_quant
    weight = layer.weight
    unit = torch.ones((), dtype=weight.dtype, device=weight.device)
    scale = upstream.scaling_impl(weight, unit)  # s
    threshold = ours.int_scaling_impl(ours.msb_clamp_bit_width_impl())
    ours.scaling_impl.value.copy_((scale * threshold).clamp_min(torch.finfo(weight.dtype).tiny).log2())
    ours.scaling_impl.init_done = True
    rows, norm = _direction(old, proxy.layout.rows(weight))
    pre = upstream.pre_scaling_impl
    codes_norm = pre.restrict_clamp_scaling(pre.value) / pre.scaling_impl(weight, unit)  # g / s'
    limit = _limit(layer, old)
    if limit is not None:
        codes_norm = torch.minimum(codes_norm, limit)
    tiny = torch.finfo(weight.dtype).tiny
    column = proxy.layout.per_channel(codes_norm)
    if isinstance(ours, LearnedNormTensorQuant):
        of_weights = column * proxy.layout.per_channel(scale)
        ours.log_norm.copy_(of_weights.clamp_min(tiny).log2().expand_as(ours.log_norm))
        ours.norm_ready = True
    else:
        lo, hi = ours.code_range
        codes = (rows / (norm / column).clamp_min(tiny)).trunc().clamp(lo, hi)
        weight.copy_(proxy.layout.weight(codes * proxy.layout.per_channel(scale), tuple(weight.shape)))


def _direction(old: Any, rows: Tensor) -> tuple[Tensor, Tensor]:
    """``v`` as upstream normalizes it, and its norm.  # shape: (C, K), (C, 1)"""
    if issubclass(old.quant_injector, AccumulatorAwareZeroCenterWeightQuant):
        rows = rows - rows.double().mean(1, keepdim=True).to(rows.dtype)
    return rows, rows.abs().sum(1, keepdim=True)


def _limit(layer: Any, old: Any) -> Tensor | None:
    """Upstream's ``T`` where the layer's own input quantizer tells the type of the input; else ours is to decide."""
    act = getattr(layer, "input_quant", None)
    if act is None or not act.is_quant_enabled:
        return None
    limit: Tensor = old.tensor_quant.pre_scaling_impl.calc_max_l1_norm(act.bit_width(), bool(act.is_signed))
    return limit
