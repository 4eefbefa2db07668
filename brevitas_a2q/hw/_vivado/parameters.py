"""Parameters of a FINN unit as published tables name them: ``MW=784 MH=64 PE=2 SIMD=28 W=1 A=1 P=10 B=1 ram=auto``.

``MW``, ``MH`` (matrix), ``PE``, ``SIMD``, ``W``, ``A``, ``P``, ``B`` (bits of weights, inputs, accumulator, outputs;
``B=0``: sums leave the unit), ``AS`` (signed inputs), ``H``, ``W``, ``OH``, ``OW``, ``KH``, ``KW``, ``SH``, ``SW``,
``DH``, ``DW``, ``C`` (images, windows, strides, dilations, channels), ``T``, ``L``, ``BO``, ``R`` (padding), ``IN``,
``OUT`` (bits of words), ``W``, ``D`` (bits and words of a FIFO), ``T``, ``steps`` (bits and number of thresholds),
``L``, ``K`` (labels), ``ram`` (where weights, windows or thresholds are: ``auto``, ``distributed``, ``block``), ``rtl``
(of which FINN a unit's RTL parts are: ``main``, or ``dev``, which finn-plus has too).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from brevitas_a2q.errors import ConfigError

__all__ = ["Parameters"]


class Parameters:
    """Typed reading of one unit's parameters.

    Args:
        op: FINN's name of the kind, for messages.
        values: Names to numbers or words, or all of them as text.
    """

    def __init__(self, op: str, values: Mapping[str, Any] | str) -> None:
        if isinstance(values, str):
            values = dict(entry.partition("=")[::2] for entry in values.split())
        self.op, self._values = op, values

    def having(self, name: str, word: str) -> Parameters:
        """The same with one more, unless it is there."""
        return Parameters(self.op, {name: word, **self._values})

    def __call__(self, name: str, default: int | None = None) -> int:
        """An integer; without a default it must be there."""
        value = self._values.get(name)
        if value in (None, "", "?") or value != value:
            if default is None:
                raise ConfigError(f"found no parameter {name}", where=self.op, expected="an integer")
            return default
        try:
            number = int(float(value))
        except (TypeError, ValueError):
            raise ConfigError(f"found {name} = {value!r}", where=self.op, expected="an integer") from None
        if number < 0:
            raise ConfigError(f"found {name} = {number}", where=self.op, expected="an integer of at least 0")
        return number

    def word(self, name: str, default: str) -> str:
        """A word."""
        value = self._values.get(name)
        return default if value in (None, "", "?") else str(value)
