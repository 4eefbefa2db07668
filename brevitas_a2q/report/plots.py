"""Figures, drawn without a display."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
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
    any_estimate = next(iter(estimates.values()))
    matrix_layers = [row["name"] for row in any_estimate["layers"] if row["accumulator_bit_width"] is not None]
    all_layers = [row["name"] for row in any_estimate["layers"]]
    _grouped_bars(widths, estimates, matrix_layers, "accumulator_bit_width")
    widths.set(title="Accumulator width", ylabel="bits")
    _grouped_bars(luts, estimates, all_layers, "lut")
    luts.set(title="LUTs per unit", ylabel="LUT")
    totals = "\n".join(f"{POLICY_NAMES.get(name, name)}: {e['total']['lut']:,} LUT" for name, e in estimates.items())
    luts.text(0.98, 0.97, totals, transform=luts.transAxes, ha="right", va="top", fontsize=8)
    handles, labels = widths.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure


def _accuracy(axes: Axes, story: Story) -> None:
    names = [run.name for run in story.runs]
    scores = [100 * run.last for run in story.runs]
    colors = [POLICY_COLORS["trained"] if run.name == story.chosen else POLICY_COLORS["32"] for run in story.runs]
    bars = axes.barh(names, scores, color=colors)
    axes.bar_label(
        bars, fmt="%.1f", padding=-4, label_type="edge", color="white", fontsize=9, horizontalalignment="right"
    )
    axes.invert_yaxis()
    axes.set(title="Test accuracy, last epoch", xlabel="%", xlim=(0, 100))
    axes.spines[["top", "right"]].set_visible(False)


def _grouped_bars(axes: Axes, estimates: Mapping[str, Mapping[str, Any]], layers: Sequence[str], quantity: str) -> None:
    """One group per layer, one bar per policy; units that a policy lacks or that cost nothing have no bar."""
    width = 0.8 / len(estimates)
    for index, (policy, estimate) in enumerate(estimates.items()):
        values = {row["name"]: row[quantity] or 0 for row in estimate["layers"]}
        places = [i + (index - (len(estimates) - 1) / 2) * width for i in range(len(layers))]
        axes.bar(
            places,
            [values.get(name, 0) for name in layers],
            width,
            label=POLICY_NAMES.get(policy, policy),
            color=POLICY_COLORS.get(policy),
        )
    axes.set_xticks(range(len(layers)), layers, rotation=40, ha="right", fontsize=7)
    axes.spines[["top", "right"]].set_visible(False)
