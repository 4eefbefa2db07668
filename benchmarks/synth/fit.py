"""Fit the estimator's coefficients to synthesis and report the error on rows that the fit did not see.

Run ``python benchmarks/synth/fit.py``: reads ``data/units.csv`` (the accelerator's own units, see ``samples.py``),
``data/grid.csv`` (the reference grid) and ``data/arrays.csv`` (FINN's arrays in DSP blocks, and others), writes
``brevitas_a2q/hw/_cost/synthesis/coefficients.json``, ``results.json`` and ``results.md``.

All coefficients are found together by non-negative least squares on relative errors, because units share circuits
(every unit has counters). Bits of carry chains are LUTs by construction (features ``*.carry`` have coefficient 1),
savings (``*.saved``) are the only negative ones. Held-out errors are those of cross-validation: each row is predicted
by a fit to all others. The shipped coefficients are fitted to all rows.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from finn import grid_lut, unit_lut
from report import summarise, write_report
from samples import samples
from scipy.optimize import nnls

from brevitas_a2q.hw._cost.synthesis.dsp import dsp_core_features
from brevitas_a2q.hw._cost.synthesis.fits import Features
from brevitas_a2q.hw._cost.synthesis.rows import grid_row_to_prediction
from brevitas_a2q.hw._devices import find_part

HERE = Path(__file__).resolve().parent
COEFFICIENTS = HERE.parents[1] / "brevitas_a2q" / "hw" / "_cost" / "synthesis" / "coefficients.json"
PART = "xczu7ev"
LATE = ("comparison",)  # fitted when all others are: many rows of a rare circuit, which must not move what all share
LEAST = 4  # LUTs below which an error counts as one of so many
Array = npt.NDArray[np.float64]
Key = tuple[str, str]  # circuit, feature


@dataclass(frozen=True)
class Row:
    """One synthesised circuit: what it is made of, what it took, what FINN says, and which rows differ in P only."""

    group: str
    circuits: tuple[tuple[str, Features, float], ...]
    exact: float
    lut: int
    finn: float | None = None
    width: int | None = None
    family: tuple[str, ...] = ()


def read_grid(path: Path) -> list[Row]:
    """Rows of the reference grid; memories count the LUTs that store, the rest their packed logic."""
    rows = []
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            luts = int(row["lut_pack"]) + (int(row["lutram"]) if row["component"].startswith("wmem") else 0)
            group = " ".join(filter(None, (row["component"], row["flow"] if row["component"] == "mvu_core" else "")))
            names = [name for name in row if name not in ("P", "lut_pack", "lut_carry", "lutram", "bram18", "dsp")]
            width = int(row["P"]) if row["P"] and not group.startswith("const") else None
            model = grid_row_to_prediction(row)
            circuits = ((model.circuit, model.features, model.copies),) if model.circuit else ()
            family = tuple(row[name] for name in names)
            rows.append(Row(group, circuits, model.exact, luts, grid_lut(row), width, family))
    return rows


def read_arrays(path: Path) -> list[Row]:
    """Arrays of other RTL than the grid's: FINN's in DSP blocks, and binary or wide ones in LUTs."""
    found = []
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            p = {k: int(v) for k, v in (item.split("=") for item in row["parameters"].split())}
            lut = int(row["lut_pack"])
            if row["circuit"] == "dsp core":
                features = dsp_core_features(p["W"], p["A"], p["SIMD"], p["PE"], p["P"])
                found.append(Row("finn_mvu_dsp_rtl", (("dsp core", features, 1),), 0, lut, 0.0))
            else:
                model = grid_row_to_prediction({"component": "mvu_core", **p})
                found.append(
                    Row("array, binary or wide", ((str(model.circuit), model.features, model.copies),), 0, lut)
                )
    return found


def read_units(path: Path) -> list[Row]:
    """The accelerator's own units."""
    part = find_part(PART)
    known = {s.name: s for s in samples()}
    rows = []
    with path.open(newline="") as file:
        for line in csv.DictReader(file):
            sample = known[line["sample"]]
            bill = sample.unit.bill(sample.folding, part)
            exact = sum(memory.lut for memory in bill.memories)
            finn = unit_lut(sample.unit)
            group = "layers of constants" if sample.name.startswith("constants") else sample.unit.kind
            rows.append(Row(group, tuple(bill.circuits), exact, int(line["lut"]), finn))
    return rows


def _matrix(rows: Sequence[Row], keys: Sequence[Key]) -> Array:
    place = {key: i for i, key in enumerate(keys)}
    matrix = np.zeros((len(rows), len(keys)))
    for i, row in enumerate(rows):
        for circuit, features, copies in row.circuits:
            for name, amount in features.items():
                matrix[i, place[circuit, name]] += copies * amount
    return matrix


def solve(rows: Sequence[Row], keys: Sequence[Key]) -> Array:
    """Coefficients that minimise the relative errors."""
    matrix = _matrix(rows, keys)
    fixed = np.array([1.0 if name.endswith(".carry") else 0.0 for _, name in keys])
    sign = np.array([-1.0 if name.endswith(".saved") else 1.0 for _, name in keys])
    total = np.array([row.lut for row in rows], np.float64)
    rest = total - matrix @ fixed - np.array([row.exact for row in rows])
    weight = 1 / np.maximum(total, LEAST)
    found = np.zeros(len(keys))
    late_rows = np.array([any(circuit in LATE for circuit, _, _ in row.circuits) for row in rows])
    late_keys = np.array([circuit in LATE for circuit, _ in keys])
    for of_rows, of_keys in ((~late_rows, ~late_keys), (late_rows, late_keys)):
        free = (fixed == 0) & of_keys
        left = (rest - matrix @ (sign * found)) * weight
        if of_rows.any() and free.any():
            found[free], _ = nnls((matrix * sign * weight[:, None])[np.ix_(of_rows, free)], left[of_rows])
    rounded: Array = np.round(fixed + sign * found, 4)
    return rounded


def predict(rows: Sequence[Row], keys: Sequence[Key], coefficients: Array) -> Array:
    """LUTs of rows by these coefficients."""
    found: Array = _matrix(rows, keys) @ coefficients + np.array([row.exact for row in rows])
    return found


def cross_validate(rows: Sequence[Row], keys: Sequence[Key]) -> Array:
    """Prediction of every row by a fit to all rows that are not the same circuit; NaN where those lack a feature."""
    same = [tuple((c, tuple(f.items()), n) for c, f, n in row.circuits) for row in rows]
    predictions = np.zeros(len(rows))
    for circuit in set(same):
        unseen = [i for i, other in enumerate(same) if other == circuit]
        rest = [row for row, other in zip(rows, same, strict=True) if other != circuit]
        unknown = _matrix([rows[unseen[0]]], keys).any(axis=0) & ~_matrix(rest, keys).any(axis=0)
        known = np.nan if unknown.any() else 1.0
        predictions[unseen] = known * predict([rows[i] for i in unseen], keys, solve(rest, keys))
    return predictions


def fit(rows: Sequence[Row], source: str) -> tuple[dict[str, dict[str, object]], list[tuple[Row, float]]]:
    """Coefficients of every circuit, and every row with its held-out prediction."""
    keys = sorted({(circuit, name) for row in rows for circuit, features, _ in row.circuits for name in features})
    held_out = cross_validate(rows, keys)
    predicted = [(row, p) for row, p in zip(rows, held_out.tolist(), strict=True) if not np.isnan(p)]
    errors: dict[str, list[float]] = {circuit: [] for circuit, _ in keys}
    for row, prediction in predicted:
        for circuit in {c for c, _, _ in row.circuits}:
            errors[circuit].append(abs(round(prediction) - row.lut) / max(row.lut, 1))
    coefficients: dict[str, dict[str, object]] = {
        circuit: {
            "coefficients": {},
            "basis": "fitted",
            "error_band": round(float(np.quantile(found, 0.9)), 3) if found else None,
            "source": f"Yosys 0.70 synth_xilinx, UltraScale+, {len(found)} rows of {source}; benchmarks/synth",
        }
        for circuit, found in sorted(errors.items())
    }
    for (circuit, name), value in zip(keys, solve(rows, keys).tolist(), strict=True):
        coefficients[circuit]["coefficients"][name] = value  # type: ignore[index]
    return coefficients, predicted


def every_row() -> dict[str, list[Row]]:
    """All rows by their source."""
    data = HERE / "data"
    grid = read_grid(data / "grid.csv")
    # The grid's layers of constants are adders of the same kind, and more of them.
    constants = [
        replace(row, group="layers of constants", circuits=tuple(("constant layer", f, n) for _, f, n in row.circuits))
        for row in grid
        if row.group == "const_layer:csd"
    ]
    return {
        "the accelerator's units": [*read_units(data / "units.csv"), *constants],
        "a reference grid": [*grid, *read_arrays(data / "arrays.csv")],
    }


def main() -> None:
    """Fit, write, report."""
    coefficients: dict[str, dict[str, object]] = {}
    tables = []
    for source, rows in every_row().items():
        found, predicted = fit(rows, source)
        coefficients |= found
        tables.append((source, summarise(predicted)))
    COEFFICIENTS.write_text(json.dumps(coefficients, indent=1) + "\n", encoding="utf-8")
    (HERE / "results.json").write_text(json.dumps(dict(tables), indent=1) + "\n", encoding="utf-8")
    write_report(tables, HERE / "results.md")


if __name__ == "__main__":
    main()
