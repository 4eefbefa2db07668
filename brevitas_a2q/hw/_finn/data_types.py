"""FINN's data types by name: bits on a wire and value range, as qonnx defines them.

Source: qonnx ``core/datatype.py``. Unlike :class:`brevitas_a2q._ir.datatypes.IntType` this one admits ``UINT0``, which
FINN's minimisation writes for an all-zero layer.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.errors import ConfigError

__all__ = ["REAL", "DataType", "data_type", "smallest_possible", "whole_bytes"]

_WIDEST = 64  # FINN has no candidate above it


class DataType(NamedTuple):
    """An integer type: its qonnx name, bits on a wire, lowest and highest value."""

    name: str
    bits: int
    lo: int
    hi: int

    @property
    def signed(self) -> bool:
        """Whether negative values occur."""
        return self.lo < 0

    def holds(self, value: int) -> bool:
        """Whether qonnx lets a tensor of this type contain the value: BIPOLAR has no zero."""
        return self.lo <= value <= self.hi and not (self.name == "BIPOLAR" and value == 0)


REAL = DataType("FLOAT32", 32, (1 << 104) - (1 << 128), (1 << 128) - (1 << 104))


@lru_cache(maxsize=256)
def data_type(name: str) -> DataType:
    """The type of this qonnx name.

    Example:
        >>> data_type("INT4"), data_type("UINT0").bits
        (DataType(name='INT4', bits=4, lo=-8, hi=7), 0)
    """
    if name == "UINT0":
        return DataType(name, 0, 0, 0)
    known = IntType.parse(name)
    return DataType(known.name, known.bit_width, known.range.lo, known.range.hi)


@lru_cache(maxsize=4096)
def smallest_possible(value: int) -> DataType:
    """The first of qonnx' candidate types whose range spans the value.

    The order is BINARY, UINT1 to UINT64, BIPOLAR, TERNARY, INT1 to INT64, so that -1 becomes BIPOLAR although weights
    {-1, 0} do not fit it. That is FINN's number, reproduced as it is.

    Example:
        >>> [smallest_possible(v).name for v in (0, 15, 16, -1, -2, -8)]
        ['BINARY', 'UINT4', 'UINT5', 'BIPOLAR', 'INT2', 'INT4']
    """
    if value == -1:
        return data_type("BIPOLAR")
    bits = max(1, value.bit_length()) if value >= 0 else max(2, (-value - 1).bit_length() + 1)
    if bits > _WIDEST:
        raise ConfigError(f"found the value {value}", expected=f"one that a type of {_WIDEST} bits holds")
    return data_type(f"{'INT' if value < 0 else 'UINT'}{bits}")


def whole_bytes(kind: DataType) -> DataType:
    """The type rounded up to a multiple of 8 bits by editing the digits in its name, as FINN does.

    Example:
        >>> whole_bytes(data_type("INT12")).name, whole_bytes(data_type("BINARY")).name  # which has no digits
        ('INT16', 'BINARY')
    """
    return data_type(kind.name.replace(str(kind.bits), str(-(-kind.bits // 8) * 8)))
