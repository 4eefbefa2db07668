"""The quickstart's figure and page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from brevitas_a2q.report._figures import GREEN, GREY, ORANGE, PURPLE, SKY, bare
from brevitas_a2q.report._html import embedded, render
from brevitas_a2q.report._story import Story

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["POLICY_NAMES", "overview", "page"]

_POLICY_COLORS: Final = {"32": GREY, "data-type": ORANGE, "exact": SKY, "range": PURPLE, "trained": GREEN}
POLICY_NAMES: Final = {
    "32": "32 bits",
    "data-type": "data-type bound",
    "exact": "exact range, unconstrained network",
    "range": "range analysis",
    "trained": "trained P",
}


def page(story: Story, picture: bytes) -> str:
    """The quickstart's report as HTML.

    Args:
        story: What to tell.
        picture: PNG shown at the top, embedded.
    """
    return render("quickstart.html.j2", story=story, picture=embedded(picture), policy_names=POLICY_NAMES)


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
    labels = [f"{name}: {total:,} LUT" for name, total in zip(labels, totals, strict=True)]
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure


def _accuracy(axes: Axes, story: Story) -> None:
    names = [run.name for run in story.runs]
    scores = [100 * run.last for run in story.runs]
    bars = axes.barh(names, scores, color=[GREEN if run.name == story.chosen else GREY for run in story.runs])
    axes.bar_label(bars, fmt="%.1f", padding=3, fontsize=9)
    axes.invert_yaxis()
    axes.set(title="Test accuracy, last epoch", xlabel="%", xlim=(0, 115), xticks=range(0, 101, 20))
    bare(axes)


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
        heights = [of_policy[name] for name in names]
        axes.bar(places, heights, width, label=POLICY_NAMES.get(policy, policy), color=_POLICY_COLORS.get(policy))
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=8)
    bare(axes)
