"""Fits the laws of FINN's units to counts published from Vivado, and measures them on repositories left out.

Run ``python benchmarks/vivado_laws.py``: reads ``published/units.csv`` and ``published/counts.csv``, writes
``brevitas_a2q/hw/_vivado/coefficients.json`` and ``benchmarks/results/vivado_laws.md``.

A law is a sum of features (:mod:`brevitas_a2q.hw._vivado.laws`) of coefficients that are not negative; relative errors
are minimised, robustly (iteratively reweighted). The error of a kind is that of rows of repositories whose rows the
coefficients were not fitted to; where only one repository has the kind, builds are left out, and the table says so.
Equal rows of one build count once. Flip-flops of RTL matrix units and thresholds are counted off FINN's source but
for their control; only control is fitted.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

from brevitas_a2q._files import write_atomically
from brevitas_a2q.hw._vivado.laws import KNOWN, LAWS, kind_of
from brevitas_a2q.hw._vivado.parameters import Parameters

HERE = Path(__file__).resolve().parent
SHIPPED = HERE.parent / "brevitas_a2q/hw/_vivado/coefficients.json"
ROUNDS = 6
SWEEP, UNITS_OF_A_DESIGN = "mvu-2022", 6  # single units, no design
# Where few rows say it, the control of an HLS unit is drawn to what most of them take: one row's worth of evidence.
CONTROL = {"max pool: image": 200.0, "max pool: line": 90.0, "hls matrix unit": 200.0}


FAMILIES = {"xczu": "UltraScale+"}  # by how a part's name begins; the others are 7-series
NEWER = (
    "alhusseingamal",
)  # repositories whose weights stream through shift registers: half a LUT for each of their bits
SOURCES = {"radioml": "UltraScale+", "mvu-2022": "UltraScale+"}


@dataclass(frozen=True)
class Sample:
    kind: str
    repository: str
    build: str
    lut_features: dict[str, float]
    ff_features: dict[str, float]
    lut: float
    ff: float | None
    bram18: tuple[int, int] | None  # found, said
    count: int = 1  # units of the build that are equal in everything


def samples() -> list[Sample]:
    """Rows of both tables, equal ones once."""
    found: dict[tuple[object, ...], Sample] = {}
    with (HERE / "published/units.csv").open() as file:
        for row in csv.DictReader(file):
            repository = row["repo"].split("/")[0]
            extra = f" family={FAMILIES.get(row['part'][:4], '7-series')}" + " rtl=dev" * (repository in NEWER)
            _add(found, repository, row["build"], row["op"], row["parameters"] + extra, row)
    with (HERE / "published/counts.csv").open() as file:
        for row in csv.DictReader(file):
            extra = f" dsp={row['dsp']}" if row["dsp"] and row["unit"] == "MVAU_hls" else ""
            source = row["source"].split("-w")[0]
            extra += f" family={SOURCES.get(source, '7-series')}"
            _add(found, source, row["source"], row["unit"], row["parameters"] + extra, row)
    return list(found.values())


def _add(
    found: dict[tuple[object, ...], Sample], repository: str, build: str, op: str, text: str, row: dict[str, str]
) -> None:
    kind = kind_of(op)
    variant, luts, registers, (bram18, _) = LAWS[kind](Parameters(op, text))
    name = f"{kind}: {variant}" if variant else kind
    ff = float(row["ff"]) if row.get("ff") else None
    blocks = (int(float(row["bram18"])), bram18) if row.get("bram18") else None
    key = (build, op, text, row["lut"])
    count = found[key].count + 1 if key in found else 1
    found[key] = Sample(name, repository, build, luts, registers, float(row["lut"]), ff, blocks, count)


def fit(features: list[dict[str, float]], values: list[float], control: float | None = None) -> dict[str, float]:
    """Coefficients that are not negative and lie close in relative terms, outliers counting less."""
    if control is not None:
        features, values = [*features, {"each": 1.0}], [*values, control]
    names = sorted({name for row in features for name in row if name != KNOWN})
    table = np.array([[row.get(name, 0.0) for name in names] for row in features])
    counted = np.array(values)
    target = counted - [row.get(KNOWN, 0.0) for row in features]
    weights = 1 / np.maximum(counted, 1)
    for _ in range(ROUNDS):
        found, _ = nnls(table * weights[:, None], target * weights)
        off = np.abs(table @ found - target) / np.maximum(counted, 1)
        weights = 1 / np.maximum(counted, 1) / np.sqrt(np.maximum(off, 0.03))
    known = {KNOWN: 1.0} if any(KNOWN in row for row in features) else {}
    return {**dict(zip(names, found.tolist(), strict=True)), **known}


def predict(found: dict[str, float], features: dict[str, float]) -> float:
    return sum(found.get(name, 0.0) * amount for name, amount in features.items())


def predicted_unseen(rows: list[Sample], what: str) -> tuple[list[tuple[Sample, float]], str]:
    """Rows with what is said of them by coefficients of other repositories (or builds, or rows), and which it was."""
    level = "repository" if len({r.repository for r in rows}) > 1 else "build"
    groups = defaultdict(list)
    for row in rows:
        groups[getattr(row, level)].append(row)
    if len(groups) < 2:
        level, groups = "row", {str(i): [row] for i, row in enumerate(rows)}
    found = []
    for name, held in groups.items():
        rest = [row for other, group in groups.items() if other != name for row in group]
        if not rest:
            continue
        prior = CONTROL.get(rows[0].kind) if what == "lut" else None
        law = fit([getattr(r, f"{what}_features") for r in rest], [getattr(r, what) for r in rest], prior)
        found += [(r, predict(law, getattr(r, f"{what}_features"))) for r in held]
    return found, level


def unseen(rows: list[Sample], what: str) -> tuple[list[float], str]:
    """Relative errors of rows whose repository (or build) was left out."""
    found, level = predicted_unseen(rows, what)
    return [said / max(1, getattr(row, what)) - 1 for row, said in found], level


def designs(by_kind: dict[str, list[Sample]]) -> list[str]:
    """Lines of a table: the sum over a build's units, each said by coefficients that did not see it."""
    total, said, units = defaultdict(float), defaultdict(float), defaultdict(int)
    for rows in by_kind.values():
        for row, lut in predicted_unseen(rows, "lut")[0]:
            build = f"{row.repository} | {row.build.split('/')[0]}"
            total[build] += row.count * row.lut
            said[build] += row.count * lut
            units[build] += row.count
    whole = sorted(build for build in total if units[build] >= UNITS_OF_A_DESIGN and SWEEP not in build)
    lines = [f"| {b} | {units[b]} | {total[b]:,.0f} | {said[b] / total[b] - 1:+.1%} |" for b in whole]
    off = [abs(said[build] / total[build] - 1) for build in whole]
    return [*lines, "", f"Median error of a sum: {np.median(off):.1%}; largest {max(off):.1%}."]


def main() -> None:
    by_kind = defaultdict(list)
    for sample in samples():
        by_kind[sample.kind].append(sample)
    shipped, lines = {}, []
    for kind in sorted(by_kind):
        rows = by_kind[kind]
        errors, level = unseen(rows, "lut")
        with_ff = [r for r in rows if r.ff is not None]
        ff_errors = unseen(with_ff, "ff")[0] if with_ff else []
        exact = [r.bram18 for r in rows if r.bram18 is not None]
        off = np.abs(errors) if errors else np.array([np.nan])
        median, band = float(np.median(off)), float(np.quantile(off, 0.9))
        band = 0.5 if np.isnan(band) else band
        shipped[kind] = {
            "lut": _rounded(fit([r.lut_features for r in rows], [r.lut for r in rows], CONTROL.get(kind))),
            "ff": _rounded(fit([r.ff_features for r in with_ff], [r.ff for r in with_ff])) if with_ff else {},
            "band": round(band, 3),
            "median_error": None if np.isnan(median) else round(median, 3),
            "left_out": level,
            "rows": len(rows),
        }
        ff = f"{np.median(np.abs(ff_errors)):.0%}" if ff_errors else ""
        repositories = len({r.repository for r in rows})
        blocks = f"{sum(b for b, _ in exact)} / {sum(s for _, s in exact)}"
        lines.append(
            f"| {kind} | {len(rows)} | {repositories} | {level} | {median:.1%} | {band:.0%} | {ff} | {blocks} |"
        )
        print(lines[-1])
    write_atomically(SHIPPED, json.dumps(shipped, indent=1) + "\n")
    head = __doc__.split("\n\n")[2].replace("\n", " ")
    table = "| unit | rows | repositories | left out | LUT, median | LUT, p90 | FF, median | BRAM18, Vivado / said |\n"
    table += "|---|---|---|---|---|---|---|---|\n" + "\n".join(lines)
    text = f"# FINN's units as Vivado maps them\n\n{head}\n\n{table}\n\n## Sums over designs\n\n"
    text += "| repository | build | units | LUT, Vivado | said |\n|---|---|---|---|---|\n"
    text += "\n".join(designs(by_kind)) + "\n"
    write_atomically(HERE / "results/vivado_laws.md", text)


def _rounded(found: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in found.items() if value > 0}


if __name__ == "__main__":
    main()
