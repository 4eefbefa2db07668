"""Fitted coefficients: what synthesis of reference RTL says one unit of a feature costs in LUTs.

Every unit's LUT count is a sum of *features* (adder bits, comparator bits, counter bits) times coefficients. The
features are equations of this package; the coefficients are in ``coefficients.json``, written by
``benchmarks/synth/fit.py`` from committed synthesis results, with the 90th percentile of the relative error on rows
that the fit did not see.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from typing import cast

from brevitas_a2q.hw._cost.result import Basis, CostTerm

__all__ = ["FITS", "Features", "Fit", "lut", "terms"]

Features = Mapping[str, float]


@dataclass(frozen=True)
class Fit:
    """Coefficients of one kind of circuit.

    ``coefficients`` maps a feature to LUTs per unit of it; a feature is named ``term.detail`` (or ``term``), and
    features of one term are reported together.
    """

    coefficients: Mapping[str, float]
    basis: Basis
    error_band: float | None
    source: str

    @cached_property
    def by_term(self) -> dict[str, tuple[str, float]]:
        """Term and coefficient of each feature."""
        return {name: (name.partition(".")[0], value) for name, value in self.coefficients.items()}


def _load() -> dict[str, Fit]:
    text = resources.files(__package__).joinpath("coefficients.json").read_text(encoding="utf-8")
    return {
        name: Fit(entry["coefficients"], cast(Basis, entry["basis"]), entry["error_band"], entry["source"])
        for name, entry in json.loads(text).items()
    }


FITS = _load()


def lut(circuit: str, features: Features) -> float:
    """LUTs of a circuit with these features.

    Args:
        circuit: A name in :data:`FITS`.
        features: Amount of each feature; arrays are allowed.

    Raises:
        KeyError: If the circuit or one of its features has no coefficient: nothing costs zero by omission.
    """
    coefficients = FITS[circuit].coefficients
    return sum(coefficients[name] * amount for name, amount in features.items())


def terms(circuit: str, features: Features, copies: float = 1) -> tuple[CostTerm, ...]:
    """The same sum as cost terms, features of one term added up, ``copies`` circuits in all.

    Example:
        >>> features = {"multipliers.carry": 8, "multipliers.rows": 2, "accumulator.carry": 16}
        >>> [t.name for t in terms("lut core", features)]
        ['multipliers', 'accumulator']
    """
    fit = FITS[circuit]
    by_term = fit.by_term
    sums: dict[str, float] = {}
    for name, amount in features.items():
        term, coefficient = by_term[name]
        sums[term] = sums.get(term, 0.0) + coefficient * amount
    return tuple(CostTerm(name, copies * value, fit.basis, fit.error_band) for name, value in sums.items())
