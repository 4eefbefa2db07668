"""Accumulator policies: which width each layer's accumulator gets, and what follows from it downstream.

- ``32``: 32 bits everywhere, no silent cap: the baseline of the papers.
- ``data-type``: the published bound of the data types.
- ``exact``: the exact range of the frozen weights over every input of their type.
- ``range``: the same over the inputs that range analysis of the whole network leaves (SIRA, arXiv 2508.21493).
- ``trained``: the width the network was trained for; ``exact`` where the file names none.
- ``fixed:P``: P bits on every layer, a what-if; layers that would overflow are warned of.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.bounds import (
    MAX_ACCUMULATOR_BITS,
    MIN_ACCUMULATOR_BITS,
    data_type_bound,
    required_bit_width,
)
from brevitas_a2q.errors import A2QError
from brevitas_a2q.hw._ir import Graph, MatrixUnit, Unit

__all__ = ["POLICIES", "AppliedPolicy", "accumulator_bit_width", "apply_policy", "parse_policy"]

POLICIES: Final = ("32", "data-type", "exact", "range", "trained")
_FIXED: Final = re.compile(r"fixed:(\d+)")


@dataclass(frozen=True)
class AppliedPolicy:
    """A graph with the accumulator widths of a policy; its own warnings, and those of layers that would overflow."""

    policy: str
    graph: Graph
    warnings: tuple[str, ...]


def parse_policy(policy: str) -> int | None:
    """Check a policy's name; the width of ``32`` and ``fixed:P``, None for the others.

    Raises:
        A2QError: For anything else, or a width outside 2 to 64.

    Example:
        >>> parse_policy("fixed:12"), parse_policy("exact")
        (12, None)
    """
    fixed = _FIXED.fullmatch(policy)
    if not fixed:
        if policy not in POLICIES:
            raise A2QError(f"found accumulator policy {policy!r}", expected=f"{', '.join(POLICIES)} or fixed:P")
        return 32 if policy == "32" else None
    bits = int(fixed[1])
    if not MIN_ACCUMULATOR_BITS <= bits <= MAX_ACCUMULATOR_BITS:
        raise A2QError(
            f"found accumulator policy {policy!r}", expected=f"P from {MIN_ACCUMULATOR_BITS} to {MAX_ACCUMULATOR_BITS}"
        )
    return bits


def accumulator_bit_width(unit: MatrixUnit, policy: str) -> int:
    """The width of one layer's accumulator under a policy.

    Args:
        unit: A matrix or depthwise unit.
        policy: One of :data:`POLICIES`, or ``fixed:P``.
    """
    bits = parse_policy(policy)
    if bits is not None:
        return bits
    products, inputs, weights = int(unit.weights.shape[1]), unit.input_type, unit.weight_type
    if policy == "data-type":
        return data_type_bound(products, inputs.bit_width, weights.bit_width, inputs.signed)
    if policy == "range":
        return _width(unit.analysed_range or unit.accumulator_range)
    if policy == "trained" and unit.trained_accumulator_bit_width is not None:
        return unit.trained_accumulator_bit_width
    return _width(unit.accumulator_range)


def apply_policy(graph: Graph, policy: str) -> AppliedPolicy:
    """Set every accumulator to its width under a policy, and give every unit the types that follow from it.

    A unit whose inputs keep the types that the front end gave them keeps its own: those hold its values.

    Raises:
        A2QError: For an unknown policy.
    """
    done: dict[str, Unit] = {"": graph.input}
    before = {unit.name: unit.output_type for unit in (graph.input, *graph.units)}
    warnings = list(graph.warnings)
    for unit in graph.units:
        types = [done[name].output_type for name in unit.inputs]
        changed = types != [before[name] for name in unit.inputs]
        unit = unit.retyped(types) if changed else unit
        if isinstance(unit, MatrixUnit):
            # What range analysis rules out cannot overflow, so it decides what is warned of.
            required = _width(unit.analysed_range or unit.accumulator_range)
            bits = accumulator_bit_width(unit, policy)
            if bits < required:
                warnings.append(
                    f"{unit.kind} {unit.name}: {bits} accumulator bits overflow for some input, {required} hold"
                )
            unit = unit.with_accumulator(IntType.of(max(2, bits), signed=True))
        done[unit.name] = unit
    return AppliedPolicy(policy, replace(graph, units=tuple(done[u.name] for u in graph.units)), tuple(warnings))


def _width(sums: tuple[int, int]) -> int:
    return max(MIN_ACCUMULATOR_BITS, required_bit_width(*sums))
