"""The table of parts as a figure and a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from brevitas_a2q.report._figures import BLUE, GREEN, ORANGE, Picture, bare, label, thousands
from brevitas_a2q.report._html import render

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["parts_figure", "parts_page"]

_COLORS: Final = {"7-series": ORANGE, "UltraScale+": BLUE, "Versal": GREEN}
_MBIT_PER_BRAM18: Final = 18 / 1024
_MBIT_PER_URAM: Final = 288 / 1024


def parts_figure(rows: Sequence[dict[str, Any]]) -> Figure:
    """Memory on the chip and DSP blocks against LUTs, one point per part; boards are named where there is room.

    Args:
        rows: Parts of ``brevitas-a2q parts --json``.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 6), layout="constrained")
    memory, dsp = figure.subplots(1, 2)
    _points(memory, rows, [_MBIT_PER_BRAM18 * row["bram18"] + _MBIT_PER_URAM * row["uram"] for row in rows])
    memory.set(title="Block RAM and UltraRAM", ylabel="Mbit")
    _points(dsp, rows, [row["dsp"] for row in rows])
    dsp.set(title="DSP blocks", ylabel="DSP")
    memory.legend(fontsize=9, frameon=False)
    return figure


def parts_page(rows: Sequence[dict[str, Any]], picture: Picture) -> str:
    """The table.

    Args:
        rows: Parts of ``brevitas-a2q parts --json``.
        picture: of :func:`parts_figure`.
    """
    return render("parts.html.j2", rows=rows, picture=picture)


def _points(axes: Axes, rows: Sequence[dict[str, Any]], values: Sequence[float]) -> None:
    for family in dict.fromkeys(row["family"] for row in rows):
        chosen = [(row["lut"], value) for row, value in zip(rows, values, strict=True) if row["family"] == family]
        axes.plot(*zip(*chosen, strict=True), "o", color=_COLORS.get(family, GREEN), markersize=4, label=label(family))
    named: list[float] = []
    for row, value in sorted(zip(rows, values, strict=True), key=lambda pair: -pair[1]):
        name = (row["boards"] or [row["name"]])[0]
        if (row["boards"] and not any(0.85 < value / other < 1.18 for other in named)) or len(rows) == 1:
            named.append(value)
            place = (row["lut"], value)
            axes.annotate(label(name), place, xytext=(5, -3), textcoords="offset points", fontsize=8)
    axes.set(xlabel="LUT", xscale="log", yscale="log" if min(values) > 0 else "linear")
    thousands(axes.xaxis)
    thousands(axes.yaxis)
    bare(axes)
