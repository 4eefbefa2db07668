"""Exact minimum of a sum of small cost tables, by eliminating one variable after another.

Folding a network without a resource budget is such a problem: one variable per unit, one table per unit for its own
cost, one per stream for what lies between its two ends. Networks are long and thin, so the tables in between stay small
(bucket elimination: R. Dechter, Artificial Intelligence 113, 1999).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Factor", "minimise"]

Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Factor:
    """A table of costs over some variables; axis i of ``table`` is the value of ``variables[i]``."""

    variables: tuple[int, ...]
    table: Floats


def minimise(sizes: Sequence[int], factors: Sequence[Factor]) -> tuple[float, list[int]]:
    """Values of all variables that minimise the sum of all factors.

    Args:
        sizes: Number of values of each variable.
        factors: Tables; a pair of variables may occur in several.

    Returns:
        The least sum, and one value per variable that attains it.

    Example:
        >>> pair = Factor((0, 1), np.array([[5.0, 1.0], [0.0, 9.0]]))
        >>> minimise([2, 2], [pair, Factor((0,), np.array([0.0, 4.0]))])
        (1.0, [0, 1])
    """
    buckets: dict[int, list[Factor]] = {v: [] for v in range(len(sizes))}
    for factor in factors:
        for v in factor.variables:
            buckets[v].append(factor)
    decisions: list[tuple[int, tuple[int, ...], npt.NDArray[np.intp]]] = []
    total = 0.0
    scopes = {v: _scope(bucket, v) for v, bucket in buckets.items()}
    tables = {v: prod(sizes[u] for u in scope) for v, scope in scopes.items()}
    while buckets:
        variable = min(tables, key=tables.__getitem__)
        around = scopes.pop(variable)
        del tables[variable]
        joint = np.zeros([sizes[v] for v in (*around, variable)])
        for factor in buckets.pop(variable):
            joint += _spread(factor, (*around, variable))
            for v in factor.variables:
                if v != variable:
                    buckets[v].remove(factor)
        decisions.append((variable, around, joint.argmin(axis=-1)))
        least = Factor(around, joint.min(axis=-1))
        for v in around:
            buckets[v].append(least)
            scopes[v] = _scope(buckets[v], v)
            tables[v] = prod(sizes[u] for u in scopes[v])
        if not around:
            total += float(least.table)
    values = [0] * len(sizes)
    for variable, around, best in reversed(decisions):
        values[variable] = int(best[tuple(values[v] for v in around)])
    return total, values


def _scope(bucket: Sequence[Factor], variable: int) -> tuple[int, ...]:
    return tuple(sorted({v for factor in bucket for v in factor.variables} - {variable}))


def _spread(factor: Factor, axes: tuple[int, ...]) -> Floats:
    """The factor's table with its axes in the order of ``axes``, and length 1 where it does not depend on one."""
    order = sorted(range(len(factor.variables)), key=lambda i: axes.index(factor.variables[i]))
    lengths = iter(factor.table.transpose(order).shape)
    shape = [next(lengths) if v in factor.variables else 1 for v in axes]
    spread: Floats = factor.table.transpose(order).reshape(shape)
    return spread
