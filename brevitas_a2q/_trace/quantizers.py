"""What an activation quantizer makes: every code of its type, whatever it is given."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from brevitas.quant_tensor import IntQuantTensor
from torch import Tensor

from brevitas_a2q._brevitas import (
    ActQuantProxyFromInjector,
    ClampQuantProxyFromInjector,
    ConstScaling,
    TruncQuantProxyFromInjector,
)
from brevitas_a2q._ranges import Codes, IntType, Value
from brevitas_a2q._trace.modules import is_hooked, parts_of
from brevitas_a2q.bounds import BIPOLAR, IntRange, input_range

__all__ = ["QUANTIZERS", "Scales", "code_range", "constant_codes", "doubts_of", "quantized", "scale_follows_input"]

QUANTIZERS = (ActQuantProxyFromInjector, TruncQuantProxyFromInjector, ClampQuantProxyFromInjector)
_LARGEST_TYPE = 32  # bits
_BEFORE = frozenset({"activation_impl", "float_to_int_impl", "input_view_impl"})


def code_range(bits: int, signed: bool, narrow: bool) -> IntRange:
    """Codes of a quantizer's type; a signed bit is bipolar."""
    if bits == 1 and signed:
        return BIPOLAR
    if bits <= 16:
        return input_range(bits, signed, narrow_range=narrow)
    top = 1 << (bits - int(signed))
    return IntRange(-top + int(narrow) if signed else 0, top - 1 - int(narrow and not signed))


@dataclass
class Scales:
    """The scales of quantizers as a trace has them.

    While a model is learning, scales move, and two that are equal by chance will not stay so: then every quantizer has
    a number of its own in the place of its scale, unless its scale is a constant.
    """

    learning: bool
    _own: dict[int, np.random.Generator] = field(default_factory=dict)

    def of(self, proxy: Any, scale: Tensor) -> np.ndarray[Any, Any]:
        """One number for each of the scale's."""
        found = np.asarray(scale.detach().double().cpu().numpy())
        if not self.learning or any(isinstance(module, ConstScaling) for _, module in parts_of(proxy)):
            return found
        known = self._own.setdefault(id(proxy), np.random.default_rng(len(self._own) + 1))
        state = known.bit_generator.state
        own = known.uniform(0.5, 1.0, size=found.shape)
        known.bit_generator.state = state
        return np.asarray(own)


def quantized(proxy: Any, output: Any, shape: tuple[int, ...], scales: Scales, origin: str) -> Value:
    """The value of what a quantizer returns."""
    if not isinstance(output, IntQuantTensor):
        return Value.unknown(shape, f"what {origin} returns is no integer")
    bits, signed = _one(output.bit_width), bool(output.signed)
    zero_point = output.zero_point.detach().double()
    if bits is None or not 1 <= bits <= _LARGEST_TYPE or bool((zero_point != zero_point.round()).any()):
        return Value.unknown(shape, f"a type of {origin} that is no integer")
    codes = code_range(bits, signed, bool(getattr(proxy, "is_narrow_range", False)))
    low, high = int(zero_point.min()), int(zero_point.max())
    asymmetric = low != 0 or high != 0 or _learns_zero_point(proxy)
    points = np.asarray(zero_point.cpu().numpy()).astype(np.int64)
    if scales.learning and asymmetric:  # it moves, and is a code itself
        low, high = min(low, codes.lo), max(high, codes.hi)
        ends = np.asarray(codes.lo - high), np.asarray(codes.hi - low)
    else:
        ends = codes.lo - points, codes.hi - points
    dtype = IntType("BIPOLAR") if bits == 1 and signed else IntType.of(bits, signed)
    narrow = bool(getattr(proxy, "is_narrow_range", False)) and not (bits == 1 and signed)
    scale = scales.of(proxy, output.scale)
    if not (np.isfinite(scale).all() and (scale != 0).all()):
        return Value.unknown(shape, f"a scale of {origin} that is zero or infinite")
    return Value.of_codes(shape, Codes(scale, ends[0], ends[1], dtype, points, narrow), origin)


def doubts_of(proxy: Any, name: str = "a quantizer") -> str:
    """Why nothing is known of what a quantizer returns, hooks on it included; empty where its type says it all."""
    if is_hooked(proxy):
        return f"what hooks of {name} return"
    doubt = _doubt(proxy)
    return f"what {name} returns, {doubt}" if doubt else ""


def _doubt(proxy: Any) -> str:
    """Why the values of a quantizer need not be integers of the type that it names; empty where they are.

    With ``quant_delay_steps`` it returns its input as it is for some calls; a class that is not Brevitas' may return
    anything, unless it stands where its result is rounded and limited afterwards.
    """
    for name, module in parts_of(proxy):
        if int(getattr(module, "quant_delay_steps", None) or 0) > 0:
            return "which does not quantize yet"
        if not _is_known(type(module)) and not _BEFORE.intersection(name.split(".")) and "scaling_impl" not in name:
            return f"whose {type(module).__name__} is not of Brevitas"
    return ""


def scale_follows_input(proxy: Any) -> bool:
    """Whether the quantizer's scale may be another for each input, so that sums of two such are no integers."""
    scalings = (module for name, module in parts_of(proxy) if name.endswith("scaling_impl"))
    return any(not _is_known(type(module)) or "Dynamic" in type(module).__name__ for module in scalings)


def _is_known(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in ("brevitas", "brevitas_a2q", "torch")


def constant_codes(output: Any, origin: str) -> Value:
    """The value of quantized numbers that no input changes."""
    scale = output.scale.detach().double()
    integers = (output.value.detach().double() / scale).round()
    codes = Codes(
        np.asarray(scale.cpu().numpy()),
        np.asarray(integers.cpu().numpy()).astype(np.int64),
        np.asarray(integers.cpu().numpy()).astype(np.int64),
        IntType.of(math.ceil(float(output.bit_width.max())), bool(output.signed)),
        np.zeros((), np.int64),
    )
    return Value.constant(np.asarray(output.value.detach().double().cpu().numpy()), codes, origin)


def _learns_zero_point(proxy: Any) -> bool:
    quantizer = getattr(getattr(proxy, "fused_activation_quant_proxy", None), "tensor_quant", None)
    kind = type(getattr(quantizer, "zero_point_impl", None)).__name__
    return kind not in ("ZeroZeroPoint", "NoneType")


def _one(tensor: Tensor) -> int | None:
    """The one integer in a tensor, or None if there are several."""
    low, high = (float(end) for end in torch.aminmax(tensor.detach()))
    return int(low) if low == high and low.is_integer() else None
