"""Our estimates and FINN's beside LUT and block RAM counts that others published from Vivado.

Run ``python benchmarks/published_counts.py``: reads ``benchmarks/published/counts.csv`` (facts, with their sources in
the README beside it), writes ``benchmarks/results/published_counts.json`` and ``.md``. Nothing is fitted to these rows.

The last table asks whether one factor per kind of unit would close the gap: the median ratio of published to estimated
LUTs in all other sources, applied to the source that was left out. A factor holds if it more than halves the median
error of each source that it was not taken from, or lowers it to at most 15 %. No factor is applied anywhere.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from brevitas_a2q._files import write_atomically
from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q._ir.dot_product import IntArray
from brevitas_a2q.hw import _ir as ir
from brevitas_a2q.hw import finn_node
from brevitas_a2q.hw._cost.model import cost
from brevitas_a2q.hw._devices import find_part

HERE = Path(__file__).resolve().parent
PARTS = {"mvu-2022": "xczu3eg", "lpyolo": "xc7z020", "radioml-w8a8": "xczu7ev", "radioml-w4a4": "xczu7ev"}
REPOSITORY = {"radioml-w8a8": "radioml", "radioml-w4a4": "radioml"}  # two builds of one network count as one source
Parameters = Mapping[str, Any]
Case = tuple[ir.Unit, ir.Folding, dict[str, Any]]  # our unit, its folding, FINN's attributes


def _uint(bits: int) -> str:
    return IntType.of(bits, signed=False).name


def _int(bits: int) -> str:
    return IntType.of(max(2, bits), signed=True).name


def _base(channels: int, kind: str, out: str | None = None, pixels: int = 1) -> dict[str, Any]:
    types = {"input_type": IntType.parse(kind), "output_type": IntType.parse(out or kind)}
    return {"name": "unit", "inputs": ("",), "pixels": pixels, "channels": channels, **types}


def _spread(channels: int, steps: int, bits: int) -> IntArray:
    """Thresholds of unknown values that need all of their bits: random ones, seed 0."""
    limit = 1 << (bits - 1)
    table = np.random.default_rng(0).integers(-limit, limit, (channels, steps))
    table[0, 0], table[0, -1] = -limit, limit - 1
    return np.sort(table, axis=1)


def _matrix(p: Parameters) -> Case:
    inputs = _int(p["A"]) if p.get("AS") else _uint(p["A"])
    weights, sums = "BIPOLAR" if p["W"] == 1 else _int(p["W"]), _int(p["P"])
    out = _uint(p["B"]) if p.get("B") else sums
    unit = ir.Mvau(
        **_base(p["MH"], inputs, out),
        weight_type=IntType.parse(weights),
        weights=np.broadcast_to(np.int64(0), (p["MH"], p["MW"])),
        accumulator_type=IntType.parse(sums),
        accumulator_range=(0, 0),
        trained_accumulator_bit_width=None,
        thresholds=_spread(p["MH"], 2 ** p["B"] - 1, p["P"]) if p.get("B") else None,
    )
    streamed = "ram" not in p  # weights come from outside; block RAM keeps them out of the LUT count
    style = "block" if streamed else p["style"]
    folding = ir.Folding(p["PE"], p["SIMD"], "dsp" if p["dsp"] else "lut", style, "distributed")
    finn = {
        **{name: p[name] for name in ("MW", "MH", "PE", "SIMD")},
        "inputDataType": inputs,
        "weightDataType": weights,
        "accDataType": sums,
        "outputDataType": out,
        "noActivation": int(not p.get("B")),
        "mem_mode": "external" if streamed else "internal_decoupled",
    }
    return unit, folding, finn


def _window(p: Parameters) -> Case:
    size, out = {"input_dim": (p["H"], p["W"]), "output_dim": (p["OH"], p["OW"])}, p["OH"] * p["OW"]
    window = {"kernel": (p["KH"], p["KW"]), "stride": (p["SH"], p["SW"]), "dilation": (p["DH"], p["DW"])}
    unit = ir.SlidingWindow(**_base(p["C"], _uint(p["A"]), pixels=out), **size, **window, depthwise=False)
    finn = {
        "ConvKernelDim": [p["KH"], p["KW"]],
        "IFMDim": [p["H"], p["W"]],
        "OFMDim": [p["OH"], p["OW"]],
        "Stride": [p["SH"], p["SW"]],
        "Dilation": [p["DH"], p["DW"]],
        "IFMChannels": p["C"],
        "SIMD": p["SIMD"],
        "inputDataType": _uint(p["A"]),
        "outputDataType": _uint(p["A"]),
        "ram_style": p["ram"],
    }
    return unit, ir.Folding(simd=p["SIMD"], ram_style=p["ram"]), finn


def _padding(p: Parameters) -> Case:
    pads = (p["T"], p["L"], p["BO"], p["R"])
    unit = ir.Padding(**_base(p["C"], _uint(p["A"])), input_dim=(p["H"], p["W"]), pads=pads)
    finn = {"ImgDim": [p["H"], p["W"]], "Padding": list(pads), "NumChannels": p["C"], "SIMD": p["SIMD"]}
    return unit, ir.Folding(simd=p["SIMD"]), {**finn, "inputDataType": _uint(p["A"])}


def _max_pool(p: Parameters) -> Case:
    lanes = p["PE"] if p["W"] == 1 else p["C"]  # FINN folds the channels of one-dimensional images only
    unit = ir.MaxPool(**_base(lanes, _uint(p["A"])), input_dim=(p["H"], p["W"]), kernel=(p["KH"], p["KW"]))
    finn = {"ImgDim": [p["H"], p["W"]], "PoolDim": [p["KH"], p["KW"]], "NumChannels": p["C"], "PE": p["PE"]}
    return unit, ir.Folding(), {**finn, "dataType": _uint(p["A"])}


def _converter(p: Parameters) -> Case:
    unit = ir.DataWidthConverter(**_base(1, "BINARY"), input_width=p["IN"], output_width=p["OUT"])
    shape = [1, max(p["IN"], p["OUT"])]
    return unit, ir.Folding(), {"inWidth": p["IN"], "outWidth": p["OUT"], "shape": shape, "dataType": "BINARY"}


def _fifo(p: Parameters) -> Case:
    unit = ir.Fifo(**_base(1, "BINARY"), width=p["W"], depth=p["D"])
    finn = {"depth": p["D"], "impl_style": p["impl"], "ram_style": p["style"]}
    shapes = {"folded_shape": [1, p["W"]], "normal_shape": [1, p["W"]], "dataType": "BINARY"}
    return unit, ir.Folding(ram_style=p["style"]), {**finn, **shapes}


def _thresholding(p: Parameters) -> Case:
    base, table = _base(p["C"], _int(p["A"]), _uint(p["B"])), _spread(p["C"], p["steps"], p["T"])
    finn = {"NumChannels": p["C"], "PE": p["PE"], "numSteps": p["steps"], "inputDataType": _int(p["A"])}
    types = {"weightDataType": _int(p["T"]), "outputDataType": _uint(p["B"])}
    folding = ir.Folding(pe=p["PE"], ram_style_thresholds=p["style"])
    return ir.Thresholding(**base, thresholds=table), folding, {**finn, **types}


def _labels(p: Parameters) -> Case:
    unit = ir.LabelSelect(**_base(p["L"], _int(p["A"])), labels=p["L"], k=p["K"])
    finn = {"Labels": p["L"], "PE": p["PE"], "K": p["K"], "inputDataType": _int(p["A"])}
    return unit, ir.Folding(pe=p["PE"]), finn


KINDS: dict[str, tuple[str, Callable[[Parameters], Case]]] = {
    "MVU": ("compute array", _matrix),
    "MVAU": ("matrix unit", _matrix),
    "ConvolutionInputGenerator": ("sliding window", _window),
    "FMPadding": ("padding", _padding),
    "StreamingMaxPool": ("max pool", _max_pool),
    "StreamingDataWidthConverter": ("width converter", _converter),
    "StreamingFIFO": ("FIFO", _fifo),
    "Thresholding": ("thresholds", _thresholding),
    "LabelSelect": ("label select", _labels),
}


@dataclass(frozen=True)
class Row:
    """One published unit; counts of LUTs, and of block RAMs of 18 kbit where the source has them."""

    source: str
    kind: str
    parameters: str
    lut: int
    ours: float
    finn: int
    bram18: int | None
    ours_bram18: int
    finn_bram18: int


def row_of(line: Mapping[str, str]) -> Row:
    """A line of ``counts.csv`` with both estimates."""
    pairs = (item.split("=") for item in line["parameters"].split())
    p = {name: int(value) if value.isdigit() else value for name, value in pairs}
    # Memories are where Vivado put them: the rows are held against what was built, not against our choice.
    p |= {"dsp": int(line["dsp"]), "style": "block" if int(line["bram18"] or 0) else "distributed"}
    op = line["unit"].rsplit("_", 1)[0]
    kind, build = KINDS[op]
    unit, folding, attributes = build(p)
    part = find_part(PARTS[line["source"]])
    found = cost(unit, folding, part)
    # FINN has no formula for a matrix unit in RTL: its HLS one is the only one to compare with.
    name = "MVAU_hls" if op in ("MVU", "MVAU") else line["unit"]
    finn = finn_node(name, {**attributes, "resType": "dsp" if p["dsp"] else "lut"}, part)
    if op in ("MVU", "MVAU"):
        kind = f"{kind}, {line['unit'].rsplit('_', 1)[1].upper()}"
    return Row(
        source=line["source"],
        kind="FIFO of two words" if isinstance(unit, ir.Fifo) and unit.depth == 2 else kind,
        parameters=line["parameters"],
        lut=int(line["lut"]),
        ours=sum(term.lut for term in found.terms),
        finn=finn.lut,
        bram18=int(line["bram18"]) if line["bram18"] else None,
        ours_bram18=found.resources.bram18,
        finn_bram18=finn.bram18,
    )


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Errors over rows: relative, of LUTs; the bias is that of the median ratio."""
    lut, ours, finn = (np.array([getattr(row, name) for row in rows], float) for name in ("lut", "ours", "finn"))
    error, theirs = np.abs(ours / lut - 1), np.abs(finn / lut - 1)
    return {
        "rows": len(rows),
        "median": float(np.median(error)),
        "p90": float(np.quantile(error, 0.9)),
        "bias": float(np.median(ours / lut) - 1),
        "finn median": float(np.median(theirs)),
        "finn p90": float(np.quantile(theirs, 0.9)),
        "total": int(lut.sum()),
        "ours total": round(float(ours.sum())),
        "finn total": int(finn.sum()),
    }


def left_out(rows: Sequence[Row]) -> dict[str, Any] | None:
    """Median errors with one factor, taken from the other sources; None with a single source."""
    sources = _grouped(rows, lambda row: REPOSITORY.get(row.source, row.source))
    if len(sources) < 2:
        return None
    ratios = {name: np.array([row.lut / row.ours for row in group]) for name, group in sources.items()}
    found: dict[str, Any] = {"factor": float(np.median(np.concatenate(list(ratios.values()))))}
    for name, ratio in ratios.items():
        factor = float(np.median(np.concatenate([r for other, r in ratios.items() if other != name])))
        before, after = (float(np.median(np.abs(f / ratio - 1))) for f in (1.0, factor))
        found[name] = {"factor": factor, "before": before, "after": after}
    found["holds"] = all(_closes(found[name]) for name in ratios)
    return found


def _closes(left: Mapping[str, float]) -> bool:
    return left["after"] < left["before"] and (left["after"] <= 0.15 or left["after"] < 0.5 * left["before"])


def _structure(row: Row) -> str:
    """Kinds that share a factor: an array is what a matrix unit is mostly made of."""
    return row.kind.replace("compute array", "matrix unit")


def _grouped(rows: Sequence[Row], key: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    groups: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def main() -> None:
    """Estimate, compare, report."""
    with (HERE / "published" / "counts.csv").open(newline="") as file:
        rows = [row_of(line) for line in csv.DictReader(file)]
    by_unit = {f"{s}: {k}": summary(group) for (s, k), group in _grouped(rows, lambda r: (r.source, r.kind)).items()}
    by_structure = {kind: left_out(group) for kind, group in _grouped(rows, _structure).items()}
    factors = {kind: found for kind, found in by_structure.items() if found is not None}
    found = {"by source and kind": by_unit, "factors": factors}
    results = HERE / "results"
    write_atomically(results / "published_counts.json", json.dumps(found, indent=1) + "\n")
    write_atomically(results / "published_counts.md", report(by_unit, factors, rows))


_HEAD = """# Published counts

LUTs of units that others built with Vivado (sources: [`benchmarks/published`](../published/README.md)) beside our
estimate and FINN's formula; errors are relative, in per cent, and nothing is fitted to these rows. Memories are priced
where Vivado put them. "Bias" is that of the median ratio. Matrix units in RTL, for which FINN says 0, have FINN's
formula for HLS. Written by `benchmarks/published_counts.py`.

| source: unit | rows | median | p90 | bias | LUTs | ours | FINN | FINN median |
|---|---|---|---|---|---|---|---|---|
"""
_MEMORY_HEAD = """
Block RAMs of 18 kbit of the units that have any:

| unit | rows | published | ours | FINN |
|---|---|---|---|---|
"""
_FACTOR_HEAD = """
One factor per kind of unit, taken from the other sources and applied to the one left out:

| unit | source left out | factor of the others | median error without | with | holds |
|---|---|---|---|---|---|
"""


def report(by_unit: Mapping[str, Any], factors: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """Tables as Markdown."""
    text = _HEAD
    for name, line in by_unit.items():
        errors = [_percent(line[key]) for key in ("median", "p90", "bias")]
        totals = [str(line[key]) for key in ("total", "ours total", "finn total")]
        text += _line(name, str(line["rows"]), *errors, *totals, _percent(line["finn median"]))
    text += _MEMORY_HEAD
    for kind, group in _grouped([row for row in rows if row.bram18], lambda row: row.kind).items():
        sums = [sum(getattr(row, name) for row in group) for name in ("bram18", "ours_bram18", "finn_bram18")]
        text += _line(kind, str(len(group)), *map(str, sums))
    text += _FACTOR_HEAD
    for name, found in factors.items():
        sources = [source for source in found if isinstance(found[source], dict)]
        for source in sources:
            left = found[source]
            cells = [f"{left['factor']:.2f}", _percent(left["before"]), _percent(left["after"])]
            text += _line(name, source, *cells, "yes" if found["holds"] else "no")
    return text


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"


def _percent(value: float) -> str:
    return f"{100 * value:.0f}"


if __name__ == "__main__":
    main()
