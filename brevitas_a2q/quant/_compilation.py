"""Layers whose compiled graph has no break.

Brevitas computes the type of every product and sum from the types of its operands, and for that reads values of
tensors, which ``torch.compile`` cannot trace. Weights of whose type nobody asks are plain tensors while it looks, and
the signs of activations are those of their quantizers.
"""

from __future__ import annotations

from typing import Any

import torch
from brevitas import is_dynamo_compiling
from brevitas.quant_tensor import IntQuantTensor
from torch import Tensor, nn

from brevitas_a2q._brevitas import WeightQuantProxyFromInjector, forget_hook
from brevitas_a2q.quant._arrivals import Basis
from brevitas_a2q.quant._functional.budget import Budget, budget_from_range
from brevitas_a2q.quant._functional.registry import Operator
from brevitas_a2q.quant._input_range import claim_tensors, is_narrow, raw_tensors, seen_tensors
from brevitas_a2q.quant._limits import FAR
from brevitas_a2q.quant._zero_points import multiplied

__all__ = [
    "budget_of_tensors",
    "input_ends",
    "make_traceable_",
    "makes_plain_weights",
    "traced_tensor",
]


class _Traced(IntQuantTensor):
    """A quantized tensor that compilers can trace: what depends on no value is a constant of its type."""

    def check_scaling_factors_same(self, other: Any) -> bool:
        """Of a sum; the eager model has been asked, and values cannot be."""
        return True


def _kind(signed: bool, training: bool) -> type[IntQuantTensor]:
    return type("TracedIntQuantTensor", (_Traced,), {"signed": signed, "training": training})


_KINDS = {(signed, training): _kind(signed, training) for signed in (False, True) for training in (False, True)}


def traced_tensor(parts: tuple[Tensor, Tensor, Tensor, Tensor], signed: bool, training: bool) -> IntQuantTensor:
    """Quantized tensor of value, scale, zero-point and bit width, while a compiler looks."""
    return _KINDS[signed, training](*parts, signed, training)


def makes_plain_weights(layer: Any) -> bool:
    """Whether a compiler is looking, and nothing that the layer does asks for the scale or type of its weights."""
    if not is_dynamo_compiling():
        return False
    return not (layer.return_quant_tensor or layer.bias_quant.is_quant_enabled)


def _plain(proxy: Any, args: Any, output: Any) -> Any:
    """Forward hook of Brevitas' own weight quantizers; a class of its own would have no handler in their exporters."""
    if isinstance(output, IntQuantTensor) and makes_plain_weights(proxy.tracked_module_list[0]):
        return output.value
    return output


def make_traceable_(model: nn.Module) -> None:
    """Let compilers trace layers whose weight quantizers are Brevitas' own, in place."""
    for module in model.modules():
        if type(module) is WeightQuantProxyFromInjector:
            forget_hook(module, _plain)
            module.register_forward_hook(_plain)


# --- integers of a few values -----------------------------------------------------------------------------------------
# Each is one operator, because a compiler would make a kernel of every line.


def _ends(
    value: Tensor,
    scale: Tensor,
    zero_point: Tensor,
    bit_width: Tensor,
    signed: Tensor,
    known: Tensor | None,
    narrow: bool,
    look: bool,
) -> Tensor:
    x = IntQuantTensor(value, scale, zero_point, bit_width, signed, False)
    lo, hi = claim_tensors(x, narrow) if known is None else (known[0], known[1])
    if look:
        seen = seen_tensors(x)
        lo, hi = torch.minimum(lo, seen[0]), torch.maximum(hi, seen[1])
    raw = raw_tensors(x, lo, hi)
    if known is not None:
        raw = torch.stack([torch.minimum(known[2], raw[0]), torch.maximum(known[3], raw[1])])
    return torch.cat([torch.stack([lo, hi]), raw])


def _budget(
    lo: Tensor, hi: Tensor, raw: Tensor, bias: Tensor | None, bits: int, guards_raw: bool, asked: bool
) -> Tensor:
    ends = multiplied(lo, hi, raw, asked) if guards_raw else (lo, hi)
    return budget_from_range(bits, *ends, bias).table


_input_ends = Operator(
    "input_ends(Tensor value, Tensor scale, Tensor zero_point, Tensor bit_width, Tensor signed, Tensor? known, "
    "bool narrow, bool look) -> Tensor",
    cpu=_ends,
    anywhere=_ends,
    shapes=lambda value, *_: value.new_empty(4, dtype=torch.int64),
)
_input_budget = Operator(
    "input_budget(Tensor lo, Tensor hi, Tensor raw, Tensor? bias, int bits, bool guards_raw, bool asked) -> Tensor",
    cpu=_budget,
    anywhere=_budget,
    shapes=lambda lo, hi, raw, bias, *_: lo.new_empty(4, 1 if bias is None else bias.numel()),
)


def input_ends(proxy: Any, quant_input: IntQuantTensor) -> tuple[Tensor, Tensor, Tensor]:
    """The range of an input in a graph: what was traced, or else what its metadata claims, and its values.

    Every call looks at values, since a graph is not told what has changed in front of the layer; no number is read on
    the host. While a model trains whose dropout scales integers up, only what its quantizers claim is followed.

    Args:
        proxy: The layer's weight quantizer.
        quant_input: Its input.

    Returns:
        Lowest integer, zero-point subtracted; highest; lowest and highest code, zeros without a zero-point, shape (2,).
    """
    known = None
    if proxy.arrivals.basis is Basis.TRACE:
        known = torch.cat([torch.stack([proxy.input_lo, proxy.input_hi]), proxy.input_raw])
    parts = (part.detach() for part in quant_input[:5])
    look = not (proxy.training and proxy.arrivals.drops)
    ends: Tensor = _input_ends(*parts, known, is_narrow(proxy.tracked_module_list[0]), look)
    ends = ends.clamp(-FAR, FAR)
    return ends[0], ends[1], ends[2:]


def budget_of_tensors(
    lo: Tensor, hi: Tensor, raw: Tensor, bias: Tensor | None, bits: int, guards_raw: bool, asked: bool
) -> Budget:
    """Budget of one accumulation for a range on the device; see :func:`budget_from_range` and :func:`multiplied`."""
    return Budget.of_table(_input_budget(lo, hi, raw, bias, bits, guards_raw, asked))
