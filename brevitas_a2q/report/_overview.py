"""The quickstart's figure and page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from brevitas_a2q.report._figures import GREEN, GREY, Picture, bare
from brevitas_a2q.report._html import render
from brevitas_a2q.report._policies import POLICY_NAMES as NAMES
from brevitas_a2q.report._policies import grouped_bars, of_accumulators, rest
from brevitas_a2q.report._story import Story

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["POLICY_NAMES", "overview", "page"]

# The network of the exact range is another one here: trained without a bound.
POLICY_NAMES: Final = {**NAMES, "exact": "exact range, unconstrained network"}


def page(story: Story, picture: Picture) -> str:
    """The quickstart's report as HTML.

    Args:
        story: What to tell.
        picture: shown at the top, embedded.
    """
    return render("quickstart.html.j2", story=story, picture=picture, policy_names=POLICY_NAMES)


def overview(story: Story) -> Figure:
    """Accuracy of every run, accumulator width per layer, and LUTs per layer, the policies side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.2), layout="constrained")
    accuracy, widths, luts = figure.subplots(1, 3, width_ratios=(1, 1.3, 1.6))
    _accuracy(accuracy, story)
    estimates = story.estimates
    of_widths = {p: of_accumulators(e, "accumulator_bit_width") for p, e in estimates.items()}
    grouped_bars(widths, of_widths, POLICY_NAMES)
    widths.set(title="Accumulator width", ylabel="bits")
    of_luts = {p: of_accumulators(e, "lut") | {"all other units": rest(e)} for p, e in estimates.items()}
    grouped_bars(luts, of_luts, POLICY_NAMES)
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
