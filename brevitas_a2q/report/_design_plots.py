"""Figures of one estimate: LUTs and cycles per layer, and what it takes of the part."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, inf, log10
from typing import TYPE_CHECKING, Final

from brevitas_a2q.hw._estimation import Estimate
from brevitas_a2q.report._breakdown import FAMILIES, LayerShare, largest, layer_shares
from brevitas_a2q.report._figures import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    YELLOW,
    bare,
    label,
    thousands,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["RESOURCE_NAMES", "estimate_figure"]

RESOURCE_NAMES: Final = {"lut": "LUT", "bram18": "BRAM18", "uram": "URAM", "dsp": "DSP"}
_COLORS: Final = dict(zip(FAMILIES, (SKY, BLUE, RED, GREEN, ORANGE, YELLOW, GREY, PURPLE, GREY), strict=True))
_MOST_LAYERS: Final = 28


def estimate_figure(estimate: Estimate, beside: Estimate | None = None, beside_name: str = "SetFolding") -> Figure:
    """LUTs per layer by family of terms, cycles per layer, and the share of the part's resources.

    Args:
        estimate: What to show.
        beside: Another folding of the same network, marked beside the bars.
        beside_name: What to call it.
    """
    from matplotlib.figure import Figure

    layers = largest(layer_shares(estimate), _MOST_LAYERS)
    others = {} if beside is None else {layer.name: layer for layer in layer_shares(beside)}
    figure = Figure(figsize=(13, 4.3 + 0.24 * len(layers)), layout="constrained")
    heights = (1.2 + 0.24 * len(layers), 2.0)
    axes = figure.subplot_mosaic([["luts", "cycles"], ["part", "part"]], height_ratios=heights, width_ratios=(2.2, 1))
    figure.suptitle(label(f"{estimate.network} on {estimate.part.name}, {estimate.clock_mhz:g} MHz", 90))
    _luts(axes["luts"], layers, others, beside_name)
    handles, names = axes["luts"].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=5, fontsize=9, frameon=False)
    _cycles(axes["cycles"], layers, others, estimate.max_cycles)
    _part(axes["part"], {"this design": estimate} | ({} if beside is None else {beside_name: beside}))
    return figure


def _luts(axes: Axes, layers: Sequence[LayerShare], others: dict[str, LayerShare], beside_name: str) -> None:
    places = range(len(layers))
    left = [0.0] * len(layers)
    for family in FAMILIES:
        widths = [layer.luts.get(family, 0.0) for layer in layers]
        if any(widths):
            axes.barh(places, widths, left=left, color=_COLORS[family], label=family, height=0.72)
            left = [start + width for start, width in zip(left, widths, strict=True)]
    marked = [i for i, layer in enumerate(layers) if layer.name in others]
    if marked:
        totals = [others[layers[i].name].total for i in marked]
        axes.plot(totals, marked, "|", color=BLACK, markersize=9, markeredgewidth=2, label=f"{beside_name}, in all")
    axes.set_yticks(places, [label(layer.name) for layer in layers], fontsize=8)
    axes.set(xlabel="LUT", xlim=(0, None))
    axes.set_title("LUTs per unit, with the FIFOs and converters in front of it", fontsize=10)
    axes.set_ylim(len(layers) - 0.4, -0.6)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    bare(axes)


def _cycles(axes: Axes, layers: Sequence[LayerShare], others: dict[str, LayerShare], slowest: int) -> None:
    timed = [(i, layer.cycles) for i, layer in enumerate(layers) if layer.cycles]
    colors = [RED if cycles == slowest else SKY for _, cycles in timed]
    axes.barh([i for i, _ in timed], [cycles for _, cycles in timed], color=colors, height=0.72)
    beside = [(others[layer.name].cycles or 0, i) for i, layer in enumerate(layers) if layer.name in others]
    axes.plot([c for c, _ in beside], [i for _, i in beside], "|", color=BLACK, markersize=9, markeredgewidth=2)
    axes.set(xlabel="cycles", xscale="log")
    axes.set_yticks(range(len(layers)), [label(layer.name) for layer in layers], fontsize=8)
    axes.tick_params(left=False, labelleft=False)  # the panel to the left has them
    axes.set_title("Cycles per image, the most in red", fontsize=10)
    axes.set_ylim(len(layers) - 0.4, -0.6)
    decades = [floor(log10(min(cycles for _, cycles in timed))), log10(1.3 * slowest)] if timed else [0, 1]
    axes.set_xlim(*(10**decade for decade in decades))
    thousands(axes.xaxis)
    bare(axes)


def _part(axes: Axes, designs: dict[str, Estimate]) -> None:
    """Bars of the share used; what the part has none of, but the design uses, is a bar over the whole width."""
    shares = {name: estimate.utilization for name, estimate in designs.items()}
    most = max(100 * share for of_design in shares.values() for share in of_design.values() if share < inf)
    end = 1.35 * max(most, 1.0) if most < 60 else 1.35 * max(most, 100.0)
    height = 0.8 / len(designs)
    for place, (name, estimate) in enumerate(designs.items()):
        used = shares[name]
        rows = [row + (place - (len(designs) - 1) / 2) * height for row in range(len(RESOURCE_NAMES))]
        widths = [min(100 * share, end) for share in used.values()]
        colors = [RED if share > 1 else (BLUE, GREY)[place] for share in used.values()]
        axes.barh(rows, widths, height * 0.92, color=colors, label=label(name))
        for row, width, key in zip(rows, widths, RESOURCE_NAMES, strict=True):
            inside = width > 0.8 * end
            axes.annotate(
                _of_part(estimate, key),
                (width, row),
                xytext=(-5 if inside else 5, 0),
                textcoords="offset points",
                ha="right" if inside else "left",
                va="center",
                fontsize=8,
                color="white" if inside else BLACK,
            )
    if end > 100:
        axes.axvline(100, color=RED, linewidth=1)
    axes.set_yticks(range(len(RESOURCE_NAMES)), list(RESOURCE_NAMES.values()))
    axes.set(xlabel=label(f"% of {next(iter(designs.values())).part.name}", 60), xlim=(0, end))
    axes.invert_yaxis()
    if len(designs) > 1:
        axes.legend(fontsize=8, frameon=False, loc="best")
    bare(axes)


def _of_part(estimate: Estimate, key: str) -> str:
    used, available = getattr(estimate.total, key), getattr(estimate.part, key)
    return f"{used:,} ({used / available:.1%})" if available else f"{used:,} of 0"
