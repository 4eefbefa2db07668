"""What the metadata of a quantized input claims, and what its values are.

Metadata that comes straight from an activation quantizer is exact; metadata that went through arithmetic is not.
Brevitas claims as many bits for ``-x`` as for ``x``, ``ceil(log2(max))`` bits for sums and average pools, and nothing
of padding. Which of the two a tensor has cannot be seen on it, so a claim is relied upon only where a trace has shown
that it comes from a quantizer, or together with a look at every value (:mod:`brevitas_a2q.quant._arrivals`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from brevitas.quant_tensor import IntQuantTensor
from torch import Tensor, nn

from brevitas_a2q._trace.quantizers import code_range
from brevitas_a2q.bounds import BIPOLAR, IntRange
from brevitas_a2q.errors import ModelError

__all__ = [
    "Claim",
    "HostCopies",
    "claim_tensors",
    "is_narrow",
    "quantizes_own_input",
    "raw_tensors",
    "seen_range",
    "seen_tensors",
]


_WIDEST = 62  # bits of integers that 64 hold with room; more are as good as unbounded


class HostCopies:
    """Smallest and largest values of small tensors, read from an accelerator only when they may have changed.

    Reading waits for all work under way there. A change is told by the tensor's own count, which writes through
    ``.data`` escape; so every now and then it is read all the same. On a processor it is always read.
    """

    _EVERY = 64  # calls

    def __init__(self) -> None:
        self._held: dict[str, tuple[Tensor, int, tuple[float, float]]] = {}
        self._calls: dict[str, int] = {}

    def extremes(self, name: str, tensor: Tensor) -> tuple[float, float]:
        """Smallest and largest value.

        Args:
            name: What the tensor is for; one is held for each name.
            tensor: Not empty.

        Example:
            >>> copies, bits = HostCopies(), torch.tensor([3, 5])
            >>> copies.extremes("bits", bits), copies.extremes("bits", bits.add_(1))
            ((3, 5), (4, 6))
        """
        tensor = tensor.detach()
        if not tensor.is_cuda or tensor.is_inference():
            return _read(tensor)
        held, self._calls[name] = self._held.get(name), self._calls.get(name, 0) + 1
        due = self._calls[name] % self._EVERY == 0
        if held is None or due or held[1] != tensor._version or not held[0].is_set_to(tensor):
            held = self._held[name] = (tensor, tensor._version, _read(tensor))
        return held[2]

    def __deepcopy__(self, memo: Any) -> HostCopies:
        return HostCopies()  # what is held belongs to the original

    def __reduce__(self) -> Any:
        return HostCopies, ()


def _read(tensor: Tensor) -> tuple[float, float]:
    if tensor.numel() == 1:
        value = tensor.item()
        return value, value
    smallest, largest = torch.aminmax(tensor)
    return smallest.item(), largest.item()


@dataclass(frozen=True)
class Claim:
    """What an ``IntQuantTensor`` says of itself.

    Example:
        >>> Claim(8, False, False, (128, 128)).range
        IntRange(lo=-128, hi=127)
    """

    bits: int
    signed: bool
    narrow: bool
    zero_point: tuple[int, int]  # lowest and highest

    @classmethod
    def of(cls, layer: nn.Module, quant_input: IntQuantTensor, copies: HostCopies) -> Claim:
        """The claim of a layer's input; only metadata is read.

        Raises:
            ModelError: Its zero-point is not a number.
        """
        widest = copies.extremes("input bits", quant_input.bit_width)[1]
        bits = math.ceil(min(widest, _WIDEST)) if widest > 0 else _WIDEST  # of NaN nothing is known, either
        low, high = copies.extremes("input zero-point", quant_input.zero_point)
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ModelError(
                f"found an input whose zero-point is {low}",
                where=f"layer {type(layer).__name__}({layer.extra_repr()})",
                expected="a finite one",
                remedy="calibrate the quantizer in front again: its statistics hold what is not finite",
            )
        signed = bool(quant_input.signed_t)
        return cls(bits, signed, is_narrow(layer) and bits > 1, (math.floor(low), math.ceil(high)))

    @property
    def type(self) -> tuple[int, bool, bool]:
        """What it says without the zero-point, which moves while it is learned."""
        return self.bits, self.signed, self.narrow

    @property
    def range(self) -> IntRange:
        """Integers of the type less the zero-point, 0 included."""
        codes = code_range(self.bits, self.signed, self.narrow)
        return IntRange(codes.lo - self.zero_point[1], codes.hi - self.zero_point[0]).with_zero()

    def codes(self, found: IntRange) -> IntRange | None:
        """Codes of integers in this range, zero-point not subtracted, 0 included; None without a zero-point."""
        if self.zero_point == (0, 0):
            return None
        return IntRange(found.lo + self.zero_point[0], found.hi + self.zero_point[1]).with_zero()


def raw_tensors(quant_input: IntQuantTensor, lo: Tensor, hi: Tensor) -> Tensor:
    """Lowest and highest code, 0 included, of integers in ``[lo, hi]``; zeros without a zero-point.  # shape: (2,)"""
    zero_point = quant_input.zero_point.detach()
    ends = torch.stack([lo + zero_point.min().floor().to(lo.dtype), hi + zero_point.max().ceil().to(hi.dtype)])
    with_zero = torch.stack([ends[0].clamp_max(0), ends[1].clamp_min(0)])
    return torch.where((zero_point != 0).any(), with_zero, torch.zeros_like(with_zero))


def seen_range(quant_input: IntQuantTensor) -> IntRange:
    """Lowest and highest integer among the input's values, 0 included."""
    lo, hi = seen_tensors(quant_input)
    return IntRange(int(lo), int(hi))


def seen_tensors(quant_input: IntQuantTensor) -> tuple[Tensor, Tensor]:
    """:func:`seen_range` as int64 tensors, without reading a value."""
    with torch.no_grad():
        value, scale = quant_input.value.detach(), quant_input.scale.detach().double()
        if not value.numel():
            value = value.new_zeros(1)
        elif scale.numel() == 1:  # quotients rise, or fall, with the values: those of the two ends bound all others
            value, scale = torch.stack(torch.aminmax(value.nan_to_num(0.0))), scale.reshape(())
        integers = (value.double() / scale).nan_to_num(0.0).clamp(-(2.0**_WIDEST), 2.0**_WIDEST)
        lo, hi = torch.aminmax(integers.round())
        return lo.to(torch.int64).clamp_max(0), hi.to(torch.int64).clamp_min(0)


def claim_tensors(quant_input: IntQuantTensor, narrow: bool) -> tuple[Tensor, Tensor]:
    """:attr:`Claim.range` as int64 tensors, without reading a value: for ``torch.compile``."""
    one = torch.ones((), dtype=torch.int64, device=quant_input.bit_width.device)
    width = quant_input.bit_width.detach().max().ceil().nan_to_num(float(_WIDEST))
    bits = torch.where(width > 0, width.clamp_max(_WIDEST), _WIDEST).to(torch.int64)
    top = torch.where(quant_input.signed_t, one << (bits - 1), one << bits)
    lo = torch.where(quant_input.signed_t, -top + int(narrow), torch.zeros_like(top))
    hi = top - 1 - torch.where(quant_input.signed_t, 0, int(narrow))
    bipolar = quant_input.signed_t & (bits == 1)
    lo, hi = torch.where(bipolar, BIPOLAR.lo, lo), torch.where(bipolar, BIPOLAR.hi, hi)
    zero_point = quant_input.zero_point.detach()
    lo = lo - zero_point.max().ceil().to(torch.int64)
    hi = hi - zero_point.min().floor().to(torch.int64)
    return lo.clamp_max(0), hi.clamp_min(0)


def quantizes_own_input(layer: nn.Module) -> bool:
    """Whether the layer has an input quantizer of its own, so that its input's metadata is exact."""
    proxy = getattr(layer, "input_quant", None)
    return bool(getattr(proxy, "is_quant_enabled", False))


def is_narrow(layer: nn.Module) -> bool:
    """Whether the layer has an input quantizer of its own that leaves out a code."""
    return quantizes_own_input(layer) and bool(getattr(layer.input_quant, "is_narrow_range", False))
