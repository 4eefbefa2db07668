"""The module that takes the place of Brevitas' ``RescalingIntQuant`` inside a weight quantizer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from brevitas_a2q.quant.layout import WeightLayout

__all__ = ["AccumulatorAwareTensorQuant"]


class AccumulatorAwareTensorQuant(nn.Module):
    """Quantize weights so that no dot product leaves its accumulator.

    It keeps the sub-modules of the quantizer it extends under the same names, so checkpoints of the two agree, and
    uses its one scale ``s`` throughout (upstream's A2Q learns two that drift apart).
    """

    def __init__(
        self,
        int_quant: nn.Module,
        scaling_impl: nn.Module,
        int_scaling_impl: nn.Module,
        zero_point_impl: nn.Module,
        bit_width_impl: nn.Module,
        narrow_range: bool,
        accumulator_method: str,
        accumulator_bit_width: int,
        accumulator_tile: int | None,
        weight_layout: WeightLayout,
        tracked_parameter_list: list[nn.Parameter],
    ) -> None:
        super().__init__()
        self.int_quant = int_quant
        self.scaling_impl = scaling_impl
        self.int_scaling_impl = int_scaling_impl
        self.zero_point_impl = zero_point_impl
        self.msb_clamp_bit_width_impl = bit_width_impl
        self.observer_only = False
        self.narrow_range = narrow_range
        self.method = accumulator_method
        self.accumulator_bit_width = accumulator_bit_width
        self.accumulator_tile = accumulator_tile
        self.layout = weight_layout
        rows = weight_layout.rows(tracked_parameter_list[0].detach())
        norm = rows.float().abs().sum(1).clamp_min(torch.finfo(rows.dtype).tiny)
        self.log_norm = nn.Parameter(norm.log2().to(rows.dtype))  # t of the paper. shape: (C,)

    def forward(self, x: Tensor, lo: Tensor, hi: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Quantize ``x`` for integer inputs in ``[lo, hi]``.

        Returns:
            Dequantized weight, scale, zero-point, bit width: what an ordinary ``IntQuantTensor`` is made of.
        """
        bit_width = self.msb_clamp_bit_width_impl()
        scale = self.scaling_impl(x, self.int_scaling_impl(bit_width))
        zero_point = self.zero_point_impl(x, scale, bit_width)
        rows = self.layout.rows(x)
        s = self.layout.per_channel(scale, tuple(x.shape))
        top = 2 ** (self.accumulator_bit_width - 1) - 1
        cap = torch.div(torch.full_like(hi, top), torch.maximum(hi, -lo), rounding_mode="floor").to(rows.dtype)
        norm = rows.abs().sum(1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
        g = torch.minimum(torch.exp2(self.log_norm).unsqueeze(1) / s, cap)
        u = rows / norm * g
        q_max = 2 ** (bit_width - 1) - 1
        q = (u + (u.detach().trunc() - u.detach())).clamp(-q_max, q_max)
        return self.layout.weight(q * s, tuple(x.shape)), scale, zero_point, bit_width

    def norm_excess(self, x: Tensor, lo: Tensor, hi: Tensor) -> Tensor:
        """``t - T``: by how many bits each channel's learned norm exceeds its cap.  # shape: (C,)"""
        scale = self.scaling_impl(x, self.int_scaling_impl(self.msb_clamp_bit_width_impl()))
        s = self.layout.per_channel(scale, tuple(x.shape)).flatten()
        top = 2 ** (self.accumulator_bit_width - 1) - 1
        cap = torch.div(torch.full_like(hi, top), torch.maximum(hi, -lo), rounding_mode="floor").to(x.dtype)
        return self.log_norm - torch.log2(s * cap)
