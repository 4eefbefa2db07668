"""Operations that PyTorch's exporters refuse, made of those that they know, while a model is exported.

Adaptive average pools: ONNX has pools whose windows are all of one size; VGG and AlexNet pool to 7x7 and 6x6 whatever
comes, which is one pixel of small images. Attention in one call, as timm's and Hugging Face's transformers have it, is
an operator of later ONNX versions than FINN reads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["exportable_operators"]


@contextmanager
def exportable_operators() -> Iterator[None]:
    """While active, adaptive average pools of any size and attention are made of operators that ONNX has."""
    pool, name = _adaptive_average_pool(F.adaptive_avg_pool2d), "scaled_dot_product_attention"
    with ExitStack() as stack:
        stack.enter_context(patch.object(F, "adaptive_avg_pool2d", pool))
        for place in (F, torch._C._nn):  # the latter in models that torch.fx has written
            stack.enter_context(patch.object(place, name, _attention))
        yield


def _adaptive_average_pool(original: Callable[..., Any]) -> Callable[..., Any]:
    def adaptive_avg_pool2d(x: Any, output_size: Any) -> Any:
        if type(x) is not Tensor:  # quantized ones come again, as values
            return original(x, output_size)
        given = output_size if isinstance(output_size, (tuple, list)) else (output_size, output_size)
        have = [int(size) for size in x.shape[-2:]]
        wanted = [size if size is not None else same for size, same in zip(given, have, strict=True)]
        if all(size % out == 0 for size, out in zip(have, wanted, strict=True)):
            return original(x, output_size)
        if x.dim() == 4 and all(out % size == 0 for size, out in zip(have, wanted, strict=True)):
            factors = [float(out // size) for size, out in zip(have, wanted, strict=True)]
            return F.interpolate(x, scale_factor=factors, mode="nearest")
        return _means(_means(x, -2, wanted[0]), -1, wanted[1])

    return adaptive_avg_pool2d


def _means(x: Tensor, axis: int, out: int) -> Tensor:
    """Means of ``out`` windows along an axis, as PyTorch places them: neighbours may overlap by one."""
    size = int(x.shape[axis])
    windows = [(k * size // out, -(-(k + 1) * size // out)) for k in range(out)]
    return torch.cat([x.narrow(axis, a, b - a).mean(axis, keepdim=True) for a, b in windows], axis)


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """``softmax(query key^T scale + mask) value``; nothing is dropped in evaluation mode.

    Args:
        query: shape (..., L, E).
        key: shape (..., S, E); with ``enable_gqa`` of fewer heads, along the third axis from the end.
        value: shape (..., S, V).
        attn_mask: Added to the scores, or where they count; broadcastable to (..., L, S).
        dropout_p: As the operator is called.
        is_causal: Whether no position looks ahead.
        scale: Of the scores; ``1 / sqrt(E)`` unless given.
        enable_gqa: Whether several heads of the query share one of key and value.
    """
    if enable_gqa:
        key, value = (x.repeat_interleave(query.shape[-3] // x.shape[-3], -3) for x in (key, value))
    scores = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).tril()
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
    return scores.softmax(-1) @ value
