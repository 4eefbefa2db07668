"""Renders the results on record into docs/results.md, beside the published numbers."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from cells import CELLS, Cell
from figures import ladder_figure
from slices import RESULTS, is_of

from brevitas_a2q.files import write_atomically

__all__ = ["render"]

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs"
METHODS = ("none", "a2q", "a2q+", "projected")

_HEAD = """# Results

Written by `python benchmarks/reproduce render` from the files in `benchmarks/reproduce/results/`, one per run, each
with its configuration, seed, curve, time, device and versions. Nothing here is typed in by hand except the published
numbers (`benchmarks/reproduce/published.yaml`, each with its source).

How to read it: `last` is the test metric after the last epoch, `best` the highest of any epoch, both as mean ± sample
standard deviation over `n` seeds. The papers report the maximum over three seeds and over epochs; `best` comes nearest
to it. Test data chose nothing: recipes are the same for every method and width, and were not tuned on these numbers.
`-` is a run that has not been made. Every quantized run's certificate was checked with exact integers when it ended;
the column `certified` counts those that hold.
"""


@dataclass(frozen=True)
class Row:
    """Runs that differ by their seed only."""

    label: str
    method: str
    weight_bit_width: int
    activation_bit_width: int
    accumulator_bit_width: int | None
    runs: tuple[Mapping[str, Any], ...]

    def text(self, key: str, scale: float, digits: int) -> str:
        """Mean and spread of a value."""
        values = [scale * run[key] for run in self.runs]
        spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
        return f"{statistics.mean(values):.{digits}f}{spread} (n={len(values)})"


def load() -> list[Row]:
    """All results, grouped over seeds."""
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for cell in CELLS:
        run = _result(cell)
        if run is not None:
            quant = run["config"]["quant"]
            label = cell.name.split("-float-")[0] if quant is None else (cell.float_cell or "").split("-float-")[0]
            key: tuple[Any, ...] = (label, "float", 32, 32, None)
            if quant is not None:
                p = None if quant["method"] == "none" else quant["accumulator_bit_width"]
                key = (label, quant["method"], quant["weight_bit_width"], quant["activation_bit_width"], p)
            groups.setdefault(key, []).append(run)
    return [Row(*key, tuple(runs)) for key, runs in groups.items()]


def _result(cell: Cell) -> Mapping[str, Any] | None:
    """What is on record of a cell; nothing where it is of an earlier recipe."""
    path = RESULTS / f"{cell.name}.json"
    run: Mapping[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
    return None if run is None or not is_of(cell, run) else run


def render() -> list[Path]:
    """Write the page and its figures.

    Returns:
        What was written.
    """
    rows = load()
    published = yaml.safe_load((HERE / "published.yaml").read_text())
    written, parts = [], [_HEAD]
    with_runs = {row.label for row in rows}
    for title, label, bits, names, short in sorted(_LADDERS, key=lambda ladder: ladder[1] not in with_runs):
        chosen = [r for r in rows if r.label == label and (r.method == "float" or r.weight_bit_width == bits)]
        beside = [published[name] for name in names]
        parts.append(_ladder(title, chosen, beside, short))
        if len({r.accumulator_bit_width for r in chosen if r.accumulator_bit_width}) > 1:
            figure = DOCS / "results" / f"{label}-w{bits}.png"
            figure.parent.mkdir(exist_ok=True)
            write_atomically(figure, ladder_figure(title, chosen, [] if short else beside))
            written.append(figure)
            parts.append(f"![{title}](results/{figure.name})\n")
    parts += [_headline(rows, published["headline-w8a8-p16"]), _grid(rows, published), _throughput(), _queue()]
    parts.insert(1, _small_network())
    page = DOCS / "results.md"
    write_atomically(page, "\n".join(parts))
    return [page, *written]


_SHORT_ESPCN = (
    "Half the channels, three epochs of 24,000 windows of 32 pixels, on a CPU; bicubic upscaling gives 28.75 dB "
    "([protocols](../benchmarks/results/super_resolution_protocols.md)). The published network is twice as wide and "
    "was trained for 300 epochs: compare the methods with each other."
)
_SHORT_RESNET18 = (
    "A quarter of the channels, two thousand training images, ten epochs on a CPU: compare the methods with each other."
)

# Title, network, M = N, published tables, what is short about it.
_LADDERS: tuple[tuple[str, str, int, tuple[str, ...], str | None], ...] = (
    ("ResNet18, CIFAR-10, W4A4", "resnet18", 4, ("resnet18-w4a4-ladder", "resnet18-best"), None),
    ("ESPCN x2, BSD300, W8A8", "espcn-x2", 8, ("espcn-x2-w8a8",), None),
    ("ESPCN x2, BSD300, W4A4", "espcn-x2", 4, ("espcn-x2-w4a4",), None),
    ("MobileNetV1, CIFAR-10, W4A4", "mobilenet-v1", 4, ("mobilenet-v1-best",), None),
    ("U-Net x3, BSD300, W4A4", "unet-x3", 4, ("unet-x3-best",), None),
    ("Short: ESPCN x2 of half the width, BSD300, W4A4", "cpu-espcn-half-x2", 4, ("espcn-x2-w4a4",), _SHORT_ESPCN),
    ("Short: ESPCN x2 of half the width, BSD300, W8A8", "cpu-espcn-half-x2", 8, ("espcn-x2-w8a8",), _SHORT_ESPCN),
    (
        "Short: ResNet18 at a quarter of its width, 2,000 images of CIFAR-10, W4A4",
        "cpu-resnet18-quarter",
        4,
        (),
        _SHORT_RESNET18,
    ),
    (
        "Short: ResNet18 at a quarter of its width, 2,000 images of CIFAR-10, W8A8",
        "cpu-resnet18-quarter",
        8,
        (),
        _SHORT_RESNET18,
    ),
    (
        "Short: MobileNetV1 at a quarter of its width, CIFAR-10 at 16 pixels, W8A8",
        "cpu-mobilenet-v1-quarter",
        8,
        (),
        "A quarter of the channels, images of half the side, three epochs on a CPU: compare methods with each other.",
    ),
    (
        "Short: U-Net x3 of half the width, BSD300, W8A8",
        "cpu-unet-half-x3",
        8,
        (),
        "Half the channels, three epochs of 24,000 windows of 48 pixels, on a CPU: compare methods with each other.",
    ),
)


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    body = ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *lines)]
    return "\n".join(body) + "\n"


def _ladder(title: str, rows: Sequence[Row], published: Sequence[Mapping[str, Any]], short: str | None) -> str:
    """One network at one pair of widths: ours by method and P, then the published tables."""
    text = [f"## {title}\n"]
    if short:
        text.append(short + "\n")
    if rows:
        unit, scale, digits = ("%", 100.0, 1) if rows[0].runs[0]["metric"] == "accuracy" else ("dB", 1.0, 2)
        ordered = sorted(rows, key=lambda r: (-(r.accumulator_bit_width or 99), ("float", *METHODS).index(r.method)))
        text.append(
            _table(
                ("P", "method", f"last, {unit}", f"best, {unit}", "sparsity, %", "compression", "certified"),
                (_ladder_line(row, scale, digits) for row in ordered),
            )
        )
    else:
        text.append("No run of this table has been made.\n")
    for table in published:
        found = [m for m in METHODS if m in table]
        text.append(f"Published: {table['title']} ({table['source']}); float {table['float']} {table['unit']}.\n")
        if "note" in table:
            text.append(table["note"] + "\n")
        lines = (
            (str(p), *("-" if table[m][i] is None else str(table[m][i]) for m in found))
            for i, p in enumerate(table["widths"])
        )
        text.append(_table(("P", *found), lines))
    return "\n".join(text)


def _ladder_line(row: Row, scale: float, digits: int) -> tuple[str, ...]:
    quantized = row.method != "float"
    holds = sum(run["certificate"]["holds"] for run in row.runs) if quantized else 0
    return (
        str(row.accumulator_bit_width or "-"),
        row.method,
        row.text("last", scale, digits),
        row.text("best", scale, digits),
        row.text("sparsity", 100, 1) if quantized else "-",
        row.text("compression", 1, 1) if quantized else "-",
        f"{holds} of {len(row.runs)}" if quantized else "-",
    )


def _headline(rows: Sequence[Row], published: Mapping[str, Any]) -> str:
    """W8A8 at P = 16 on every network that has been run so: the abstract's three numbers."""
    lines = []
    for row in rows:
        if (row.weight_bit_width, row.activation_bit_width, row.accumulator_bit_width) != (8, 8, 16):
            continue
        floating = next((r for r in rows if r.label == row.label and r.method == "float"), None)
        share = "-"
        if floating is not None:
            base = statistics.mean(run["last"] for run in floating.runs)
            share = f"{100 * statistics.mean(run['last'] for run in row.runs) / base:.1f}"
        lines.append((row.label, row.method, row.text("sparsity", 100, 1), row.text("compression", 1, 1), share))
    head = ("network", "method", "sparsity, %", "compression", "share of float, %")
    lines.append(
        ("mean of four", "a2q, published", *(str(published[k]) for k in ("sparsity", "compression", "share_of_float")))
    )
    return f"## {published['title']}\n\n" + _table(head, lines)


def _grid(rows: Sequence[Row], published: Mapping[str, Any]) -> str:
    """Best over (M, N) at each P, once the grid has cells beyond the two diagonals above."""
    text = ["## Best over (M, N)\n"]
    for label, name in (("resnet18", "resnet18-best"), ("mobilenet-v1", "mobilenet-v1-best")):
        pool = [r for r in rows if r.label == label and r.accumulator_bit_width]
        pairs = {(r.weight_bit_width, r.activation_bit_width) for r in pool}
        if len(pairs) <= 2:
            text.append(f"{label}: the grid has not been run.\n")
            continue
        widths = sorted({r.accumulator_bit_width for r in pool if r.accumulator_bit_width}, reverse=True)
        table = published[name]
        lines = []
        for p in widths:
            beside = table["widths"].index(p) if p in table["widths"] else None
            paper = [str(table[m][beside]) if beside is not None else "-" for m in ("a2q", "a2q+")]
            lines.append((str(p), *(_best(pool, p, m) for m in METHODS[1:]), *paper))
        text.append(f"{label}, {len(pairs)} pairs run, best epoch in %, (M, N):\n")
        text.append(_table(("P", *METHODS[1:], "a2q, published", "a2q+, published"), lines))
    return "\n".join(text)


def _best(pool: Sequence[Row], p: int, method: str) -> str:
    def of_row(row: Row) -> float:
        return statistics.mean(run["best"] for run in row.runs)

    rows = [r for r in pool if r.accumulator_bit_width == p and r.method == method]
    if not rows:
        return "-"
    row = max(rows, key=of_row)
    return f"{100 * of_row(row):.1f} ({row.weight_bit_width},{row.activation_bit_width})"


def _small_network() -> str:
    """The table of the small network's own benchmark, one heading deeper."""
    table = (HERE.parent / "results" / "accuracy_cpu.md").read_text().rstrip()
    return f"## The small network\n\nFrom `benchmarks/accuracy_cpu.py`; top-1 accuracy in %, chosen rate. {table}\n"


def _throughput() -> str:
    """Training speed of every quantizer beside float, of every machine that has measured it."""
    text = ["## Throughput of training\n"]
    for path in sorted((HERE.parent / "results").glob("throughput-*.json")):
        report = json.loads(path.read_text())
        options = "".join(f", {key} {value}" for key, value in report["options"].items())
        mode = ", compiled" if report["compile"] else ""
        text.append(
            f"{report['model']}{options}, batch {report['batch_size']}, {report['device']}, amp {report['amp']}{mode}, "
            f"torch {report['versions']['torch']}:\n"
        )
        head = ("variant", "step, ms", "images per second", "time, float = 1")
        keys = ("variant", "step_ms", "images_per_second", "ratio_to_float")
        text.append(_table(head, ([str(row[key]) for key in keys] for row in report["rows"])))
    return "\n".join(text)


def _queue() -> str:
    done = {cell.group: [0, 0] for cell in CELLS}
    for cell in CELLS:
        done[cell.group][0] += _result(cell) is not None
        done[cell.group][1] += 1
    lines = ((group, str(count), str(total)) for group, (count, total) in done.items())
    return "## The queue\n\nGroups `cpu-` are short runs; the others want a GPU.\n\n" + _table(
        ("group", "runs done", "runs listed"), lines
    )
