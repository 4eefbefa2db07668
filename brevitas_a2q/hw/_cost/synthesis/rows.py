"""Rows of a synthesis grid as circuits of this model: bare units described by parameters instead of a graph.

:func:`grid_row_to_prediction` is the one map from a row to features; the fit of the coefficients and the prediction
of rows it never saw both go through it. Column names are those of ``benchmarks/synth/data/grid.csv``: ``component``,
``W`` and ``A`` (bits of weights and activations), ``SIMD``, ``PE``, ``P`` (accumulator bits), ``B`` (output bits of
thresholds), ``CF`` (channels per PE), ``D`` and ``WD`` (words and bits of a memory), ``K``, ``MH`` and ``csd_digits``
(of constant weights), ``flow``, ``MUL`` and ``PIPE`` (how the array was written and synthesised).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from brevitas_a2q.errors import ConfigError
from brevitas_a2q.hw._cost.synthesis.core import core_features, soft_core_features
from brevitas_a2q.hw._cost.synthesis.dsp import dsp_core_features
from brevitas_a2q.hw._cost.synthesis.fits import Features, lut
from brevitas_a2q.hw._cost.synthesis.thresholds import (
    binary_search_features,
    binary_search_memories,
    parallel_features,
)
from brevitas_a2q.hw._cost.synthesis.unrolled import unrolled_features
from brevitas_a2q.hw._memory import lutram_luts, rom_luts

__all__ = ["RowModel", "grid_row_to_prediction", "predict_row"]

_BLOCK_RAM_WORDS = 512  # Yosys puts read-only memories of this depth into block RAM when it may


@dataclass(frozen=True)
class RowModel:
    """A row as ``copies`` of a fitted circuit plus LUTs that are known exactly."""

    circuit: str | None
    features: Features
    copies: int = 1
    exact: int = 0

    @property
    def lut(self) -> float:
        """LUTs by the shipped coefficients."""
        fitted = self.copies * lut(self.circuit, self.features) if self.circuit else 0.0
        return fitted + self.exact


class _Row:
    """Integers of a row; an absent or empty column has its default."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        self._row = row

    def __call__(self, name: str, default: int | None = None) -> int:
        value = self._row.get(name)
        if value is None or value == "" or value != value:
            if default is None:
                raise ConfigError(f"found no {name}", where=f"row {self.component}", expected="an integer")
            return default
        return int(float(value))

    @property
    def component(self) -> str:
        return str(self._row.get("component") or "mvu_core")

    @property
    def flow(self) -> str:
        return str(self._row.get("flow") or "ripple")


def _core(row: _Row) -> RowModel:
    w, a, simd, p = row("W"), row("A"), row("SIMD"), row("P")
    if row.flow == "std" or not row("MUL", 1):
        return RowModel("soft core", soft_core_features(w, a, simd, p), row("PE", 1))
    circuit = "lut core" if row("PIPE", 2) else "unregistered core"
    return RowModel(circuit, core_features(w, a, simd, p), row("PE", 1))


def _dsp(row: _Row) -> RowModel:
    return RowModel("dsp core", dsp_core_features(row("W"), row("A"), row("SIMD"), row("PE", 1), row("P")))


def _parallel(row: _Row) -> RowModel:
    steps, p, fold = (1 << row("B")) - 1, row("P"), row("CF", 1)
    circuit = "parallel thresholds" if fold > 1 else "constant thresholds"
    return RowModel(circuit, parallel_features(steps, p, fold), row("PE", 1), row("PE", 1) * rom_luts(fold, steps * p))


def _binary(row: _Row) -> RowModel:
    steps, p, fold = (1 << row("B")) - 1, row("P"), row("CF", 1)
    exact = sum(rom_luts(*shape) for shape in binary_search_memories(steps, p, fold))
    return RowModel("binary search", binary_search_features(row("B"), p, fold), row("PE", 1), row("PE", 1) * exact)


def _unrolled(circuit: str) -> Callable[[_Row], RowModel]:
    def model(row: _Row) -> RowModel:
        channels = row("MH")
        return RowModel(circuit, unrolled_features(row("A"), [row("csd_digits") / channels] * channels))

    return model


def _adder_graph(row: _Row) -> RowModel:
    return RowModel("adder graph", {"adders.cost": row("da4ml_cost"), "adders.saved": 1})


def _memory(row: _Row) -> RowModel:
    words, bits = row("D"), row("WD")
    if row("WR", 0):
        return RowModel(None, {}, exact=lutram_luts(words, bits))
    in_block = row.component.endswith("auto") and words >= _BLOCK_RAM_WORDS
    return RowModel(None, {}, exact=0 if in_block else rom_luts(words, bits))


_MODELS: dict[str, Callable[[_Row], RowModel]] = {
    "mvu_core": _core,
    "finn_mvu_dsp_rtl": _dsp,
    "threshold:par": _parallel,
    "threshold:finn_bs": _binary,
    "wmem:rom_dist": _memory,
    "wmem:rom_auto": _memory,
    "wmem:lutram_rw": _memory,
    "const_layer:csd": _unrolled("unrolled"),
    "const_layer:star": _unrolled("constant multipliers"),
    "const_layer:da4ml_RTL_UNVERIFIED": _adder_graph,
}


def grid_row_to_prediction(row: Mapping[str, Any]) -> RowModel:
    """The circuit, its features and the exact part of one row.

    Args:
        row: Column names to values; numbers may be text, absent columns take what a design would use.

    Raises:
        ConfigError: If the component is unknown or a column it needs is absent.
    """
    parsed = _Row(row)
    if parsed.component not in _MODELS:
        raise ConfigError(f"found component {parsed.component!r}", expected=f"one of {', '.join(_MODELS)}")
    return _MODELS[parsed.component](parsed)


def predict_row(row: Mapping[str, Any]) -> float:
    """LUTs of one row: packed logic, and for memories the LUTs that store.

    Example:
        >>> row = {"component": "mvu_core", "W": 8, "A": 8, "SIMD": 4, "PE": 1}
        >>> [round(predict_row(row | {"P": p}), -1) for p in (32, 16, 12, 8)]
        [330.0, 310.0, 270.0, 150.0]
    """
    return grid_row_to_prediction(row).lut
