"""Sixteen-bit floats inside of kernels, which Numba does not compute with: bfloat16 as uint16, float16 as int16.

The type of an array says what its bits mean, so that one kernel serves all types: ``load`` gives a value to compute
with, ``settle`` rounds a result to what the type holds, as every operation of PyTorch does, and ``store`` gives its
bits. For float32 and float64 all three do nothing. They are branch-free, and loops over them run in vector registers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from brevitas_a2q.quant._kernels.compiler import compiled, inlined

__all__ = ["load", "settle", "store"]

_SIGN, _SIZE = np.uint32(0x80000000), np.uint32(0x7FFFFFFF)  # of a float32
_HALF_LIMIT = np.float32(65520.0)  # half-way beyond the largest float16: from here on it is infinite
_HALF_UP = np.float32(2.0**112)  # from the exponent of a float16, shifted to its place, to that of a float32
_HALF_DOWN = np.float32(2.0**-112)
_HALF_TINY = np.float32(2.0**-14)  # below it float16 is spaced evenly by 2^-24,
_HALF_MAGIC = np.float32(0.5)  # as float32 is from here on


@inlined
def _bits(value: Any) -> Any:
    return np.float32(value).view(np.uint32)


@inlined
def _float(bits: Any) -> Any:
    return np.uint32(bits).view(np.float32)


def _load_bfloat16(value: Any) -> Any:
    return _float(np.uint32(value) << np.uint32(16))


def _settle_bfloat16(value: Any, like: Any) -> Any:
    bits = _bits(value)
    up = np.uint32(0x7FFF) + np.uint32(np.uint32(bits >> np.uint32(16)) & np.uint32(1))
    nan = np.uint32(np.uint32(bits & _SIZE) > np.uint32(0x7F800000)) * np.uint32(0x7FC00000)
    return _float(np.uint32(np.uint32(bits + up) & np.uint32(0xFFFF0000)) | np.uint32(nan))


def _store_bfloat16(value: Any, like: Any) -> Any:
    return np.uint16(_bits(value) >> np.uint32(16))


def _load_float16(value: Any) -> Any:
    wide = np.uint32(value)
    size = _float(np.uint32(wide & np.uint32(0x7FFF)) << np.uint32(13)) * _HALF_UP
    # What was infinite or NaN keeps its mantissa and gets the largest exponent. A branch in what Numba inlines makes it
    # warn of names that are not in scope.
    largest = np.uint32(np.uint32(wide & np.uint32(0x7C00)) == np.uint32(0x7C00))
    special = np.uint32(largest * np.uint32(0x7F800000))
    return _float(_bits(size) | special | np.uint32(np.uint32(wide & np.uint32(0x8000)) << np.uint32(16)))


@compiled
def _settled_float16(value: Any) -> Any:
    bits = _bits(value)
    magnitude = np.uint32(bits & _SIZE)
    size = _float(magnitude)
    up = np.uint32(0x0FFF) + np.uint32(np.uint32(magnitude >> np.uint32(13)) & np.uint32(1))
    normal = _float(np.uint32(magnitude + up) & np.uint32(0xFFFFE000))
    small = np.float32(size + _HALF_MAGIC) - _HALF_MAGIC
    rounded = small if size < _HALF_TINY else normal
    rounded = np.float32(np.inf) if size >= _HALF_LIMIT else rounded
    signed = _float(_bits(rounded) | np.uint32(bits & _SIGN))
    return signed if value == value else np.float32(np.nan)


def _settle_float16(value: Any, like: Any) -> Any:
    return _settled_float16(value)


@compiled
def _stored_float16(value: Any) -> Any:
    bits = _bits(value)
    size = _float(bits & _SIZE)
    low = np.uint32(_bits(size * _HALF_DOWN) >> np.uint32(13))
    low = np.uint32(0x7C00) if size >= _HALF_LIMIT else low
    low = low if value == value else np.uint32(0x7E00)
    return np.int16(np.uint16(low | np.uint32(np.uint32(bits & _SIGN) >> np.uint32(16))))


def _store_float16(value: Any, like: Any) -> Any:
    return _stored_float16(value)


def _same(value: Any) -> Any:
    return value


def _first(value: Any, like: Any) -> Any:
    return value


def load(value: Any) -> Any:
    """An element of an array, to compute with."""
    raise NotImplementedError  # what a kernel compiles is chosen below


def settle(value: Any, like: Any) -> Any:
    """A result rounded, ties to even, to what elements of the array ``like`` hold."""
    raise NotImplementedError


def store(value: Any, like: Any) -> Any:
    """Of a settled value, what the array ``like`` keeps."""
    raise NotImplementedError


def _choose(kind: Any, floats: Callable[..., Any], bfloat16: Callable[..., Any], float16: Callable[..., Any]) -> Any:
    return {types.uint16: bfloat16, types.int16: float16}.get(kind, floats)


@overload(load, inline="always")
def _(value: Any) -> Any:
    return _choose(value, _same, _load_bfloat16, _load_float16)


@overload(settle, inline="always")
def _(value: Any, like: Any) -> Any:
    return _choose(like.dtype, _first, _settle_bfloat16, _settle_float16)


@overload(store, inline="always")
def _(value: Any, like: Any) -> Any:
    return _choose(like.dtype, _first, _store_bfloat16, _store_float16)
