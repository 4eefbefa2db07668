"""Zeros among -1 and 1: what padding writes, and what moves it on, is of a type that holds them."""

from __future__ import annotations

from collections.abc import Iterable

from brevitas_a2q.hw._ir import Padding, PixelPadding, Unit

__all__ = ["with_zeros"]


def with_zeros(units: Iterable[Unit]) -> tuple[Unit, ...]:
    """The units with the types that follow where bipolar integers are padded; all others stay."""
    found: dict[str, Unit] = {}
    wider: set[str] = set()
    for unit in units:
        pads = isinstance(unit, Padding | PixelPadding) and unit.output_type.name == "BIPOLAR"
        if pads or not wider.isdisjoint(unit.inputs):
            types = [found[name].output_type if name in found else unit.input_type for name in unit.inputs]
            before, unit = unit.output_type, unit.retyped(types)
            if unit.output_type != before:
                wider.add(unit.name)
        found[unit.name] = unit
    return tuple(found.values())
