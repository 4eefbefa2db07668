"""What a search weighs against each other, by name, and what it is in a run's result."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from brevitas_a2q._settings import nearest
from brevitas_a2q.errors import ConfigError, SweepError
from brevitas_a2q.sweep._summary import Summary

__all__ = ["OBJECTIVES", "Objective", "objectives_of", "values_of"]

Direction = Literal["maximize", "minimize"]


@dataclass(frozen=True)
class Objective:
    """A number of a finished run, and which way is better; ``field`` is its name in :class:`Summary`."""

    name: str
    direction: Direction
    field: str

    def of(self, summary: Summary) -> float | None:
        """The number of one run."""
        value: float | None = getattr(summary, self.field)
        return value


OBJECTIVES: Final[Mapping[str, Objective]] = {
    "metric": Objective("metric", "maximize", "last"),
    **{
        name: Objective(name, "minimize", name)
        for name in ("accumulator_bit_width", "mean_accumulator_bit_width", "lut")
    },
    **{name: Objective(name, "maximize", name) for name in ("sparsity", "compression")},
}
"""``metric`` is the one after the last epoch: the test set chooses no epoch."""


def objectives_of(names: Sequence[str], where: str) -> tuple[Objective, ...]:
    """Objectives by name.

    Raises:
        ConfigError: There is none of this name, or one is given twice.
    """
    for name in names:
        if name not in OBJECTIVES:
            expected = f"some of {', '.join(OBJECTIVES)}"
            remedy = nearest(name, OBJECTIVES)
            raise ConfigError(f"found the objective {name!r}", where=where, expected=expected, remedy=remedy)
    if len(set(names)) < len(names) or not names:
        raise ConfigError(f"found the objectives {list(names)}", where=where, expected="each one once")
    return tuple(OBJECTIVES[name] for name in names)


def values_of(objectives: Sequence[Objective], summary: Summary, in_grid: bool = False) -> list[float]:
    """The objectives' values of a finished run.

    Args:
        objectives: Which.
        summary: Of the run.
        in_grid: Whether nothing is chosen by them: then a float network, which has no accumulators and no design,
            has the worst of all values there, instead of being an error.

    Raises:
        SweepError: The run has no such number, or it is not finite.
    """
    values = []
    for objective in objectives:
        value = objective.of(summary)
        if value is None and in_grid and summary.method == "float":
            values.append(math.inf if objective.direction == "minimize" else -math.inf)
            continue
        if value is None or not math.isfinite(value):
            remedy = None if objective.name != "lut" else summary.estimate_reason or "give the base an `estimate`"
            raise SweepError(f"the run has no {objective.name} ({value})", expected="a finite number", remedy=remedy)
        values.append(float(value))
    return values
