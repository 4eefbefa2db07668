"""What is known of tensors, by the memory they show: a view and its base are told apart, and writes reach both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import torch
from brevitas.quant_tensor import QuantTensor
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from brevitas_a2q._ranges import Codes, Value, table

__all__ = ["Known", "Memory", "address", "collapsed", "plain_tensor", "shape_of", "unscaled", "upright"]

_NOWHERE: Final = -1
_SHARED: Final = "memory that something else shares"
View: TypeAlias = tuple[int, tuple[int, ...], tuple[int, ...], object]  # offset, shape, strides, type


@dataclass(frozen=True, eq=False)
class Known:
    """The value of one tensor, and the quantizers that it depends on."""

    value: Value
    sources: frozenset[Any] = frozenset()
    factors: tuple[Value, Value] | None = None  # where it comes of an elementwise product of two tensors
    moves: bool = False  # whether its scale is another for each input: integers only as long as they are just moved


def collapsed(value: Value, shape: tuple[int, ...]) -> Value:
    """A value of ``shape`` of which every element may be any of ``value``'s."""
    codes = value.codes
    if codes is not None and codes.uniform_scale is not None:
        codes = Codes.plain(np.asarray(codes.uniform_scale), np.asarray(codes.lo.min()), np.asarray(codes.hi.max()))
    else:
        codes = None
    return Value.of(shape, codes, np.asarray(value.lo.min()), np.asarray(value.hi.max()), value.origin)


def unscaled(leaf: Any) -> Any:
    """What is known of a tensor whose scale is another for each input; of other things themselves."""
    return Value.unknown(shape_of(leaf), "a scale that moves") if isinstance(leaf, Tensor) else leaf


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
    """Values by storage and view. Storages are held weakly, so that activations are freed as ever.

    Memory is a constant's only where it was said to be one (:meth:`declare`), or an operation made it of constants.
    What comes from elsewhere (another thread, a file, a protocol for sharing) is unknown, and so is all it overlaps.

    Args:
        closed: Whether that is so; else what comes from elsewhere is a constant.
    """

    def __init__(self, closed: bool = True) -> None:
        self._closed = closed
        # Beside each entry a weak reference: while it lives, no other storage is given the same address.
        self._storages: dict[int, tuple[StorageWeakRef, dict[View, Known]]] = {}
        self._constants: dict[int, StorageWeakRef] = {}
        self._versions: dict[int, int] = {}  # how often storages were written, as far as that was seen
        self._used: set[int] = set()  # constants that were asked for
        self._written: set[int] = set()

    def __contains__(self, tensor: Tensor) -> bool:
        """Whether the tensor's memory was ever written from the model's inputs."""
        return address(tensor) in self._storages

    def is_constant(self, tensor: Tensor) -> bool:
        """Whether the tensor is a constant; asked without using it."""
        return address(tensor) in self._constants

    def was_used(self, place: int) -> bool:
        """Whether a constant at this address was an operand."""
        return place in self._used

    def was_written(self, tensor: Tensor) -> bool:
        """Whether an operation has written the tensor's memory since it was declared, or first noted."""
        return address(tensor) in self._written

    def declare(self, tensor: Tensor) -> None:
        """Say that a tensor is a constant, unless something else is known of it."""
        place = address(tensor)
        if place != _NOWHERE and place not in self._storages and place not in self._constants:
            self._constants[place] = StorageWeakRef(tensor.untyped_storage())
            self._versions[place] = _version(tensor)

    def shown(self, tensor: Tensor) -> Tensor:
        """Note that a tensor shows memory of another one from now on, and counts what is written by itself."""
        place = address(tensor)
        if place in self._versions:
            self._versions[place] = max(self._versions[place], _version(tensor) + 1)
        return tensor

    def mark_written(self, tensor: Tensor) -> None:
        """Note that an operation writes a tensor, which PyTorch counts when it is done."""
        place = address(tensor)
        self._written.add(place)
        self._versions[place] = max(self._versions.get(place, 0), _version(tensor)) + 1

    def get(self, tensor: Tensor) -> Known | None:
        """What is known of a tensor; None of constants."""
        place, shape = address(tensor), shape_of(tensor)
        if place == _NOWHERE:
            return Known(Value.unknown(shape, "a tensor without memory of its own"), frozenset({"input"}))
        if _version(tensor) > self._versions.get(place, _version(tensor)):  # by another thread, say
            self.write(tensor, Known(Value.unknown(shape, "written without being seen"), frozenset({"input"})))
        found = self._storages.get(place)
        if found is not None:
            return found[1].get(_view(tensor)) or Known(Value.unknown(shape, "another view of its memory"))
        if place in self._constants or not self._closed:
            self._used.add(place)
            return None
        known = Known(Value.unknown(shape, "a tensor that no operation seen here has made"), frozenset({"input"}))
        self._forget_what_overlaps(tensor, known)
        self.set(tensor, known)
        return known

    def _forget_what_overlaps(self, tensor: Tensor, known: Known) -> None:
        """Memory that is reached in two ways is unknown: what is written in one is not seen in the other."""
        start, end = _span(tensor.untyped_storage())
        for reference, views in self._storages.values():
            storage = None if reference.expired() else torch.UntypedStorage._new_with_weak_ptr(reference.cdata)
            if storage is not None and start < _span(storage)[1] and _span(storage)[0] < end:
                for view, other in views.items():
                    views[view] = Known(Value.unknown(other.value.shape, _SHARED), other.sources | known.sources)

    def set(self, tensor: Tensor, known: Known) -> None:
        """Note what is known of a tensor."""
        place = address(tensor)
        if place == _NOWHERE:
            return
        if place not in self._storages:
            self._storages[place] = (StorageWeakRef(tensor.untyped_storage()), {})
            self._versions[place] = 0
        self._versions[place] = max(self._versions[place], _version(tensor))
        self._storages[place][1][_view(tensor)] = known

    def copied(self, tensor: Tensor, copy: Tensor) -> None:
        """Note that one tensor is a copy of another, element by element."""
        known = self.get(tensor)
        if known is None:
            self.declare(copy)
        else:
            self.set(copy, known)

    def write(self, tensor: Tensor, known: Known) -> None:
        """Note that a tensor was written: every other view of its memory may show old or new elements."""
        self.mark_written(tensor)
        found = self._storages.get(address(tensor))
        for view, other in list(found[1].items()) if found else ():
            after = _either(other.value, known.value)
            found[1][view] = Known(after, other.sources | known.sources)  # type: ignore[index]
        self.set(tensor, known)


def _either(old: Value, new: Value) -> Value:
    try:
        for value, other in ((new, old), (old, collapsed(new, old.shape))):
            if value.codes is None and value.bounded and value.lo.min() == value.hi.max():  # one number
                return table.where(other, Value.constant(np.asarray(float(value.lo.min()), np.float32)))
        return old.hull(_in_steps_of(old, collapsed(new, old.shape)))
    except ValueError:
        return Value.unknown(old.shape, "memory that is written by two operations")


def plain_tensor(value: Any) -> Any:
    """The plain tensor inside a ``QuantTensor``; anything else as it is."""
    return value.value if isinstance(value, QuantTensor) else value


def shape_of(tensor: Tensor) -> tuple[int, ...]:
    """The shape; that of one number where a tensor is of several shapes, of which nothing is ever known."""
    return () if tensor.is_nested else tuple(tensor.shape)


def address(tensor: Tensor) -> int:
    """Of the tensor's storage."""
    if tensor.is_nested:
        return _NOWHERE
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):  # sparse and other tensors without memory of their own
        return _NOWHERE


def _version(tensor: Tensor) -> int:
    """How often its memory was written, as PyTorch counts: 0 where it does not."""
    return 0 if tensor.is_inference() else int(tensor._version)


def _span(storage: Any) -> tuple[int, int]:
    start = int(storage.data_ptr())
    return start, start + int(storage.nbytes())


def _view(tensor: Tensor) -> View:
    return int(tensor.storage_offset()), tuple(tensor.shape), tensor.stride(), tensor.dtype
