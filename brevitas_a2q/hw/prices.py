"""What every memory style of a folding costs, from few calls of the cost model.

A matrix unit is the sum of its array, its weight memory and its threshold memory. The array depends on PE, SIMD and the
kind of multiplier; the weight memory on PE * SIMD and its style; the threshold memory on PE and its style. So what a
memory style changes is asked for once, not again for every combination of the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, TypeAlias

from brevitas_a2q.hw.cost.model import CostModel
from brevitas_a2q.hw.devices.part import Part
from brevitas_a2q.hw.ir import Folding, MemoryStyle, Unit

__all__ = ["Price", "Prices"]

Price: TypeAlias = tuple[float, float, float, float]  # LUT, BRAM18, URAM, DSP
_Styled: TypeAlias = list[tuple[dict[str, Any], Price]]  # fields of a Folding, and what they change


class Prices:
    """Prices of the memory styles of one unit's foldings.

    Args:
        unit: The unit.
        part: Part in force; UltraRAM is offered only where it has some.
        model: Cost model.
        weights: Cost of one LUT, BRAM18, URAM and DSP, to keep only the cheapest style; None keeps every style that no
            other one beats in all resources.
    """

    def __init__(self, unit: Unit, part: Part, model: CostModel, weights: Price | None) -> None:
        self._unit, self._part, self._model, self._weights = unit, part, model, weights
        self._styles: tuple[MemoryStyle, ...] = ("distributed", "block", *(("ultra",) if part.uram else ()))
        self._known: dict[tuple[str, int], _Styled] = {}

    def variants(self, plain: Folding) -> Iterator[tuple[Folding, Price]]:
        """Foldings that differ from ``plain`` in memory styles only, with what they cost.

        Args:
            plain: A folding with every memory style ``auto``.
        """
        price, unit = self._ask(plain), self._unit
        memories = [self._changes(plain, price, fields, key) for fields, key in unit.memories(plain)]
        found: _Styled = [({}, price)]
        for changes in memories:
            found = [({**s, **t}, _plus(p, q)) for s, p in found for t, q in changes]
        for styles, total in found:
            rounded = (float(round(total[0])), total[1], total[2], total[3])
            yield replace(plain, **styles) if styles else plain, rounded

    def _changes(self, plain: Folding, price: Price, fields: tuple[str, ...], key: int | None) -> _Styled:
        """Each style worth having of one memory, with what it changes against ``auto``."""
        known = None if key is None else (fields[0], key)
        if known is None or known not in self._known:
            styled: _Styled = [({}, (0.0, 0.0, 0.0, 0.0))]
            for style in self._styles:
                names: dict[str, Any] = dict.fromkeys(fields, style)
                styled.append((names, _minus(self._ask(replace(plain, **names)), price)))
            worth = self._worth(styled)
            if known is None:
                return worth
            self._known[known] = worth
        return self._known[known]

    def _worth(self, styled: _Styled) -> _Styled:
        if self._weights is not None:
            weights = self._weights
            return [min(styled, key=lambda s: sum(w * p for w, p in zip(weights, s[1], strict=True)))]
        return [
            s
            for i, s in enumerate(styled)
            if not any(_beats(o[1], s[1]) or (o[1] == s[1] and j < i) for j, o in enumerate(styled))
        ]

    def _ask(self, folding: Folding) -> Price:
        return self._model.price(self._unit, folding, self._part)


def _plus(a: Price, b: Price) -> Price:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]


def _minus(a: Price, b: Price) -> Price:
    return a[0] - b[0], a[1] - b[1], a[2] - b[2], a[3] - b[3]


def _beats(a: Price, b: Price) -> bool:
    return a != b and all(x <= y for x, y in zip(a, b, strict=True))
