"""Typed reading of one FINN node's attributes, with FINN's defaults given where they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from brevitas_a2q.errors import ConfigError, FoldingError
from brevitas_a2q.hw._finn.data_types import REAL, DataType, data_type

__all__ = ["Attributes"]


class Attributes:
    """Attributes of one node; a missing one without a default is an error that names it.

    Args:
        op_type: FINN's name of the node's kind, for messages.
        values: Attribute name to value, as FINN stores them.
    """

    def __init__(self, op_type: str, values: Mapping[str, Any]) -> None:
        self.op_type = op_type
        self.values = values

    def _get(self, name: str, default: Any, expected: str) -> Any:
        value = self.values.get(name, default)
        if value is None:
            raise ConfigError(f"found no attribute {name}", where=self.op_type, expected=expected)
        return value

    def _wrong(self, name: str, value: object, expected: str) -> ConfigError:
        return ConfigError(f"found {name} = {value!r}", where=self.op_type, expected=expected)

    def integer(self, name: str, default: int | None = None, *, minimum: int = 0) -> int:
        """An integer of at least ``minimum``."""
        expected = f"an integer of at least {minimum}"
        value = self._get(name, default, expected)
        number = _integer(value)
        if number is None or number < minimum:
            raise self._wrong(name, value, expected)
        return number

    def flag(self, name: str) -> bool:
        """An attribute of 0 or 1 whose default is 0."""
        return self.integer(name, 0) != 0

    def integers(
        self, name: str, default: Sequence[int] | None = None, *, length: int | None = None
    ) -> tuple[int, ...]:
        """A list of integers that are not negative, of this length if one is given."""
        expected = "a list of integers" if length is None else f"a list of {length} integers"
        value = self._get(name, default, expected)
        numbers = [_integer(item) for item in _items(value)]
        if not numbers or length not in (None, len(numbers)):
            raise self._wrong(name, value, expected)
        found = tuple(number for number in numbers if number is not None and number >= 0)
        if len(found) < len(numbers):
            raise self._wrong(name, value, expected)
        return found

    def pair(self, name: str, default: tuple[int, int] | None = None) -> tuple[int, int]:
        """Two integers: height and width."""
        first, second = self.integers(name, default, length=2)
        return first, second

    def choice(self, name: str, default: str, choices: Sequence[str]) -> str:
        """One of the strings FINN allows."""
        value = _text(self._get(name, default, ""))
        if value not in choices:
            raise self._wrong(name, value, "one of " + ", ".join(choices))
        return str(value)

    def data_type(self, name: str, default: str | None = None, *, real: bool = False) -> DataType:
        """A qonnx data type; of integers, or of real numbers too (``real``)."""
        found = str(_text(self._get(name, default, "a data type")))
        return REAL if real and found == REAL.name else data_type(found)

    def parallelism(self, name: str, limit: int, default: int | None = None) -> int:
        """PE or SIMD, which must divide ``limit``."""
        value = self.integer(name, default, minimum=1)
        if limit % value:
            near = min((d for d in range(1, limit + 1) if limit % d == 0), key=lambda d: (abs(d - value), d))
            raise FoldingError(
                f"found {name} = {value}",
                where=self.op_type,
                expected=f"a divisor of {limit}",
                remedy=f"the nearest is {near}",
            )
        return value


def _text(value: Any) -> Any:
    """ONNX stores strings as bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _integer(value: Any) -> int | None:
    """An integer, NumPy's too, or written as text or as a whole float, as JSON and YAML files have it."""
    if isinstance(value, str | bytes):
        text = str(_text(value)).strip()
        return int(text) if text.isascii() and text.isdigit() else None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return int(value.__index__()) if hasattr(value, "__index__") else None


def _items(value: Any) -> list[Any]:
    """The items of a list, tuple or array, also of one written as text: ``[1, 28, 28]``."""
    if isinstance(value, str | bytes):
        return str(_text(value)).strip().removeprefix("[").removesuffix("]").split(",")
    found = value.tolist() if hasattr(value, "tolist") else value
    return list(found) if isinstance(found, Sequence) else [found]
