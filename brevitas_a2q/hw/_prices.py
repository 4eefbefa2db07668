"""What every memory style of a folding costs, from few calls of the cost model.

A matrix unit is the sum of its array, its weight memory and its threshold memory. The array depends on PE, SIMD and the
kind of multiplier; the weight memory on PE * SIMD and its style; the threshold memory on PE and its style. So what a
memory style changes is asked for once, not again for every combination of the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from brevitas_a2q.hw._cost.model import CostModel
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._ir import Folding, Graph, MatrixUnit, Unit
from brevitas_a2q.hw._units.base import Memory

__all__ = ["Price", "Prices", "with_styles"]

Price: TypeAlias = tuple[float, float, float, float]  # LUT, BRAM18, URAM, DSP
_FIELDS = ("ram_style", "ram_style_thresholds")
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
        self._known: dict[tuple[str, int], _Styled] = {}

    def variants(self, plain: Folding) -> Iterator[tuple[Folding, Price]]:
        """Foldings that differ from ``plain`` in memory styles only, with what they cost.

        Args:
            plain: A folding with every memory style ``auto``.
        """
        price, unit = self._ask(plain), self._unit
        found: _Styled = [({}, price)]
        for memory in unit.memories(plain):
            found = [({**s, **t}, _plus(p, q)) for s, p in found for t, q in self._changes(plain, price, memory)]
        for styles, total in found:
            rounded = (float(round(total[0])), total[1], total[2], total[3])
            yield replace(plain, **styles) if styles else plain, rounded

    def _changes(self, plain: Folding, price: Price, memory: Memory) -> _Styled:
        """Each style worth having of one memory, with what it changes against ``auto``."""
        known = None if memory.key is None else (memory.fields[0], memory.key)
        if known is None or known not in self._known:
            styled: _Styled = []
            for style in memory.styles(self._part):
                names: dict[str, Any] = dict.fromkeys(memory.fields, style)
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


def with_styles(
    graph: Graph, foldings: Mapping[str, Folding], part: Part, model: CostModel, weights: Price
) -> dict[str, Folding]:
    """Foldings with every style that they leave open as it is cheapest, and multipliers in LUTs where those are open.

    Args:
        graph: The network.
        foldings: Folding of each unit.
        part: Part in force.
        model: Cost model.
        weights: Cost of one LUT, BRAM18, URAM and DSP.
    """
    done = {}
    for unit in graph.units:
        given = foldings[unit.name]
        if isinstance(unit, MatrixUnit) and given.compute == "auto":
            given = replace(given, compute="lut")
        plain = replace(given, ram_style="auto", ram_style_thresholds="auto")
        cheapest, _ = next(Prices(unit, part, model, weights).variants(plain))
        chosen = {name: getattr(given, name) for name in _FIELDS if getattr(given, name) != "auto"}
        done[unit.name] = replace(cheapest, **chosen)
    return done


def _plus(a: Price, b: Price) -> Price:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]


def _minus(a: Price, b: Price) -> Price:
    return a[0] - b[0], a[1] - b[1], a[2] - b[2], a[3] - b[3]


def _beats(a: Price, b: Price) -> bool:
    return a != b and all(x <= y for x, y in zip(a, b, strict=True))
