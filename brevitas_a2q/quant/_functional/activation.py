"""Integer quantization of activations as one operator each way, equal to a chain of Brevitas' operations.

``y = (clip(round(clamp(x) / s + z)) - z) * s``; rounding passes gradients straight through, clamping and clipping pass
none, and clipped values push the bit width. ``clamp`` is the ReLU, ReLU6 or hard tanh in front.

In a sixteen-bit type every intermediate result is rounded as the chain would, but limits of codes that the type does
not hold are rounded towards zero: 1,023 is 1,020 in bfloat16, and not 1,024, which ten bits do not hold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from brevitas_a2q.quant._functional import activation_device, activation_host
from brevitas_a2q.quant._functional.accelerator import on_gpu
from brevitas_a2q.quant._functional.registry import Operator
from brevitas_a2q.quant._kernels.activation import ROUND

__all__ = ["Codes", "quantize_activation"]


@dataclass(frozen=True)
class Codes:
    """How values become codes.

    Attributes:
        signed: Whether codes are two's complement.
        narrow: Whether the lowest signed (highest unsigned) code is left out.
        rounding: ``ROUND``, ``FLOOR``, ``CEIL``, ``TO_ZERO`` or ``DPU`` of the kernels.
    """

    signed: bool
    narrow: bool
    rounding: int = ROUND


def quantize_activation(
    x: Tensor,
    scale: Tensor,
    zero_point: Tensor,
    bit_width: Tensor,
    codes: Codes,
    low: float = -math.inf,
    high: float = math.inf,
) -> Tensor:
    """Quantize activations and return them dequantized.

    Args:
        x: Floating-point, any shape and layout.
        scale: ``s``: one value, or several that broadcast to ``x``.
        zero_point: ``z``: the same.
        bit_width: Of the codes.  # shape: ()
        codes: How values become codes.
        low: What ``x`` is clamped to from below before; 0 for ReLU.
        high: The same from above.

    Returns:
        Layout of ``x``; the shape and type that ``x / scale + zero_point`` has.

    Example:
        >>> number = torch.tensor
        >>> quantize_activation(number([-1.0, 0.3, 9.0]), number(0.5), number(0.0), number(2.0), Codes(False, False))
        tensor([0.0000, 0.5000, 1.5000])
    """
    kind = _joint_type(x, scale)
    if zero_point.dim():
        kind = torch.promote_types(kind, zero_point.dtype)
    if scale.dim() or zero_point.dim():
        x = x.expand(torch.broadcast_shapes(x.shape, scale.shape, zero_point.shape))
    how = codes.signed, codes.narrow, codes.rounding, low, high
    if torch.compiler.is_compiling() and not x.is_cpu:  # whose compiler joins what it sees with what comes before
        return activation_device.composed(x.to(kind), scale, zero_point, bit_width, *how)
    out: Tensor = _quantize(x.to(kind), scale, zero_point, bit_width, *how)
    return out


def _joint_type(x: Tensor, scale: Tensor) -> torch.dtype:
    # As torch.result_type, which compilers cannot trace: single numbers do not widen a tensor's type.
    if bool(x.dim()) == bool(scale.dim()):
        return torch.promote_types(x.dtype, scale.dtype)
    return x.dtype if x.dim() else scale.dtype


_ARGUMENTS = (
    "Tensor x, Tensor scale, Tensor zero_point, Tensor bit_width, bool signed, bool narrow, int rounding, float low, "
    "float high"
)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:4])
    ctx.how = inputs[4:]


def _gradient(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    found = _gradients(grad, *ctx.saved_tensors, *ctx.how)
    return (*found, *[None] * len(ctx.how))


def _like_first(x: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(x)


def _like_tensors(grad: Tensor, x: Tensor, scale: Tensor, zero_point: Tensor, bit_width: Tensor, *_: Any) -> Any:
    return tuple(torch.empty_like(like) for like in (x, scale, zero_point, bit_width))


_gradients = Operator(
    f"quantize_activation_gradients(Tensor grad, {_ARGUMENTS}) -> (Tensor, Tensor, Tensor, Tensor)",
    cpu=activation_host.gradients,
    anywhere=activation_device.gradients,
    cuda=on_gpu("activation_gpu", "gradients", activation_device.gradients),
    shapes=_like_tensors,
)
_quantize = Operator(
    f"quantize_activation({_ARGUMENTS}) -> Tensor",
    cpu=activation_host.quantize,
    anywhere=activation_device.quantize,
    cuda=on_gpu("activation_gpu", "quantize", activation_device.quantize),
    shapes=_like_first,
    save=_save,
    gradient=_gradient,
)
