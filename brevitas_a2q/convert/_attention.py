"""Attention as ``torch.nn`` calls it, computed by quantized layers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import brevitas.nn as qnn
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["ATTENTION", "QuantAttention", "attention", "attention_weights"]

ATTENTION: Final = F.multi_head_attention_forward
_SIGNATURE: Final = inspect.signature(ATTENTION)
_PROJECTIONS: Final = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
Product = Callable[[Tensor, Tensor, Tensor | None], Tensor]  # of an input, a weight, and with a bias


class QuantAttention(qnn.QuantMultiheadAttention):
    """Brevitas' attention, as torch's encoder and decoder layers call it."""

    in_proj_bias = None  # they ask, to multiply by its weights themselves where there is one

    def forward(self, *args: Any, is_causal: bool = False, **kwargs: Any) -> Any:
        """As ``nn.MultiheadAttention``; ``is_causal`` tells what ``attn_mask`` says anyway."""
        return super().forward(*args, **kwargs)


def _bound(args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    given = _SIGNATURE.bind(*args, **kwargs)
    given.apply_defaults()
    return given.arguments


def attention_weights(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
    """The weights that a call multiplies by; none of one that this module does not write out.

    Written out are those with packed or separate projections and masks of any kind, not those that append keys.
    """
    given = _bound(args, kwargs)
    appended = any(given[name] is not None for name in ("bias_k", "bias_v", "static_k", "static_v"))
    packed = given["query"] is given["key"] is given["value"]
    if appended or given["add_zero_attn"] or not (packed or given["use_separate_proj_weight"]):
        return ()
    inner = [given[name] for name in _PROJECTIONS] if given["use_separate_proj_weight"] else [given["in_proj_weight"]]
    return (*inner, given["out_proj_weight"])


def attention(args: Sequence[Any], kwargs: Mapping[str, Any], product: Product) -> tuple[Tensor, Tensor | None]:
    """What ``F.multi_head_attention_forward`` computes.

    Args:
        args: Its own.
        kwargs: Its own.
        product: Computes each projection.

    Returns:
        Output and weights of the attention, as it returns them.
    """
    given = _bound(args, kwargs)
    batched = given["query"].dim() == 3
    projected = [part if batched else part.unsqueeze(1) for part in _projected(given, product)]
    (length, batch, width), heads = projected[0].shape, given["num_heads"]
    # shapes: (batch, heads, positions, width / heads)
    q, k, v = (part.reshape(part.shape[0], batch, heads, -1).permute(1, 2, 0, 3) for part in projected)
    scores = (q * (width // heads) ** -0.5) @ k.transpose(-2, -1)
    for mask in _masks(given, batch, heads, scores.dtype):
        scores = scores + mask
    weights = F.dropout(F.softmax(scores, -1), given["dropout_p"], given["training"])
    mixed = (weights @ v).permute(2, 0, 1, 3).reshape(length, batch, width)
    output = product(mixed, given["out_proj_weight"], given["out_proj_bias"])
    if given["average_attn_weights"]:
        weights = weights.mean(1)
    if not batched:
        output, weights = output.squeeze(1), weights.squeeze(0)
    return output, weights if given["need_weights"] else None


def _projected(given: Mapping[str, Any], product: Product) -> list[Tensor]:
    inputs, bias = [given[name] for name in ("query", "key", "value")], given["in_proj_bias"]
    if not given["use_separate_proj_weight"]:
        return list(product(inputs[0], given["in_proj_weight"], bias).chunk(3, -1))
    width = inputs[0].shape[-1]
    biases = [None if bias is None else bias[each * width : (each + 1) * width] for each in range(3)]
    return [product(x, given[name], b) for x, name, b in zip(inputs, _PROJECTIONS, biases, strict=True)]


def _masks(given: Mapping[str, Any], batch: int, heads: int, dtype: torch.dtype) -> list[Tensor]:
    """Summands of the scores, of shapes that spread to (batch, heads, positions, keys)."""
    found = []
    mask, padding = given["attn_mask"], given["key_padding_mask"]
    if mask is not None:
        mask = _summand(mask, dtype)
        found.append(mask.reshape(batch, heads, *mask.shape[1:]) if mask.dim() == 3 else mask)
    if padding is not None:
        found.append(_summand(padding, dtype).reshape(batch, 1, 1, -1))
    return found


def _summand(mask: Tensor, dtype: torch.dtype) -> Tensor:
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(mask, float("-inf"))
