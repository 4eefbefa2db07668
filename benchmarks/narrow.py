"""Where narrow accumulators pay: one layer, many ways to build it, synthesised at every P.

A layer of random float weights (seed 0, Laplace) is rounded within the budget of P bits (the exact projection, its
scale searched) and, without a bound, to its weights' bits. Each way of building it is synthesised by Yosys four times:
with P bits; the same weights with 32 bits; with the bound of the data types; and the weights without a bound
with the width that they need. Thresholds lie where sums of random inputs fall. Results are kept by content.

    python benchmarks/narrow.py run [--cache FOLDER]    # appends what results/narrow.json lacks
    python benchmarks/narrow.py report                  # results/narrow.md and .png
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click
import numpy as np

from brevitas_a2q._files import write_atomically
from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q._ir.dot_product import IntArray
from brevitas_a2q.bounds import data_type_bound, required_bit_width
from brevitas_a2q.hw import _ir as ir
from brevitas_a2q.hw._cost.model import cost
from brevitas_a2q.hw._devices import find_part
from brevitas_a2q.rtl._netlist import Instance

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "synth"))
from circuits import fifo_instance, instance_of, synthesised  # noqa: E402

RESULTS = HERE / "results"
PART = "xczu7ev"
_NEAR = 8  # per cent, within which points of one row have one label
BASELINES = ("32 bits", "data types", "unconstrained")
Way = Literal["matrix", "depthwise", "unrolled", "streams"]


@dataclass(frozen=True)
class Regime:
    """A layer of ``outputs`` rows of ``products`` weights and how it is built."""

    name: str
    bits: int  # of weights and inputs
    products: int
    outputs: int
    widths: tuple[int, ...]  # P
    pe: int = 1
    simd: int = 1
    way: Way = "matrix"
    compute: Literal["lut", "dsp"] = "lut"
    weights: Literal["block", "distributed"] = "block"
    thresholds: Literal["none", "distributed", "block"] = "none"

    @property
    def contents_matter(self) -> bool:
        """Whether LUTs depend on the weights: those in block RAM do not, unless thresholds follow from them."""
        return self.way == "unrolled" or self.weights == "distributed" or self.thresholds != "none"


CONV, W4, W8 = 576, (9, 10, 12, 14), (13, 14, 16, 20)
REGIMES = (
    Regime("multipliers in LUTs, 4 bits, one", 4, CONV, 16, W4),
    Regime("multipliers in LUTs, 4 bits, 1 x 8", 4, CONV, 16, W4, 1, 8),
    Regime("multipliers in LUTs, 4 bits, 2 x 16", 4, CONV, 16, W4, 2, 16),
    Regime("multipliers in LUTs, 8 bits, one", 8, CONV, 16, W8),
    Regime("multipliers in LUTs, 8 bits, 1 x 8", 8, CONV, 16, W8, 1, 8),
    Regime("multipliers in DSP blocks, 8 bits, 2 x 8", 8, CONV, 16, W8, 2, 8, compute="dsp"),
    Regime("weights in LUTs, 4 bits, 1 x 4", 4, CONV, 16, W4, 1, 4, weights="distributed"),
    Regime("thresholds in LUTs, 4 bits, 4 x 4", 4, CONV, 32, W4, 4, 4, thresholds="distributed"),
    Regime("thresholds in block RAM, 4 bits, 4 x 4", 4, CONV, 32, W4, 4, 4, thresholds="block"),
    Regime("depthwise, 4 bits, 4 x 1", 4, 9, 16, (8, 9, 10), 4, 1, way="depthwise"),
    Regime("depthwise, 4 bits, 4 x 9", 4, 9, 16, (8, 9, 10), 4, 9, way="depthwise"),
    Regime("weights as constants, 4 bits", 4, 64, 2, (7, 8, 9, 10), way="unrolled"),
    Regime("weights as constants, 8 bits", 8, 64, 1, (12, 13, 14, 16), way="unrolled"),
    Regime("sums that travel on: FIFO of 32, addition, FIFO of 32", 4, CONV, 16, W4, 4, 1, way="streams"),
)


def rounded(weights: np.ndarray[Any, Any], scale: float, bits: int, budget: int | None) -> IntArray:
    """Rows of integers nearest to ``weights / scale``, positive and negative ones of each row within a budget."""
    u, largest = weights / scale, (1 << (bits - 1)) - 1
    q = np.zeros(u.shape, np.int64)
    for sign in (1, -1):
        part = np.maximum(sign * u, 0)
        low, high = np.zeros(len(u)), part.max(axis=1)
        whole = np.minimum(np.rint(part), largest)
        if budget is not None:
            for _ in range(40):
                middle = (low + high) / 2
                fits = np.minimum(np.rint(np.maximum(part - middle[:, None], 0)), largest).sum(axis=1) <= budget
                low, high = np.where(fits, low, middle), np.where(fits, middle, high)
            tight = np.minimum(np.rint(np.maximum(part - high[:, None], 0)), largest)
            whole = np.where((whole.sum(axis=1) <= budget)[:, None], whole, tight)
        q += sign * whole.astype(np.int64)
    return q


def integer_weights(regime: Regime, width: int | None) -> IntArray:
    """The layer's weights within the budget of P bits, or without a bound."""
    floats = np.random.default_rng(0).laplace(size=(regime.outputs, regime.products))
    budget = None if width is None else ((1 << (width - 1)) - 1) // ((1 << regime.bits) - 1)
    largest = (1 << (regime.bits - 1)) - 1
    found = []
    for row in floats:  # the scale with the least error, per channel
        scales = np.abs(row).max() / largest * np.geomspace(0.05, 16, 48)
        tried = [rounded(row[None], scale, regime.bits, budget)[0] for scale in scales]
        errors = [((scale * q - row) ** 2).sum() for scale, q in zip(scales, tried, strict=True)]
        found.append(tried[int(np.argmin(errors))])
    return np.array(found)


def sum_range(weights: IntArray, bits: int) -> tuple[int, int]:
    """Lowest and highest sum over unsigned inputs."""
    high = (1 << bits) - 1
    return int(np.minimum(weights, 0).sum(axis=1).min()) * high, int(np.maximum(weights, 0).sum(axis=1).max()) * high


def unit_of(regime: Regime, weights: IntArray, width: int) -> tuple[ir.Unit, ir.Folding]:
    """The layer as a unit with an accumulator of so many bits."""
    accumulator, steps = IntType.of(width, signed=True), (1 << regime.bits) - 1
    thresholds = None
    if regime.thresholds != "none":
        inputs = np.random.default_rng(1).integers(0, 1 << regime.bits, (regime.products, 512))
        sums = weights @ inputs
        thresholds = np.sort(np.quantile(sums, np.linspace(0.4, 0.98, steps), axis=1).T.astype(np.int64), axis=1)
    common: dict[str, Any] = {
        "name": "layer",
        "inputs": ("",),
        "pixels": 1,
        "channels": regime.outputs,
        "input_type": IntType.of(regime.bits, signed=False),
        "output_type": accumulator if thresholds is None else IntType.of(regime.bits, signed=False),
        "weight_type": IntType.of(regime.bits, signed=True),
        "weights": weights,
        "accumulator_type": accumulator,
        "accumulator_range": sum_range(weights, regime.bits),
        "trained_accumulator_bit_width": width,
        "thresholds": thresholds,
    }
    style = "distributed" if regime.thresholds == "none" else regime.thresholds
    folding = ir.Folding(regime.pe, regime.simd, regime.compute, regime.weights, style)
    if regime.way == "depthwise":
        return ir.Vvau(**common, kernel=(3, 3), output_dim=(1, 1)), folding
    return ir.Mvau(**common), folding


def variants(regime: Regime, width: int) -> Iterator[tuple[str, IntArray, int]]:
    """What is compared at one P: name, weights, accumulator bits."""
    bound = data_type_bound(regime.products, regime.bits, regime.bits, False)
    trained, free = integer_weights(regime, width), integer_weights(regime, None)
    yield "trained", trained, width
    yield "32 bits", trained, 32
    yield "data types", trained, bound
    yield "unconstrained", free, required_bit_width(*sum_range(free, regime.bits))


def measured(regime: Regime, cache: Path) -> list[dict[str, Any]]:
    """LUTs of every variant at every P, with what the estimate says."""
    part = find_part(PART)
    rows: list[dict[str, Any]] = []
    circuits: dict[str, tuple[dict[str, Any], list[Instance]]] = {}
    fixed = integer_weights(regime, None)
    for width in regime.widths:
        found: dict[str, Any] = {}
        for number, (name, weights, bits) in enumerate(variants(regime, width)):
            unit, folding = unit_of(regime, weights if regime.contents_matter else fixed, bits)
            found[name] = entry = {"P": bits, "sparsity": round(float((weights == 0).mean()), 3)}
            label = f"p{width}_{number}"
            if regime.way == "unrolled":
                folding = ir.Folding(regime.outputs, regime.products, "unrolled")
            if regime.way == "streams":
                circuits[label] = (entry, _streams(label, unit, folding, regime.pe, bits))
            else:
                circuits[label] = (entry, [instance_of(label, unit, folding, PART)])
            if regime.way != "streams":
                entry["estimate"] = cost(unit, folding, part).resources.lut
        rows.append({"regime": regime.name, "P": width, "variants": found})
    if circuits:
        counts = synthesised([i for _, instances in circuits.values() for i in instances], cache, PART)
        for entry, instances in circuits.values():
            entry["lut"] = sum(counts[i.row].lut for i in instances)
            entry["ff"] = sum(counts[i.row].ff for i in instances)
            entry["bram18"] = sum(counts[i.row].bram18 for i in instances)
    return rows


def _streams(label: str, unit: ir.Unit, folding: ir.Folding, pe: int, bits: int) -> list[Instance]:
    """A unit whose sums wait for those of another branch, are added, and wait for a reader."""
    dtype, out = IntType.of(bits, signed=True), IntType.of(bits + 1, signed=True)
    common = {"name": "sum", "inputs": ("a", "b"), "pixels": 1, "channels": unit.channels}
    total = ir.AddStreams(**common, input_type=dtype, output_type=out)
    return [
        instance_of(label, unit, folding, PART),
        fifo_instance(f"{label}_before", pe * bits, 32),
        instance_of(f"{label}_sum", total, ir.Folding(pe=pe), PART),
        fifo_instance(f"{label}_after", pe * (bits + 1), 32),
    ]


def known(name: str = "narrow.json") -> list[dict[str, Any]]:
    """What an earlier run has measured."""
    path = RESULTS / name
    return json.loads(path.read_text()) if path.exists() else []


@click.group()
def cli() -> None:
    """Where narrow accumulators pay."""


@cli.command()
@click.option("--cache", type=click.Path(path_type=Path), help="Keeps synthesis results.")
@click.option("--only", help="Regimes whose name holds this.")
def run(cache: Path | None, only: str | None) -> None:
    """Measure what is missing."""
    folder = cache or Path(tempfile.mkdtemp())
    for regime in REGIMES:
        rows = [row for row in known() if row["regime"] != regime.name]
        done = {row["P"] for row in known() if row["regime"] == regime.name}
        if (only and only not in regime.name) or done == set(regime.widths):
            continue
        found = measured(regime, folder)
        write_atomically(RESULTS / "narrow.json", json.dumps([*rows, *found], indent=1) + "\n")
        for row in found:
            luts = {name: entry["lut"] for name, entry in row["variants"].items()}
            click.echo(f"{regime.name}, P = {row['P']}: {luts}")


@cli.command()
def report() -> None:
    """Write the table and the figure."""
    rows = sorted(known(), key=lambda r: ([g.name for g in REGIMES].index(r["regime"]), r["P"]))
    text = f"# Where narrow accumulators pay\n\n{_paragraph(2)}\n\n"
    text += f"LUTs by synthesis ({PART}), and what P bits save of each baseline (its LUTs at its P).\n\n"
    text += "| built as | P | zeros | LUT | of 32 bits | of data types | of unconstrained |\n"
    text += "|---|---|---|---|---|---|---|\n"
    for row in rows:
        found = row["variants"]
        cells = [f"{_saving(found, name):.0%} ({found[name]['lut']:,} at {found[name]['P']})" for name in BASELINES]
        trained = found["trained"]
        text += (
            f"| {row['regime']} | {row['P']} | {trained['sparsity']:.0%} | {trained['lut']:,} | {' | '.join(cells)} |\n"
        )
    write_atomically(RESULTS / "narrow.md", text)
    _figure(rows)


def _paragraph(number: int) -> str:
    return (__doc__ or "").split("\n\n")[number - 1].replace("\n", " ")


def _saving(found: dict[str, Any], baseline: str) -> float:
    return 1 - found["trained"]["lut"] / found[baseline]["lut"]


def _figure(rows: list[dict[str, Any]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = [g.name for g in REGIMES if any(r["regime"] == g.name for r in rows)]
    figure, axes = plt.subplots(1, 3, figsize=(13, 0.42 * len(names) + 1.4), sharey=True, layout="constrained")
    for axis, baseline in zip(axes, BASELINES, strict=True):
        for place, name in enumerate(names):
            mine = [r for r in rows if r["regime"] == name]
            x = [100 * _saving(r["variants"], baseline) for r in mine]
            axis.plot(x, [place] * len(x), color="0.8", zorder=1)
            axis.scatter(x, [place] * len(x), c=[r["P"] for r in mine], cmap="viridis_r", vmin=7, vmax=20, zorder=2)
            ends = sorted({(round(value), row["P"]) for value, row in zip(x, mine, strict=True)})
            near = ends[-1][0] - ends[0][0] < _NEAR
            label = f"P = {mine[0]['P']} to {mine[-1]['P']}"
            labels = [(x[0], label)] if near else [(value, str(row["P"])) for value, row in zip(x, mine, strict=True)]
            for value, text in labels:
                axis.annotate(text, (value, place), (0, 5), textcoords="offset points", ha="center", size=7)
        axis.axvline(0, color="0.3", lw=0.8)
        axis.set_title(f"against {baseline}" + (" weights" if baseline == "unconstrained" else ""))
        axis.set_xlabel("LUTs saved by P bits, %")
        axis.grid(axis="x", alpha=0.3)
    axes[0].set_yticks(range(len(names)), names)
    axes[0].invert_yaxis()
    figure.savefig(HERE.parent / "docs" / "narrow.png", dpi=110)


if __name__ == "__main__":
    cli()
