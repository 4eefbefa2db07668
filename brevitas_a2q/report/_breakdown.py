"""Where an estimate's LUTs go: per layer and family of terms for figures, per term with its label for tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from brevitas_a2q.hw._cost.result import Basis
from brevitas_a2q.hw._design import Row
from brevitas_a2q.hw._estimation import Estimate

__all__ = ["FAMILIES", "LayerShare", "TermTotal", "largest", "layer_shares", "term_totals"]

_OTHER: Final = "control and other"
_STREAMS: Final = "FIFOs and width converters"
_UNDIVIDED: Final = "not divided (FINN's formulas)"
_FAMILY_OF: Final = {
    "multipliers": "multipliers",
    "lanes": "multipliers",
    "adder tree": "adders",
    "adder trees": "adders",
    "adders": "adders",
    "accumulator": "accumulator",
    "comparators": "thresholds",
    "clipping": "thresholds",
    "count": "thresholds",
    "pipeline": "thresholds",
    "threshold memory": "thresholds",
    "weight memory": "weight memory",
    "parameter memory": "weight memory",
    "window buffer": "data buffers",
    "window delays": "data buffers",
    "line buffer": "data buffers",
    "line buffers": "data buffers",
    "input buffer": "data buffers",
    "sums": "data buffers",
}
FAMILIES: Final = (*dict.fromkeys(_FAMILY_OF.values()), _OTHER, _STREAMS, _UNDIVIDED)


@dataclass(frozen=True)
class LayerShare:
    """One unit with the FIFOs and width converters in front of it."""

    name: str
    luts: Mapping[str, float]  # family -> LUTs
    cycles: int | None  # per image; None for several units together

    @property
    def total(self) -> float:
        """LUTs of all families."""
        return sum(self.luts.values())


@dataclass(frozen=True)
class TermTotal:
    """One term of the cost model over the whole network, as far as it has one label."""

    name: str
    lut: float
    basis: Basis
    error_band: float | None


def layer_shares(estimate: Estimate) -> tuple[LayerShare, ...]:
    """Every unit in the network's order; what lies between two units is counted with the one that reads it."""
    found: list[LayerShare] = []
    streams = 0
    for row in estimate.rows:
        if row.cycles is None:  # a FIFO or width converter; the unit it feeds comes next
            streams += row.resources.lut
            continue
        luts = _families(row)
        if streams:
            luts[_STREAMS] = streams
        found.append(LayerShare(row.name, luts, row.cycles))
        streams = 0
    return tuple(found)


def _families(row: Row) -> dict[str, float]:
    luts: dict[str, float] = {}
    for term in row.terms:
        family = _UNDIVIDED if term.basis == "FINN parity" else _FAMILY_OF.get(term.name, _OTHER)
        luts[family] = luts.get(family, 0.0) + term.lut
    return luts


def largest(layers: Sequence[LayerShare], most: int) -> tuple[LayerShare, ...]:
    """The layers with the most LUTs, in the network's order, and the rest as one at the end."""
    if len(layers) <= most:
        return tuple(layers)
    chosen = sorted(range(len(layers)), key=lambda i: layers[i].total, reverse=True)[: most - 1]
    rest = [layer for i, layer in enumerate(layers) if i not in chosen]
    luts = {family: sum(layer.luts.get(family, 0.0) for layer in rest) for family in FAMILIES}
    return (*(layers[i] for i in sorted(chosen)), LayerShare(f"{len(rest)} smaller units", luts, None))


def term_totals(estimate: Estimate) -> tuple[TermTotal, ...]:
    """Terms of all units, FIFOs and width converters added up by name and label, the largest first."""
    sums: dict[tuple[str, Basis, float | None], float] = {}
    for row in estimate.rows:
        for term in row.terms:
            key = (term.name, term.basis, term.error_band)
            sums[key] = sums.get(key, 0.0) + term.lut
    totals = (TermTotal(name, lut, basis, band) for (name, basis, band), lut in sums.items() if lut)
    return tuple(sorted(totals, key=lambda term: -term.lut))
