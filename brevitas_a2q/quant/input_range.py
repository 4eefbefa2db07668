"""The integers that reach a layer, from the metadata of its quantized input.

Metadata that comes straight from an activation quantizer is exact. Metadata that went through arithmetic need not be:
Brevitas claims as many bits for ``-x`` as for ``x``, one bit less for ``abs(x)``, and ``ceil(log2(max))`` bits for sums
and average pools, so the code ``2^N`` of an N-bit type does occur. Such inputs are bounded by ``|x| <= 2^N``
(``2^(N-1)`` signed) instead, which holds for all of these. What no static bound covers is dropout between quantizer and
layer while training: it scales the codes up, until evaluation turns it off. A signed bit is bipolar, -1 or 1.
"""

from __future__ import annotations

import math

import torch
from brevitas.quant_tensor import IntQuantTensor
from torch import Tensor, nn

from brevitas_a2q.bounds import BIPOLAR, IntRange

__all__ = ["HostCopies", "exact_codes", "range_of", "range_tensors"]


class HostCopies:
    """Smallest and largest values of small tensors, read from an accelerator only when they may have changed.

    Reading waits for all work under way there. Constants keep their storage from one call to the next; holding it here
    means that no other tensor can be given the same memory, and in-place changes are counted by the tensor itself.
    """

    def __init__(self) -> None:
        self._held: dict[str, tuple[Tensor, int, tuple[float, float]]] = {}

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
        if tensor.is_inference():  # these do not count their changes
            return _read(name, tensor)
        tensor = tensor.detach()
        held = self._held.get(name)
        if held is None or held[1] != tensor._version or not held[0].is_set_to(tensor):
            held = self._held[name] = (tensor, tensor._version, _read(name, tensor))
        return held[2]


def _read(_: str, tensor: Tensor) -> tuple[float, float]:
    smallest, largest = torch.aminmax(tensor.detach())
    return smallest.item(), largest.item()


def exact_codes(layer: nn.Module, quant_input: IntQuantTensor) -> bool:
    """Whether the input's metadata is an activation quantizer's own, so that its type bounds its codes exactly.

    A quantizer's bit width is a constant whose storage it shares with what it hands out; the result of arithmetic owns
    its storage alone. Signed inputs are trusted from the layer's own input quantizer only, because ``-x`` hands on the
    bit width of ``x``.
    """
    if _quantizes_own_input(layer):
        return True
    if bool(quant_input.signed_t):
        return False
    return _storage_uses(quant_input.bit_width) > _storage_uses(torch.zeros(()))


def _storage_uses(tensor: Tensor) -> int:
    """How many hold the tensor's storage, the handle taken here included in some versions of torch; 0 if unknown."""
    count = getattr(torch._C, "_storage_Use_Count", None)
    return int(count(tensor.untyped_storage()._cdata)) if count else 0


def _quantizes_own_input(layer: nn.Module) -> bool:
    proxy = getattr(layer, "input_quant", None)
    return bool(getattr(proxy, "is_quant_enabled", False))


def _is_narrow(layer: nn.Module) -> bool:
    return _quantizes_own_input(layer) and bool(getattr(layer.input_quant, "is_narrow_range", False))


def range_of(layer: nn.Module, quant_input: IntQuantTensor, exact: bool, copies: HostCopies) -> IntRange:
    """Integers that one input may take, zero-point subtracted and 0 included.

    Args:
        layer: The layer the input goes to.
        quant_input: Its quantized input; only metadata is read.
        exact: From :func:`exact_codes`.
        copies: What was read of the inputs before.
    """
    # What arithmetic made is new in every call, and holding it would make it look like a constant.
    read = copies.extremes if exact else _read
    bits = math.ceil(read("input bits", quant_input.bit_width)[1])
    narrow = _is_narrow(layer)
    if bool(quant_input.signed_t) and bits == 1:
        lo, hi = BIPOLAR.lo, BIPOLAR.hi
    elif bool(quant_input.signed_t):
        lo, hi = -(1 << (bits - 1)) + narrow, (1 << (bits - 1)) - exact
    else:
        lo, hi = 0, (1 << bits) - exact - narrow
    low_zero, high_zero = read("input zero-point", quant_input.zero_point)
    return IntRange(lo - math.ceil(high_zero), hi - math.floor(low_zero)).with_zero()


def range_tensors(layer: nn.Module, quant_input: IntQuantTensor, exact: bool) -> tuple[Tensor, Tensor]:
    """:func:`range_of` as int64 tensors, without reading a value: for ``torch.compile``.

    Args:
        layer: The layer the input goes to.
        quant_input: Its quantized input.
        exact: What :func:`exact_codes` found outside of the graph, where storage can be looked at.
    """
    one = torch.ones((), dtype=torch.int64, device=quant_input.bit_width.device)
    bits = quant_input.bit_width.detach().max().ceil().to(torch.int64)
    narrow = _is_narrow(layer)
    top = torch.where(quant_input.signed_t, one << (bits - 1), one << bits)
    lo = torch.where(quant_input.signed_t, -top + int(narrow), torch.zeros_like(top))
    hi = top - int(exact) - torch.where(quant_input.signed_t, 0, int(narrow))
    bipolar = quant_input.signed_t & (bits == 1)
    lo, hi = torch.where(bipolar, BIPOLAR.lo, lo), torch.where(bipolar, BIPOLAR.hi, hi)
    zero_point = quant_input.zero_point.detach()
    lo = lo - zero_point.max().ceil().to(torch.int64)
    hi = hi - zero_point.min().floor().to(torch.int64)
    return lo.clamp_max(0), hi.clamp_min(0)
