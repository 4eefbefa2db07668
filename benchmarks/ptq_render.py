"""From ``results/ptq.jsonl`` to the results section of ``docs/ptq.md``, its figure, and the table of the README."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import MaxNLocator

__all__ = ["render"]

ROOT = Path(__file__).resolve().parents[1]
PAGE, FIGURE, README = ROOT / "docs" / "ptq.md", ROOT / "docs" / "ptq.png", ROOT / "README.md"
BEGIN, END = "<!-- results: benchmarks/ptq.py render -->", "<!-- end of results -->"
README_BEGIN, README_END = "<!-- table: benchmarks/ptq.py render -->", "<!-- end of table -->"
TITLES = {
    "digits": "digit recogniser, 390k parameters",
    "r-net": "R-Net (faces), 100k",
    "o-net": "O-Net (faces), 389k",
    "magika": "Magika (kinds of files), 785k",
    "mini-lm": "MiniLM (sentences), 22M",
    "efficient-net": "EfficientNet-Lite0 (photographs; agreement with float), 4.7M",
    "pitch": "CREPE tiny (pitch), 487k",
}
AGREEMENT = ("efficient-net",)  # without labels: judged beside 8-bit rounding, which does not agree with float either
POINTS, POINTS_OF_AGREEMENT = 1.0, 5.0
METHODS = {
    "rounding": "plain 8-bit rounding",
    "axe-gptq": "GPTQ with AXE (Brevitas)",
    "axe-gpfq": "GPFQ with AXE (Brevitas)",
    "axe-gptq-w4": "GPTQ with AXE, 4-bit weights",
    "axe-gptq-w4a4": "GPTQ with AXE, 4-bit weights and activations",
    "projection-fixed": "projection, fixed scale, 8-bit activations",
    "projection-searched": "projection, searched scale, 8-bit activations",
    "ours-8-bit": "exchanges, 8-bit activations",
    "ours-projection": "projection, N chosen",
    "ours": "exchanges, N chosen",
    "ours-auto": "auto (by held-out output)",
}
COLOURS = plt.get_cmap("tab20")
Cell = dict[str, Any]


def render(results: Path) -> None:
    """Write the section and the figure."""
    cells = [json.loads(line) for line in results.read_text().splitlines()]
    done = [cell for cell in cells if "failed" not in cell]
    networks = list(dict.fromkeys(cell["network"] for cell in cells))
    lines = [BEGIN, "", *_summary(done, networks), ""]
    for network in networks:
        lines += _curves([cell for cell in cells if cell["network"] == network], network)
    lines += [_guarantee(done), "", "![Score against accumulator width](ptq.png)", "", END]
    _replace(PAGE, BEGIN, END, lines[1:-1])
    _replace(README, README_BEGIN, README_END, ["", *_headlines(done, networks), ""])
    _figure(done, networks)


def _replace(page: Path, begin: str, end: str, lines: list[str]) -> None:
    before, _, rest = page.read_text().partition(begin)
    _, _, after = rest.partition(end)
    page.write_text("\n".join([before + begin, *lines, end + after]))


def _headlines(cells: list[Cell], networks: list[str]) -> list[str]:
    """A row per network: what plain rounding needs, the best of AXE's widths, and ours with its scores."""
    lines = [
        "| network | float | plain 8-bit rounding | GPTQ with AXE, best of its widths | `quantize_post_training_` |",
        "|---|---|---|---|---|",
    ]
    for network in networks:
        own = [cell for cell in cells if cell["network"] == network]
        by = {method: [cell for cell in own if cell["method"] == method] for method in METHODS}
        if not by["ours"]:
            continue
        axe = [cell for method, of in by.items() if method.startswith("axe") for cell in of]
        floor = _floor(own)
        columns = [_headline(by["rounding"], floor), _best_headline(axe, floor), _headline(by["ours"], floor)]
        title = TITLES.get(network, network)
        lines.append(f"| {title} | {own[0]['float']:.2f} % | " + " | ".join(columns) + " |")
    return lines


def _floor(cells: list[Cell]) -> float:
    """The least score of a network that counts: a point under float, or five under the agreement of 8-bit rounding."""
    if cells[0]["network"] not in AGREEMENT:
        return float(cells[0]["float"] - POINTS)
    scores = [cell["score"] for cell in cells if cell["method"] == "rounding"]
    return float(sum(scores) / len(scores) - POINTS_OF_AGREEMENT)


def _headline(cells: list[Cell], floor: float) -> str:
    """The narrowest width whose mean score is not below the floor, and its scores by seed."""
    narrowest = _narrowest(cells, floor)
    if not narrowest.isdigit():
        return narrowest
    scores = _scores(cells)[int(narrowest)]
    return f"P = {narrowest}: " + " / ".join(f"{score:.2f}" for score in scores) + " %"


def _best_headline(cells: list[Cell], floor: float) -> str:
    found = [
        _headline([cell for cell in cells if cell["method"] == m], floor) for m in {cell["method"] for cell in cells}
    ]
    good = [text for text in found if text.startswith("P")]
    return min(good, key=lambda text: int(text.split()[2].rstrip(":"))) if good else (min(found) if found else "-")


def _scores(cells: list[Cell]) -> dict[int, list[float]]:
    found: dict[int, list[float]] = defaultdict(list)
    for cell in cells:
        width = cell["P"] or cell["needs"]
        if cell["violations"]:
            width = cell["needs"]  # what it would have to be given
        found[width].append(cell["score"])
    return dict(sorted(found.items()))


def _narrowest(cells: list[Cell], floor: float) -> str:
    """The least width from which on the mean score stays at or above the floor; of several seeds where any has."""
    if not cells:
        return "-"
    scores = _scores(cells)
    least, several = None, any(len(values) > 1 for values in scores.values())
    for width, values in sorted(scores.items(), reverse=True):
        if sum(values) / len(values) < floor:
            break
        if len(values) > 1 or not several:
            least = width
    return f"> {max(scores)}" if least is None else str(least)


def _summary(cells: list[Cell], networks: list[str]) -> list[str]:
    lines = [
        "Narrowest accumulator, of those tried, from which on the score stays within one point of the float network's "
        "(mean over seeds, of several where a method has any; agreement of EfficientNet with its float self: within "
        "five points of 8-bit rounding's):",
        "",
        "| method | " + " | ".join(networks) + " |",
        "|---" * (len(networks) + 1) + "|",
    ]
    floors = {name: _floor([cell for cell in cells if cell["network"] == name]) for name in networks}
    for method, title in METHODS.items():
        row = [
            _narrowest([c for c in cells if (c["network"], c["method"]) == (n, method)], floors[n]) for n in networks
        ]
        if set(row) != {"-"}:
            lines.append(f"| {title} | " + " | ".join(row) + " |")
    return lines


def _curves(cells: list[Cell], network: str) -> list[str]:
    good = [cell for cell in cells if "failed" not in cell]
    if not good:
        return []
    lines = [
        f"**{network}**, float {good[0]['float']:.2f} %. Score by seed, seconds of a run beside other work.",
        "",
    ]
    lines += ["| method | P | score | bits needed | seconds |", "|---|---|---|---|---|"]
    for method, title in METHODS.items():
        widths = sorted({cell["P"] for cell in cells if cell["method"] == method}, reverse=True)
        for width in widths:
            of = [cell for cell in cells if cell["method"] == method and cell["P"] == width]
            ran = [cell for cell in of if "failed" not in cell]
            if not ran:
                lines.append(f"| {title} | {width} | failed: {of[0]['failed'][:80]} | | |")
                continue
            scores = " / ".join(f"{cell['score']:.2f}" for cell in sorted(ran, key=lambda cell: cell["seed"]))
            needs, seconds = max(cell["needs"] for cell in ran), sum(cell["seconds"] for cell in ran) / len(ran)
            lines.append(f"| {title} | {width or 'none'} | {scores} | {needs} | {seconds:.0f} |")
    return [*lines, ""]


def _guarantee(cells: list[Cell]) -> str:
    ours = [cell for cell in cells if cell["method"].startswith(("ours", "projection"))]
    others = [cell for cell in cells if cell["method"].startswith("axe")]
    return (
        f"Judged in Python integers: {sum(cell['violations'] for cell in ours)} of "
        f"{sum(cell['channels'] for cell in ours):,} channels of our {len(ours)} runs can leave P bits; of AXE's "
        f"{len(others)} runs {sum(cell['violations'] for cell in others)} of "
        f"{sum(cell['channels'] for cell in others):,}."
    )


def _figure(cells: list[Cell], networks: list[str]) -> None:
    columns = min(3, len(networks))
    rows = -(-len(networks) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4.2 * columns, 3.2 * rows), squeeze=False)
    for axis, network in zip(axes.flat, networks, strict=False):
        own = [cell for cell in cells if cell["network"] == network]
        for index, (method, title) in enumerate(METHODS.items()):
            scores = _scores([cell for cell in own if cell["method"] == method])
            if scores:
                means = [sum(values) / len(values) for values in scores.values()]
                axis.plot(list(scores), means, marker="o", markersize=3, label=title, color=COLOURS(index))
        if own:
            axis.axhline(own[0]["float"], color="grey", linewidth=0.8, linestyle=":")
        axis.set_title(network)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set_xlabel("accumulator bits P")
        axis.set_ylabel("score, %")
    for axis in axes.flat[len(networks) :]:
        axis.axis("off")
    handles = {}
    for axis in axes.flat:
        handles.update(dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True)))
    figure.legend(handles.values(), handles.keys(), loc="lower center", ncol=3, fontsize=7)
    figure.tight_layout(rect=(0, 0.12 if rows == 1 else 0.08, 1, 1))
    figure.savefig(FIGURE, dpi=110)
    plt.close(figure)
