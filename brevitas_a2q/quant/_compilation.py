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

from brevitas_a2q._brevitas import WeightQuantProxyFromInjector
from brevitas_a2q.quant._functional.budget import Budget, budget_from_range
from brevitas_a2q.quant._functional.registry import Operator
from brevitas_a2q.quant._input_range import claim_tensors, is_narrow, raw_tensors, seen_tensors
from brevitas_a2q.quant._zero_points import multiplied

__all__ = [
    "TraceableWeightQuantProxy",
    "budget_of_tensors",
    "input_ends",
    "make_traceable_",
    "makes_plain_weights",
    "traceable",
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


class TraceableWeightQuantProxy(WeightQuantProxyFromInjector):
    """Brevitas' own, which compilers can trace."""

    tensor_quant: Any

    def forward(self, x: Tensor) -> Any:
        """See the base class."""
        if self.is_quant_enabled and not self.export_mode and makes_plain_weights(self.tracked_module_list[0]):
            return self.tensor_quant(x)[0]
        return super().forward(x)


def traceable(base: Any) -> Any:
    """Form of a weight quantizer of Brevitas that compilers can trace; others, as they are."""
    if base.proxy_class is not WeightQuantProxyFromInjector:
        return base
    return type(base)(f"Traceable{base.__name__}", (base,), {"proxy_class": TraceableWeightQuantProxy})


def make_traceable_(model: nn.Module) -> None:
    """Give Brevitas' own weight quantizers of a model the form that compilers can trace, in place."""
    module: Any
    for module in model.modules():
        if type(module) is WeightQuantProxyFromInjector:
            module.__class__ = TraceableWeightQuantProxy
            module.quant_injector = module.quant_injector.let(proxy_class=TraceableWeightQuantProxy)


# --- integers of a few values -----------------------------------------------------------------------------------------
# Each is one operator, because a compiler would make a kernel of every line.


def _ends(
    value: Tensor, scale: Tensor, zero_point: Tensor, bit_width: Tensor, signed: Tensor, narrow: bool, look: bool
) -> Tensor:
    x = IntQuantTensor(value, scale, zero_point, bit_width, signed, False)
    lo, hi = claim_tensors(x, narrow)
    if look:
        seen = seen_tensors(x)
        lo, hi = torch.minimum(lo, seen[0]), torch.maximum(hi, seen[1])
    return torch.cat([torch.stack([lo, hi]), raw_tensors(x, lo, hi)])


def _budget(
    lo: Tensor, hi: Tensor, raw: Tensor, bias: Tensor | None, bits: int, guards_raw: bool, asked: bool
) -> Tensor:
    ends = multiplied(lo, hi, raw, asked) if guards_raw else (lo, hi)
    return budget_from_range(bits, *ends, bias).table


_input_ends = Operator(
    "input_ends(Tensor value, Tensor scale, Tensor zero_point, Tensor bit_width, Tensor signed, bool narrow, bool look)"
    " -> Tensor",
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


def input_ends(layer: nn.Module, quant_input: IntQuantTensor, look: bool) -> Tensor:
    """What an input's metadata claims, and its values where ``look``: without reading one.

    Returns:
        Lowest and highest integer, zero-point subtracted; lowest and highest code, zeros without a zero-point.
        # shape: (4,)
    """
    parts = (part.detach() for part in quant_input[:5])
    ends: Tensor = _input_ends(*parts, is_narrow(layer), look)
    return ends


def budget_of_tensors(
    lo: Tensor, hi: Tensor, raw: Tensor, bias: Tensor | None, bits: int, guards_raw: bool, asked: bool
) -> Budget:
    """Budget of one accumulation for a range on the device; see :func:`budget_from_range` and :func:`multiplied`."""
    return Budget.of_table(_input_budget(lo, hi, raw, bias, bits, guards_raw, asked))
