"""Renders the results on record into docs/results.md, beside the published numbers."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from cells import CELLS, Cell
from figures import ladder_figure
from ladders import LADDERS
from runs import RESULTS, is_of

from brevitas_a2q._files import write_atomically

__all__ = ["render"]

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs"
METHODS = ("none", "a2q", "a2q+", "projected")

_HEAD = """# Results

How accurate networks stay when their accumulators are narrow: our runs, and beside them the numbers that the papers
published. {made} of {listed} runs of the [queue](#the-queue) have been made. Tables whose titles begin with "Whole" are
of the papers' networks at their full width, trained for hours of a CPU instead of days of a GPU. Those that begin with
"Short" are of runs that fit into minutes: narrower networks, few epochs, less data. They compare the methods with each
other, not with the papers.

| word | meaning |
| --- | --- |
| W4A4, W8A8 | weights and activations of 4, or of 8 bits; the first and the last layer have 8 |
| P | width in bits of the hidden layers' accumulators; the narrower, the less hardware and the harder to train |
| `float` | the network before quantization, from which all quantized runs start |
| `none` | quantized, accumulators not constrained: what the methods below are measured against |
| `a2q`, `a2q+` | the papers' methods (A2Q, arXiv 2301.13376; A2Q+, arXiv 2401.10432), as this package computes them |
| `projected` | this package's projection onto the exact budget |
| last, best | test metric after the last epoch, highest of any epoch: mean ± sample standard deviation, n seeds |
| sparsity, compression | share of zeros among the constrained layers' weights; their bits divided by their entropy |
| certified | runs whose certificate holds: checked with exact integers, for every input |

- **Compared with what.** The papers report the maximum over three seeds and over epochs. `best` comes nearest to it;
  `last` is what this project stands by.
- **Test data chose nothing** but what is called best. Within a table all methods and widths have one recipe, and none
  was tuned on these numbers.
- **Seeds** vary the quantized training. All seeds of a network start from the same float weights, so ± is not the
  spread over float networks. With n=1 there is no spread, and small differences mean nothing.
- **Nothing is typed in** but the published numbers (`benchmarks/reproduce/published.yaml`, each with its source): the
  rest is written by `python benchmarks/reproduce render` from one file per run in `benchmarks/reproduce/results/`,
  with its configuration, seed, curve, time, device and versions. `-` is a run that has not been made.
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
    made = sum(_result(cell) is not None for cell in CELLS)
    written, parts = [], [_HEAD.format(made=made, listed=f"{len(CELLS):,}")]
    with_runs = {row.label for row in rows}
    for title, label, bits, names, short in sorted(LADDERS, key=lambda ladder: ladder[1] not in with_runs):
        chosen = [r for r in rows if r.label == label and (r.method == "float" or r.weight_bit_width == bits)]
        beside = [published[name] for name in names]
        parts.append(_ladder(title, chosen, beside, short))
        if len({r.accumulator_bit_width for r in chosen if r.accumulator_bit_width}) > 1:
            figure = DOCS / "results" / f"{label}-w{bits}.png"
            figure.parent.mkdir(exist_ok=True)
            write_atomically(figure, ladder_figure(title, chosen, beside))
            written.append(figure)
            parts.append(f"![{title}](results/{figure.name})\n")
    parts += [_headline(rows, published["headline-w8a8-p16"]), _grid(rows, published), _throughput(), _queue()]
    parts.insert(1, _small_network())
    page = DOCS / "results.md"
    write_atomically(page, "\n".join(parts))
    written += _into_readme(DOCS.parent / "README.md", rows, published)
    return [page, *written]


_BEGIN, _END = "<!-- whole networks: written by benchmarks/reproduce render -->", "<!-- end of whole networks -->"


def _into_readme(readme: Path, rows: Sequence[Row], published: Mapping[str, Any]) -> list[Path]:
    """Put the whole networks' table where README.md has a place for it."""
    if not readme.exists() or _BEGIN not in (text := readme.read_text()):
        return []
    before, _, rest = text.partition(_BEGIN)
    after = rest.partition(_END)[2]
    write_atomically(readme, f"{before}{_BEGIN}\n\n{_whole_networks(rows, published)}\n{_END}{after}")
    return [readme]


def _whole_networks(rows: Sequence[Row], published: Mapping[str, Any]) -> str:
    """Networks of full width: last epochs, ours beside the published best."""
    head = ("network", "P", *METHODS[:0:-1], "P not bounded", "float", "published a2q+", "a2q", "float")
    lines = []
    for title, label, bits, names, _ in LADDERS:
        if not title.startswith("Whole: "):
            continue
        mine = [row for row in rows if row.label == label and (row.method == "float" or row.weight_bit_width == bits)]
        table = published[names[0]]
        for p in sorted({row.accumulator_bit_width for row in mine if row.accumulator_bit_width}, reverse=True):
            found = {row.method: row for row in mine if row.accumulator_bit_width in (p, None)}
            ours = (_last(found.get(method)) for method in (*METHODS[:0:-1], "none", "float"))
            place = table["widths"].index(p) if p in table["widths"] else None
            theirs = (table[m][place] if m in table and place is not None else None for m in ("a2q+", "a2q"))
            cells = (
                title.removeprefix("Whole: "),
                str(p),
                *ours,
                *(str(v or "-") for v in theirs),
                str(table["float"]),
            )
            lines.append(cells)
    return _table(head, lines)


def _last(row: Row | None) -> str:
    if row is None:
        return "-"
    accuracy = row.runs[0]["metric"] == "accuracy"
    return row.text("last", 100.0 if accuracy else 1.0, 1 if accuracy else 2).replace(" (n=1)", "")


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
        digits = max(len(str(value).partition(".")[2]) for m in found for value in table[m] if value is not None)
        lines = (
            (str(p), *("-" if table[m][i] is None else f"{table[m][i]:.{digits}f}" for m in found))
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
    """W8A8 at P = 16 on every network that has been run so, the mean of the papers' four, and the abstract's."""
    head = ("network", "method", "last", "float", "share of float, %", "sparsity, %", "compression")
    shares = [
        share
        for row in rows
        if (row.weight_bit_width, row.activation_bit_width, row.accumulator_bit_width) == (8, 8, 16)
        for share in _share(row, rows)
    ]
    lines = [share.line for share in shares]
    for method in METHODS[1:]:
        four = [share for share in shares if share.row.method == method and share.row.label in _PAPERS_FOUR]
        if len(four) == len(_PAPERS_FOUR):
            means = [
                statistics.mean(getattr(share, key) for share in four) for key in ("share", "sparsity", "compression")
            ]
            lines.append(("mean of the papers' four", method, "", "", *(f"{mean:.1f}" for mean in means)))
    paper = (str(published[key]) for key in ("share_of_float", "sparsity", "compression"))
    lines.append(("mean of the papers' four", "a2q, published", "", "", *paper))
    note = (
        "Networks named `cpu-` are the short ones above, `whole-` those at full width; the share is of the network "
        "in float, last epochs both.\n"
    )
    return f"## {published['title']}\n\n{note}\n" + _table(head, lines)


_PAPERS_FOUR = ("mobilenet-v1", "resnet18", "espcn-x3", "unet-x3")


@dataclass(frozen=True)
class _Share:
    """A row of the headline; shares and sparsity in per cent."""

    row: Row
    line: tuple[str, ...]
    share: float
    sparsity: float
    compression: float


def _share(row: Row, rows: Sequence[Row]) -> Iterator[_Share]:
    """The row beside its float network, where that has been trained."""
    floating = next((r for r in rows if r.label == row.label and r.method == "float"), None)
    if floating is None:
        return
    scale, digits = (100.0, 1) if row.runs[0]["metric"] == "accuracy" else (1.0, 2)
    means = [statistics.mean(run[key] for run in row.runs) for key in ("last", "sparsity", "compression")]
    share = 100 * means[0] / statistics.mean(run["last"] for run in floating.runs)
    lasts = (row.text("last", scale, digits), floating.text("last", scale, digits))
    found = (row.text("sparsity", 100, 1), row.text("compression", 1, 1))
    line = (row.label, row.method, *lasts, f"{share:.1f}", *found)
    yield _Share(row, line, share, 100 * means[1], means[2])


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
    table = (HERE.parent / "results" / "accuracy_cpu.md").read_text().partition("\n\n")[2].rstrip()
    return f"## The small network, every width\n\n{_SMALL}\n\n{table}\n"


_SMALL = """The widest comparison here, by a benchmark of its own
([`benchmarks/accuracy_cpu.py`](../benchmarks/accuracy_cpu.py)): a small network on 6,000 images of CIFAR-10 of 16x16
pixels, from one float start. Top-1 accuracy in % on 3,000 test images after the last epoch; in brackets the learning
rate, chosen from two for each method and width on training images held out of training. "Scale search" gives A2Q and
A2Q+ the projection's start of the scales."""


def _throughput() -> str:
    """Training speed of every quantizer beside float, of every machine that has measured it."""
    text = ["## Throughput of training\n"]
    for path in sorted((HERE.parent / "results").glob("throughput-*.json")):
        report = json.loads(path.read_text())
        options = "".join(f", {key} {value}" for key, value in report["options"].items())
        modes = [word for word in ("compile", "channels_last", "collecting") if report.get(word)]
        mode = "".join(f", {word.replace('_', '-')}" for word in modes)
        text.append(
            f"{report['model']}{options}, batch {report['batch_size']}, {report['device']}, amp {report['amp']}{mode}, "
            f"torch {report['versions']['torch']}:\n"
        )
        head = ("variant", "step, ms", "images per second", "time, float = 1", "memory, float = 1")
        keys = ("variant", "step_ms", "images_per_second", "ratio_to_float", "memory_to_float")
        text.append(_table(head, ([str(row.get(key, "")) for key in keys] for row in report["rows"])))
    return "\n".join(text)


def _queue() -> str:
    done = {cell.group: [0, 0] for cell in CELLS}
    for cell in CELLS:
        done[cell.group][0] += _result(cell) is not None
        done[cell.group][1] += 1
    lines = ((group, str(count), str(total)) for group, (count, total) in done.items())
    earlier = sum((RESULTS / f"{cell.name}.json").exists() and _result(cell) is None for cell in CELLS)
    left_out = f" {earlier} results of earlier recipes are left out of this page." if earlier else ""
    return f"## The queue\n\nGroups `cpu-` fit a CPU; the others want a GPU.{left_out}\n\n" + _table(
        ("group", "runs done", "runs listed"), lines
    )
