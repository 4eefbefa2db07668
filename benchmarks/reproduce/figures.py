"""Figures of docs/results.md."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from brevitas_a2q.report._figures import BLUE, GREY, ORANGE, SKY, bare, image

if TYPE_CHECKING:
    from render import Row

__all__ = ["ladder_figure"]

_COLOURS = {"a2q": ORANGE, "a2q+": SKY, "projected": BLUE}


def ladder_figure(title: str, rows: Sequence[Row], published: Sequence[Mapping[str, Any]]) -> bytes:
    """Metric after the last epoch against P, with the spread over seeds; published curves dashed."""
    accuracy = rows[0].runs[0]["metric"] == "accuracy"
    scale = 100 if accuracy else 1
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for method, colour in _COLOURS.items():
        line = sorted(
            (r for r in rows if r.method == method and r.accumulator_bit_width),
            key=lambda r: r.accumulator_bit_width or 0,
        )
        if line:
            values = [[scale * run["last"] for run in row.runs] for row in line]
            axes.errorbar(
                [row.accumulator_bit_width or 0 for row in line],
                [statistics.mean(v) for v in values],
                [statistics.stdev(v) if len(v) > 1 else 0 for v in values],
                color=colour,
                marker="o",
                capsize=3,
                label=f"{method}, last epoch",
            )
        for table in published[:1]:
            points = [(p, v) for p, v in zip(table["widths"], table.get(method, ()), strict=False) if v and p <= 20]
            if points:
                axes.plot(
                    *zip(*points, strict=True), color=colour, ls="--", marker="x", label=f"{method}, published best"
                )
    for row in rows:
        if row.method in ("float", "none"):
            level = scale * statistics.mean(run["last"] for run in row.runs)
            style = "-" if row.method == "float" else ":"
            name = "float" if row.method == "float" else "accumulators unconstrained"
            axes.axhline(level, color=GREY, ls=style, label=name)
    axes.set(title=title, xlabel="accumulator bit width P", ylabel="top-1 accuracy, %" if accuracy else "PSNR, dB")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize="small")
    bare(axes)
    return image(figure)
