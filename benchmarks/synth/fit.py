"""Fit the estimator's coefficients to synthesis results and report the error on rows that the fit did not see.

Run ``python benchmarks/synth/fit.py``: reads ``data/grid.csv`` (the reference grid) and ``data/measured.csv`` (units
of ``configurations.py``), writes ``brevitas_a2q/hw/_cost/synthesis/coefficients.json``, ``results.json`` and
``results.md``.

Every circuit is fitted by non-negative least squares on relative errors. Bits of carry chains are LUTs by
construction (features ``*.carry`` have coefficient 1), savings (``*.saved``) are the only negative ones. Held-out
errors are those of cross-validation: each row is predicted by a fit to the other folds, equal rows staying together.
The shipped coefficients are fitted to all rows.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from finn import grid_lut, unit_lut
from report import summarise, write_report
from scipy.optimize import nnls
from units import model

from brevitas_a2q.hw._cost.synthesis.rows import RowModel, grid_row_to_prediction

HERE = Path(__file__).resolve().parent
COEFFICIENTS = HERE.parents[1] / "brevitas_a2q" / "hw" / "_cost" / "synthesis" / "coefficients.json"
FOLDS = 5
SMALL = 12  # rows up to which every row is a fold of its own
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """One synthesised row: what it is, what it took, what FINN says, and which rows differ from it in P only."""

    group: str
    model: RowModel
    lut: int
    finn: float | None
    width: int | None
    family: tuple[str, ...]


def read_grid(path: Path) -> list[Sample]:
    """Rows of the reference grid; memories count the LUTs that store, the rest their packed logic."""
    samples = []
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            luts = int(row["lut_pack"]) + (int(row["lutram"]) if row["component"].startswith("wmem") else 0)
            group = " ".join(filter(None, (row["component"], row["flow"] if row["component"] == "mvu_core" else "")))
            names = [name for name in row if name not in ("P", "lut_pack", "lut_carry", "lutram", "bram18", "dsp")]
            family = tuple(row[name] for name in names)
            width = int(row["P"]) if row["P"] and not group.startswith("const") else None
            samples.append(Sample(group, grid_row_to_prediction(row), luts, grid_lut(row), width, family))
    return samples


def read_measured(path: Path) -> list[Sample]:
    """Rows of the units that were synthesised here."""
    samples = []
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            parameters = {k: int(v) for k, v in (item.split("=") for item in row["parameters"].split())}
            luts = int(row["lut_pack"]) + int(row["lutram"]) * (row["circuit"] == "fifo")
            name = row["circuit"]
            group = {"dsp core": "finn_mvu_dsp_rtl", "lut core": "array, binary or wide"}.get(name, name)
            finn = unit_lut(name, parameters)
            samples.append(Sample(group, model(name, parameters), luts, finn, None, (row["parameters"],)))
    return samples


def solve(samples: Sequence[Sample]) -> dict[str, float]:
    """Coefficients that minimise the relative error of one circuit's samples."""
    names = list(samples[0].model.features)
    rows = np.array([[s.model.features[n] * s.model.copies for n in names] for s in samples], np.float64)
    fixed = np.array([1.0 if n.endswith(".carry") else 0.0 for n in names])
    sign = np.array([-1.0 if n.endswith(".saved") else 1.0 for n in names])
    total = np.array([s.lut for s in samples], np.float64)
    rest = total - rows @ fixed - np.array([s.model.exact for s in samples])
    weight = 1 / total
    free = fixed == 0
    found = np.zeros(len(names))
    found[free], _ = nnls((rows * sign * weight[:, None])[:, free], rest * weight)
    return dict(zip(names, np.round(fixed + sign * found, 4).tolist(), strict=True))


def predict(sample: Sample, coefficients: dict[str, float]) -> float:
    """LUTs of a sample by these coefficients."""
    each = sum(coefficients[name] * amount for name, amount in sample.model.features.items())
    return sample.model.copies * each + sample.model.exact


def cross_validate(samples: Sequence[Sample]) -> list[float]:
    """Held-out prediction of every sample of one circuit."""
    keys: dict[tuple[float, ...], int] = {}
    group = np.array([keys.setdefault(_key(s.model), len(keys)) for s in samples])
    folds = len(keys) if len(keys) <= SMALL else FOLDS
    fold = np.random.default_rng(0).permutation(len(keys))[group] % folds
    predictions = np.zeros(len(samples))
    for k in range(folds):
        coefficients = solve([s for s, f in zip(samples, fold, strict=True) if f != k])
        for index in np.flatnonzero(fold == k):
            predictions[index] = predict(samples[index], coefficients)
    return predictions.tolist()


def _key(model: RowModel) -> tuple[float, ...]:
    return (*model.features.values(), model.copies, model.exact)


def fit(samples: Iterable[Sample]) -> tuple[dict[str, dict[str, object]], list[tuple[Sample, float]]]:
    """Coefficients of every circuit, and every sample with its held-out prediction."""
    circuits: dict[str | None, list[Sample]] = defaultdict(list)
    for sample in samples:
        circuits[sample.model.circuit].append(sample)
    coefficients: dict[str, dict[str, object]] = {}
    predicted = []
    for circuit, rows in circuits.items():
        if circuit is None:
            predicted += [(s, float(s.model.exact)) for s in rows]
            continue
        held_out = cross_validate(rows)
        errors = [abs(round(p) - s.lut) / s.lut for s, p in zip(rows, held_out, strict=True)]
        coefficients[circuit] = {
            "coefficients": solve(rows),
            "basis": "fitted",
            "error_band": round(float(np.quantile(errors, 0.9)), 3),
            "source": f"Yosys 0.70 synth_xilinx, UltraScale+, {len(rows)} rows; benchmarks/synth",
        }
        predicted += zip(rows, held_out, strict=True)
    return coefficients, predicted


def main() -> None:
    """Fit, write, report."""
    samples = read_grid(HERE / "data" / "grid.csv") + read_measured(HERE / "data" / "measured.csv")
    coefficients, predicted = fit(samples)
    COEFFICIENTS.write_text(json.dumps(coefficients, indent=1) + "\n", encoding="utf-8")
    rows = summarise(predicted)
    (HERE / "results.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    write_report(rows, HERE / "results.md")


if __name__ == "__main__":
    main()
