"""Integer data types under their QONNX names."""

from __future__ import annotations

import re
from dataclasses import dataclass

from brevitas_a2q.bounds import IntRange, required_bit_width
from brevitas_a2q.errors import A2QError

__all__ = ["IntType"]

_NAMED = {"BINARY": (1, 0, 1), "BIPOLAR": (1, -1, 1), "TERNARY": (2, -1, 1)}


@dataclass(frozen=True)
class IntType:
    """An integer type of QONNX: ``UINT<n>``, ``INT<n>``, ``BINARY``, ``BIPOLAR`` or ``TERNARY``.

    Example:
        >>> IntType.parse("INT4"), IntType.parse("BIPOLAR").bit_width, IntType.smallest(IntRange(0, 15)).name
        (IntType(name='INT4'), 1, 'UINT4')
    """

    name: str

    def __post_init__(self) -> None:
        if self.name not in _NAMED and not re.fullmatch(r"U?INT([1-9]|[1-9]\d)", self.name):
            raise A2QError(
                f"found data type {self.name!r}",
                expected="UINT<n>, INT<n>, BINARY, BIPOLAR or TERNARY with n below 100",
            )

    @classmethod
    def parse(cls, name: str) -> IntType:
        """The type of this QONNX name; ``UINT1`` is ``BINARY``."""
        return cls("BINARY" if name == "UINT1" else name)

    @classmethod
    def of(cls, bit_width: int, signed: bool) -> IntType:
        """``INT<bit_width>`` or ``UINT<bit_width>``."""
        return cls.parse(f"{'INT' if signed else 'UINT'}{bit_width}")

    @classmethod
    def smallest(cls, values: IntRange) -> IntType:
        """The narrowest plain ``UINT`` or ``INT`` that holds the range (never BIPOLAR or TERNARY)."""
        if values.lo >= 0:
            return cls.of(max(1, values.hi.bit_length()), signed=False)
        return cls.of(required_bit_width(values.lo, values.hi), signed=True)

    @property
    def bit_width(self) -> int:
        """Bits on a wire."""
        return _NAMED[self.name][0] if self.name in _NAMED else int(self.name.lstrip("UINT"))

    @property
    def range(self) -> IntRange:
        """Lowest and highest value (BIPOLAR has no zero; its range says [-1, 1])."""
        if self.name in _NAMED:
            return IntRange(*_NAMED[self.name][1:])
        n = self.bit_width
        return IntRange(0, (1 << n) - 1) if self.name.startswith("U") else IntRange(-(1 << (n - 1)), (1 << (n - 1)) - 1)

    @property
    def signed(self) -> bool:
        """Whether negative values occur."""
        return self.range.lo < 0
