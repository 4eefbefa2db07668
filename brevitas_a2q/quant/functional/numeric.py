"""Floating-point care shared by the methods: which type to compute in, and codes that survive the output's type.

A layer hands out ``q * s`` in the dtype of its weight; whoever needs the integers divides by ``s`` and rounds. The
codes this package promises are those somebody recovers this way. With a significand of ``p`` bits the product is off by
at most a share ``2^-p``, so integers up to ``1/eps = 2^(p-1)`` come back exactly. Larger ones (16-bit weights in
bfloat16, for example) are first cut to ``p`` bits and the product is rounded towards zero: then recovered codes are
never larger than the checked ones, and a budget that held keeps holding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = [
    "compute_dtype",
    "dequantize",
    "join",
    "keep_finite",
    "packed",
    "recover_codes",
    "representable",
    "row_blocks",
    "rows_of",
    "safe_scale",
    "stacked",
]

_BLOCK = 1 << 18  # elements


def compute_dtype(dtype: torch.dtype, row_length: int, largest_code: int) -> torch.dtype:
    """float32 where it adds the codes of a row exactly, float64 elsewhere and for float64 weights."""
    exact_in_float32 = row_length * largest_code < 1 << 24
    return torch.float32 if exact_in_float32 and dtype != torch.float64 else torch.float64


def row_blocks(weight: Tensor) -> list[slice | None]:
    """Slices of rows that fit a processor's cache, so that a chain of operations does not travel to memory and back.

    One None, for all rows, where they are few: even taking the slice of everything costs something.
    """
    rows, columns = weight.shape
    if weight.numel() <= 2 * _BLOCK or weight.device.type != "cpu" or torch.compiler.is_compiling():
        return [None]
    step = max(1, _BLOCK // columns)
    return [slice(start, start + step) for start in range(0, rows, step)]


def join(whole: Tensor | None, like: Tensor, block: slice | None, part: Tensor) -> Tensor:
    """Put a block's result into its place: a new tensor like ``like``, or the result itself if it is all there is."""
    if block is None:
        return part
    whole = torch.empty_like(like) if whole is None else whole
    whole[block] = part
    return whole


def stacked(parts: Sequence[Tensor]) -> Tensor:
    """Rows of all blocks."""
    return parts[0] if len(parts) == 1 else torch.cat(tuple(parts))


def packed(codes: Tensor, largest_code: int) -> Tensor:
    """Codes in the fewest bytes, if they are many, to be kept for the backward pass."""
    if codes.numel() <= _BLOCK // 4:
        return codes
    return codes.to(torch.int8 if largest_code < 128 else torch.int32)


def rows_of(value: Tensor, block: slice | None) -> Tensor:
    """Rows of a tensor of shape ``(C, n)``; tensors that all channels share are returned as they are."""
    return value if block is None or value.dim() < 2 or value.shape[0] == 1 else value[block]


def safe_scale(scale: Tensor) -> Tensor:
    """``scale``, kept above zero so that dividing by it gives no NaN."""
    info = torch.finfo(scale.dtype)
    return scale.clamp_min(info.tiny * info.eps)


def keep_finite(codes: Tensor, scale: Tensor, dtype: torch.dtype, largest_code: int) -> Tensor:
    """Codes whose ``q * s`` is finite in ``dtype``; nearly always the same tensor."""
    largest = torch.finfo(dtype).max
    if float(scale.detach().amax()) * largest_code < largest:
        return codes
    reach = (largest / scale.double() * (1 - torch.finfo(dtype).eps)).floor().to(codes.dtype)
    return torch.minimum(torch.maximum(codes, -reach), reach)


def _towards_zero(value: Tensor, dtype: torch.dtype) -> Tensor:
    # In sign-magnitude floats the next number towards zero has the next smaller bit pattern, whatever the sign.
    cast = value.to(dtype)
    overshoot = cast.to(value.dtype).abs() > value.abs()
    return (cast.view(torch.int16) - overshoot.to(torch.int16)).view(dtype)


def _loses_codes(dtype: torch.dtype, largest_code: int) -> bool:
    return largest_code * torch.finfo(dtype).eps > 1


def representable(codes: Tensor, dtype: torch.dtype, largest_code: int) -> Tensor:
    """Codes cut towards zero to integers that ``dtype`` holds; the same tensor where it holds them all."""
    return _towards_zero(codes, dtype).to(codes.dtype) if _loses_codes(dtype, largest_code) else codes


def dequantize(codes: Tensor, scale: Tensor, dtype: torch.dtype, largest_code: int) -> Tensor:
    """``q * s`` in ``dtype``, from which :func:`recover_codes` returns codes no larger than ``q``."""
    if _loses_codes(dtype, largest_code):
        return _towards_zero(codes.double() * scale.double(), dtype)
    return (codes * scale.to(codes.dtype)).to(dtype)


def recover_codes(weight: Tensor, scale: Tensor) -> Tensor:
    """Integer codes of a dequantized weight, as a certificate recovers them: ``round(w / s)`` in float64; int64."""
    return (weight.double() / scale.double()).nan_to_num(nan=0.0).round().to(torch.int64)
