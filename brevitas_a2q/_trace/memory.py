"""What is known of tensors, by the memory they show: a view and its base are told apart, and writes reach both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from brevitas_a2q._ranges import Codes, Value, table

__all__ = ["Known", "Memory", "address", "collapsed", "upright"]

_NOWHERE: Final = -1
View: TypeAlias = tuple[int, tuple[int, ...], tuple[int, ...], object]  # offset, shape, strides, type


@dataclass(frozen=True, eq=False)
class Known:
    """The value of one tensor, and the quantizers that it depends on."""

    value: Value
    sources: frozenset[Any] = frozenset()


def collapsed(value: Value, shape: tuple[int, ...]) -> Value:
    """A value of ``shape`` of which every element may be any of ``value``'s."""
    codes = value.codes
    if codes is not None and codes.uniform_scale is not None:
        codes = Codes.plain(np.asarray(codes.uniform_scale), np.asarray(codes.lo.min()), np.asarray(codes.hi.max()))
    else:
        codes = None
    return Value.of(shape, codes, np.asarray(value.lo.min()), np.asarray(value.hi.max()), value.origin)


def upright(value: Value) -> Value:
    """The same integers at positive scales."""
    codes = value.codes
    if codes is None or (codes.scale > 0).all():
        return value
    lo, hi = value.integer_ends()
    turned = codes.scale < 0
    low, high = np.where(turned, -hi, lo), np.where(turned, -lo, hi)
    return Value.of(value.shape, Codes.plain(np.abs(codes.scale), low, high), *value.ends(), value.origin)


def _in_steps_of(other: Value, value: Value) -> Value:
    """The value at another's scale, where that goes into its own a whole number of times."""
    if other.codes is None or value.codes is None or other.codes.uniform_scale is None:
        return value
    step, scale = other.codes.uniform_scale, value.codes.uniform_scale
    times = (scale or 0.0) / step
    if times == 1 or not 1 <= abs(times) < 2**20 or abs(times - round(times)) > 1e-12 * abs(times):
        return value
    ends = [np.asarray(round(times) * int(end)) for end in (value.codes.lo, value.codes.hi)]
    codes = Codes.plain(np.asarray(step), np.minimum(*ends), np.maximum(*ends))
    return Value.of(value.shape, codes, value.lo, value.hi, value.origin)


class Memory:
    """Values by storage and view. Storages are held weakly, so that activations are freed as ever."""

    def __init__(self) -> None:
        # Beside each entry a weak reference: while it lives, no other storage is given the same address.
        self._storages: dict[int, tuple[StorageWeakRef, dict[View, Known]]] = {}

    def __contains__(self, tensor: Tensor) -> bool:
        """Whether the tensor's memory was ever written from the model's inputs."""
        return address(tensor) in self._storages

    def get(self, tensor: Tensor) -> Known | None:
        """What is known of a tensor; None of constants, whose memory no operation has written."""
        if address(tensor) == _NOWHERE:
            return Known(Value.unknown(tuple(tensor.shape), "a tensor without memory of its own"), frozenset({"input"}))
        found = self._storages.get(address(tensor))
        if found is None:
            return None
        return found[1].get(_view(tensor)) or Known(Value.unknown(tuple(tensor.shape), "another view of its memory"))

    def set(self, tensor: Tensor, known: Known) -> None:
        """Note what is known of a tensor."""
        place = address(tensor)
        if place == _NOWHERE:
            return
        if place not in self._storages:
            self._storages[place] = (StorageWeakRef(tensor.untyped_storage()), {})
        self._storages[place][1][_view(tensor)] = known

    def write(self, tensor: Tensor, known: Known) -> None:
        """Note that a tensor was written: every other view of its memory may show old or new elements."""
        found = self._storages.get(address(tensor))
        for view, other in list(found[1].items()) if found else ():
            after = _either(other.value, known.value)
            found[1][view] = Known(after, other.sources | known.sources)  # type: ignore[index]
        self.set(tensor, known)


def _either(old: Value, new: Value) -> Value:
    try:
        if new.codes is None and new.bounded and new.lo.min() == new.hi.max():  # one number
            return table.where(old, Value.constant(np.asarray(float(new.lo.min()), np.float32)))
        return old.hull(_in_steps_of(old, collapsed(new, old.shape)))
    except ValueError:
        return Value.unknown(old.shape, "memory that is written by two operations")


def address(tensor: Tensor) -> int:
    """Of the tensor's storage."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):  # sparse and other tensors without memory of their own
        return _NOWHERE


def _view(tensor: Tensor) -> View:
    return int(tensor.storage_offset()), tuple(tensor.shape), tensor.stride(), tensor.dtype
