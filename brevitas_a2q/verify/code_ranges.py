"""Which integers each tensor of a running Brevitas model can hold, traced from the quantizer that made it.

The bit width that a ``QuantTensor`` claims cannot be trusted after arithmetic: Brevitas 0.13 claims too few bits for
``-x``, ``abs(x)``, ``x + x`` and average pools of some types. So ranges are followed here, from the quantizers'
own types through every operation whose effect on them is known; any other operation ends the trace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import prod
from typing import Any
from weakref import ReferenceType, ref

from brevitas.proxy.runtime_quant import (
    ActQuantProxyFromInjector,
    ClampQuantProxyFromInjector,
    TruncQuantProxyFromInjector,
)
from brevitas.quant_tensor import IntQuantTensor, QuantTensor
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from brevitas_a2q.bounds import BIPOLAR, IntRange, input_range
from brevitas_a2q.ir.datatypes import IntType

__all__ = ["CodeRange", "CodeRanges", "unpack"]

_QUANTIZERS = (ActQuantProxyFromInjector, TruncQuantProxyFromInjector, ClampQuantProxyFromInjector)

# Operations that only move elements, choose among them, or bring in zeros. Names, because torch dispatches one
# operation as function, method or private variant.
_KEEPING = frozenset(
    {"view", "reshape", "flatten", "unflatten", "permute", "transpose", "t", "movedim", "swapaxes", "squeeze", "rename"}
    | {"unsqueeze", "expand", "expand_as", "repeat", "tile", "contiguous", "clone", "detach", "to", "cpu", "cuda"}
    | {"__getitem__", "chunk", "split", "unbind", "narrow", "select", "index_select", "gather", "flip", "roll"}
    | {"max_pool1d", "max_pool2d", "max_pool3d", "_max_pool1d", "_max_pool2d", "_max_pool3d", "boolean_dispatch"}
    | {"adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d", "amax", "amin", "view_as", "reshape_as"}
    | {"pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "unfold"}
)
_JOINING = frozenset({"cat", "concat", "concatenate", "stack", "hstack", "vstack"})
_RELU = frozenset({"relu", "relu_"})
_ADDING = frozenset({"add", "__add__", "__radd__"})


@dataclass(frozen=True, eq=False)
class CodeRange:
    """``value = scale * v`` with integer ``v`` (code less zero-point) in ``[values.lo, values.hi]``."""

    scale: Tensor  # shape: broadcastable to the tensor
    values: IntRange  # holds 0
    bit_width: int  # N of the data type, which can allow more than ``values``
    signed: bool
    source: str

    def derive(self, values: IntRange, how: str, scale: Tensor | None = None) -> CodeRange:
        """The range after an operation, in the smallest data type that holds it."""
        dtype = IntType.smallest(values)
        scale = self.scale if scale is None else scale
        return CodeRange(scale, values.with_zero(), dtype.bit_width, dtype.signed, f"{how} of {self.source}")


def unpack(value: Any) -> Any:
    """The plain tensor inside a ``QuantTensor``; anything else as it is."""
    return value.value if isinstance(value, QuantTensor) else value


class CodeRanges(TorchFunctionMode):
    """While active, follows the integer range of every tensor that quantizers of ``model`` make.

    Example:
        >>> import brevitas.nn as qnn, torch
        >>> quantizer = qnn.QuantReLU(bit_width=4).eval()
        >>> ranges = CodeRanges(quantizer)
        >>> with torch.no_grad(), ranges.tracing():
        ...     pooled = torch.nn.functional.max_pool2d(quantizer(torch.ones(1, 1, 2, 2)), 2)
        >>> ranges.of(pooled).values
        IntRange(lo=0, hi=15)
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._model = model
        # By identity. The tensor is beside its range, lest another take its place; weakly, lest all activations stay.
        self._known: dict[int, tuple[ReferenceType[Tensor], CodeRange]] = {}

    @contextmanager
    def tracing(self) -> Iterator[None]:
        """Trace one or more forward passes; the model is as before afterwards."""
        handles = [
            module.register_forward_hook(self._quantized(name))
            for name, module in self._model.named_modules()
            if isinstance(module, _QUANTIZERS)
        ]
        saved = IntQuantTensor.__neg__, IntQuantTensor.__abs__
        IntQuantTensor.__neg__ = self._following(saved[0], _negated)
        IntQuantTensor.__abs__ = self._following(saved[1], _magnitudes)
        try:
            with self:
                yield
        finally:
            IntQuantTensor.__neg__, IntQuantTensor.__abs__ = saved
            for handle in handles:
                handle.remove()

    def of(self, value: Any) -> CodeRange | None:
        """The range of a tensor or QuantTensor; None where no quantizer is known to bound it."""
        tensor = unpack(value)
        known = self._known.get(id(tensor))
        return known[1] if known and known[0]() is tensor else None

    def _note(self, value: Any, codes: CodeRange | None) -> None:
        tensor = unpack(value)
        if codes is None:
            self._known.pop(id(tensor), None)
        elif isinstance(tensor, Tensor):
            self._known[id(tensor)] = (ref(tensor), codes)

    def _quantized(self, name: str) -> Callable[..., None]:
        def hook(proxy: Any, inputs: tuple[Any, ...], output: Any) -> None:
            if not proxy.is_quant_enabled or not isinstance(output, IntQuantTensor):
                return
            source = name.removesuffix("_quant").removesuffix(".act").removesuffix(".output") or "quantizer"
            bits, signed = _one(output.bit_width), bool(output.signed)
            lowest, highest = output.zero_point.min(), output.zero_point.max()
            if bits is None or bits < 1 or lowest != lowest.round() or highest != highest.round():
                return
            codes = input_range(bits, signed, narrow_range=bool(proxy.is_narrow_range))
            if bits == 1 and signed:
                codes = BIPOLAR
            values = IntRange(codes.lo - int(highest), codes.hi - int(lowest)).with_zero()
            self._note(output, CodeRange(output.scale, values, bits, signed, f"data type of {source}"))

        return hook

    def _following(
        self, operation: Callable[[Any], Any], change: Callable[[CodeRange], CodeRange]
    ) -> Callable[[Any], Any]:
        def follow(tensor: Any) -> Any:
            known = self.of(tensor)
            result = operation(tensor)
            if result is not tensor:
                self._note(result, change(known) if known else None)
            return result

        return follow

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        codes = self._after(name, args, kwargs)  # before the call: it may change its argument in place
        result = func(*args, **kwargs)
        in_place = name.endswith("_") and not name.endswith("__")
        if in_place or name.startswith("__i") or name == "__setitem__":
            self._note(args[0], codes if name in _RELU else None)
        else:
            several = isinstance(result, (tuple, list)) and not isinstance(result, QuantTensor)
            for part in result if several else (result,):
                self._note(part, codes)
        return result

    def _after(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CodeRange | None:
        """Range of what an operation returns, or None if it is not one of those followed."""
        if not args:
            return None
        if name in _JOINING:
            return self._joined([self.of(part) for part in args[0]])
        codes = self.of(args[0])
        if name in _ADDING:
            return self._added(codes, self.of(args[1])) if len(args) == 2 and not kwargs else None
        if codes is None:
            return None
        if name in _KEEPING:
            return codes
        if name in _RELU:
            return codes.derive(IntRange(0, codes.values.hi), "ReLU")
        if name == "dropout":
            return codes if not kwargs.get("training", args[2] if len(args) > 2 else True) else None
        if name == "pad":
            fill = (*args, *[None] * 4)[3] if "value" not in kwargs else kwargs["value"]
            return codes if not fill else None
        if name in ("neg", "__neg__"):
            return _negated(codes)
        if name in ("abs", "__abs__"):
            return _magnitudes(codes)
        if name == "interpolate":
            mode = kwargs.get("mode", args[3] if len(args) > 3 else "nearest")
            return codes if mode in ("nearest", "nearest-exact") else None
        if name == "avg_pool2d":
            return _average(codes, args, kwargs)
        return None

    def _joined(self, parts: list[CodeRange | None]) -> CodeRange | None:
        known = [part for part in parts if part is not None]
        if len(known) < len(parts) or not known or not all(_same_scale(known[0], part) for part in known):
            return None
        values = IntRange(min(part.values.lo for part in known), max(part.values.hi for part in known))
        widest = max(known, key=lambda part: part.bit_width)
        if all(part.signed == widest.signed for part in known):
            return replace(widest, values=values)
        return widest.derive(values, "concatenation")

    def _added(self, left: CodeRange | None, right: CodeRange | None) -> CodeRange | None:
        if left is None or right is None or not _same_scale(left, right):
            return None
        values = IntRange(left.values.lo + right.values.lo, left.values.hi + right.values.hi)
        return left.derive(values, "sum")


def _negated(codes: CodeRange) -> CodeRange:
    return codes.derive(IntRange(-codes.values.hi, -codes.values.lo), "negative")


def _magnitudes(codes: CodeRange) -> CodeRange:
    return codes.derive(IntRange(0, max(codes.values.hi, -codes.values.lo)), "magnitude")


def _average(codes: CodeRange, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CodeRange | None:
    """Average pooling as an integer sum at a finer scale: only with windows that all divide by the same number."""
    names = ("input", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
    given = dict(zip(names, args, strict=False)) | kwargs
    size = given["kernel_size"]
    taps = prod(size) if isinstance(size, (tuple, list)) else int(size) ** 2
    if given.get("ceil_mode") or not given.get("count_include_pad", True):
        return None
    values = IntRange(codes.values.lo * taps, codes.values.hi * taps)
    return codes.derive(values, "average pool", codes.scale / (given.get("divisor_override") or taps))


def _same_scale(left: CodeRange, right: CodeRange) -> bool:
    if left.scale is right.scale:
        return True
    return left.scale.numel() == right.scale.numel() and bool((left.scale.flatten() == right.scale.flatten()).all())


def _one(tensor: Tensor) -> int | None:
    """The one integer in a tensor, or None if there are several."""
    low, high = float(tensor.min()), float(tensor.max())
    return int(low) if low == high and low.is_integer() else None
