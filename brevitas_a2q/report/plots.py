"""Figures, drawn without a display."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from brevitas_a2q.report.story import Story

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["POLICY_COLORS", "overview", "png"]

# Okabe and Ito's palette: told apart with any colour vision.
POLICY_COLORS = {
    "32": "#999999",
    "data-type": "#E69F00",
    "exact": "#56B4E9",
    "range": "#CC79A7",
    "trained": "#009E73",
}
POLICY_NAMES = {
    "32": "32 bits",
    "data-type": "data-type bound",
    "exact": "exact range of the weights",
    "range": "range analysis",
    "trained": "trained P",
}


def png(figure: Figure) -> bytes:
    """The figure as a PNG file at 150 dots per inch."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()


def overview(story: Story) -> Figure:
    """Accuracy of every run, accumulator width per layer, and LUTs per layer, the policies side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.2), layout="constrained")
    accuracy, widths, luts = figure.subplots(1, 3, width_ratios=(1, 1.3, 1.6))
    _accuracy(accuracy, story)
    estimates = story.estimates
    _grouped_bars(widths, {p: _of_accumulators(e, "accumulator_bit_width") for p, e in estimates.items()})
    widths.set(title="Accumulator width", ylabel="bits")
    _grouped_bars(luts, {p: _of_accumulators(e, "lut") | {"all other units": _rest(e)} for p, e in estimates.items()})
    luts.set(title="LUTs", ylabel="LUT")
    handles, labels = widths.get_legend_handles_labels()
    totals = (estimate["total"]["lut"] for estimate in estimates.values())
    labels = [f"{label}: {total:,} LUT" for label, total in zip(labels, totals, strict=True)]
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure


def _accuracy(axes: Axes, story: Story) -> None:
    names = [run.name for run in story.runs]
    scores = [100 * run.last for run in story.runs]
    colors = [POLICY_COLORS["trained"] if run.name == story.chosen else POLICY_COLORS["32"] for run in story.runs]
    bars = axes.barh(names, scores, color=colors)
    axes.bar_label(bars, fmt="%.1f", label_type="center", color="white", fontsize=9)
    axes.invert_yaxis()
    axes.set(title="Test accuracy, last epoch", xlabel="%", xlim=(0, 100))
    axes.spines[["top", "right"]].set_visible(False)


def _of_accumulators(estimate: Mapping[str, Any], quantity: str) -> dict[str, int]:
    """One quantity of every unit that has an accumulator."""
    return {row["name"]: row[quantity] for row in estimate["layers"] if row["accumulator_bit_width"] is not None}


def _rest(estimate: Mapping[str, Any]) -> int:
    """LUTs of all units without an accumulator: windows, pools, converters, FIFOs."""
    return sum(row["lut"] for row in estimate["layers"] if row["accumulator_bit_width"] is None)


def _grouped_bars(axes: Axes, values: Mapping[str, Mapping[str, int]]) -> None:
    """One group of bars per unit, one bar per policy."""
    width = 0.8 / len(values)
    names = list(next(iter(values.values())))
    for index, (policy, of_policy) in enumerate(values.items()):
        places = [i + (index - (len(values) - 1) / 2) * width for i in range(len(names))]
        label, color = POLICY_NAMES.get(policy, policy), POLICY_COLORS.get(policy)
        axes.bar(places, [of_policy[name] for name in names], width, label=label, color=color)
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
