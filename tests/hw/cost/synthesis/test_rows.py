"""Predictions of bare circuits against synthesis: the reference grid and published counts."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brevitas_a2q.errors import ConfigError
from brevitas_a2q.hw._cost.synthesis.fits import FITS
from brevitas_a2q.hw._cost.synthesis.rows import grid_row_to_prediction, predict_row

BENCHMARK = Path(__file__).parents[4] / "benchmarks" / "synth"
CORE = {"component": "mvu_core", "W": 8, "A": 8, "SIMD": 4, "PE": 1}
UNROLLED = {"component": "const_layer:csd", "A": 8, "K": 64, "MH": 4}
DSP = {"component": "finn_mvu_dsp_rtl", "W": 8, "A": 8, "SIMD": 8, "PE": 4}
STORED = "wmem"


def _grid() -> list[dict[str, str]]:
    with (BENCHMARK / "data" / "grid.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _luts(row: dict[str, str]) -> int:
    return int(row["lut_pack"]) + (int(row["lutram"]) if row["component"].startswith(STORED) else 0)


@pytest.mark.parametrize(
    ("row", "published", "band"),
    [
        # Yosys 0.70, published with the reference grid: array, unrolled unit, array in DSP blocks.
        *((CORE | {"P": p}, n, 0.04) for p, n in ((32, 333), (16, 308), (12, 258), (8, 146))),
        *((UNROLLED | {"csd_digits": d}, n, 0.05) for d, n in ((568, 4730), (51, 386), (10, 39))),
        *((DSP | {"P": p}, n, 0.08) for p, n in ((8, 337), (12, 466), (16, 591), (20, 699), (24, 802))),
    ],
)
def test_published_counts(row: dict[str, Any], published: int, band: float) -> None:
    assert predict_row(row) == pytest.approx(published, rel=band)


def test_carry_chains_are_counted_exactly() -> None:
    rows = [r for r in _grid() if r["component"] == "mvu_core" and r["flow"] == "ripple"]
    assert len(rows) > 100
    for row in rows:
        model = grid_row_to_prediction(row)
        bits = sum(amount for name, amount in model.features.items() if name.endswith(".carry"))
        assert model.copies * bits == int(row["lut_carry"]), row


@pytest.mark.parametrize("words", [16, 64, 128, 256])
def test_read_only_memories_are_counted_exactly(words: int) -> None:
    rows = [r for r in _grid() if r["component"] == "wmem:rom_dist" and int(r["D"]) == words]
    assert rows
    for row in rows:
        assert predict_row(row) == pytest.approx(_luts(row), abs=1)


def test_every_row_is_within_its_circuits_band() -> None:
    errors: dict[str, list[float]] = defaultdict(list)
    for row in _grid():
        if _luts(row):
            errors[row["component"] + row["flow"]].append(abs(predict_row(row) / _luts(row) - 1))
        else:
            assert predict_row(row) == 0
    for component, found in errors.items():
        core = component == "mvu_coreripple"
        assert np.median(found) <= (0.05 if core else 0.10), component
        assert np.quantile(found, 0.9) <= 0.20, component


HELD_OUT = [line for lines in json.loads((BENCHMARK / "results.json").read_text()).values() for line in lines]


# Kinds of the accelerator that miss 10 % (matrix units: 5 %) and 20 %, and by how much: 5 to 24 rows each, most of them
# small units, whose median error is 1 to 8 LUTs.
EXEMPT = {
    "Thresholding": (0.10, 0.22),  # small units, and values that are far wider than their thresholds
    "DataWidthConverter": (0.10, 0.34),
    "SlidingWindow": (0.11, 0.23),
    "Padding": (0.12, 0.30),  # 1 to 3 LUTs
    "MaxPool": (0.14, 0.20),
    "Pool": (0.10, 0.24),
    "ChannelwiseOp": (0.12, 0.25),
}


@pytest.mark.parametrize("line", [r for r in HELD_OUT if r["ours median"] is not None], ids=lambda r: r["circuit"])
def test_held_out_errors_meet_their_goals(line: dict[str, Any]) -> None:
    core = line["circuit"] in ("mvu_core ripple", "array, binary or wide", "MVAU")
    median, p90 = EXEMPT.get(line["circuit"], (0.05 if core else 0.10, 0.20))
    assert line["ours median"] <= median
    assert line["ours p90"] <= p90
    assert line["ours slope"] is None or line["ours slope"] <= 0.15
    assert line["circuit"] not in EXEMPT or abs(line["ours sum"]) <= 0.11


def test_no_exemption_outlives_its_need() -> None:
    lines = {line["circuit"]: line for line in HELD_OUT}
    assert all(lines[name]["ours median"] > 0.10 or lines[name]["ours p90"] > 0.20 for name in EXEMPT)


def test_the_documented_table_is_of_these_errors() -> None:
    text = (BENCHMARK.parents[1] / "docs" / "estimator.md").read_text()
    for line in json.loads((BENCHMARK / "results.json").read_text())["the accelerator's units"]:
        errors = " | ".join(f"{100 * line[key]:.1f}" for key in ("ours median", "ours p90"))
        assert f"| {line['circuit']} | {line['rows']} | {errors} | {100 * line['ours sum']:+.1f} |" in text


@pytest.mark.parametrize(
    "row",
    [
        CORE,
        CORE | {"flow": "std", "MUL": 0},
        CORE | {"PIPE": 0},
        DSP,
        {"component": "threshold:par", "B": 4, "CF": 1},
        {"component": "threshold:par", "B": 3, "CF": 64},
        {"component": "threshold:finn_bs", "B": 4, "CF": 1, "PE": 1},
        {"component": "threshold:finn_bs", "B": 4, "CF": 16, "PE": 1},
    ],
)
def test_every_accumulator_bit_costs(row: dict[str, Any]) -> None:
    luts = [predict_row(row | {"P": p}) for p in range(4, 40)]
    assert all(a < b for a, b in pairwise(luts))


def test_text_and_absent_columns() -> None:
    text = {key: str(value) for key, value in CORE.items()} | {"P": "16", "PIPE": "", "CF": ""}
    assert predict_row(text) == predict_row(CORE | {"P": 16})


def test_unknown_components_and_missing_columns_are_named() -> None:
    with pytest.raises(ConfigError, match=r"'adder'.*mvu_core"):
        predict_row({"component": "adder"})
    with pytest.raises(ConfigError, match=r"mvu_core: found no P"):
        predict_row(CORE)


def test_every_fit_states_its_error_and_source() -> None:
    for name, fitted in FITS.items():
        assert fitted.error_band is not None, name
        assert "rows" in fitted.source, name


def test_shipped_coefficients_are_those_of_the_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARK))
    import fit

    shipped = {k: v for source, rows in fit.every_row().items() for k, v in fit.fit(rows, source)[0].items()}
    assert {name: entry["coefficients"] for name, entry in shipped.items()} == {
        name: pytest.approx(dict(fitted.coefficients), abs=1e-3) for name, fitted in FITS.items()
    }
