"""Accuracy and overflows against the accumulator's width, of one network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from brevitas_a2q.report._figures import BLUE, GREY, Picture, bare, label
from brevitas_a2q.report._html import render
from brevitas_a2q.verify._accuracy import AccuracyPoint

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["accuracy_figure", "accuracy_report"]


def accuracy_figure(points: Sequence[AccuracyPoint], title: str) -> Figure:
    """Accuracy against P, where there is any, over the share of sums that overflow.

    Args:
        points: One for each width.
        title: Title of the figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    figure.suptitle(label(title, 60))
    overflows = figure.subplots()
    widths = [point.accumulator_bit_width or 0 for point in points]
    shares = [100 * point.simulation.overflow_rate for point in points]
    overflows.bar(widths, shares, color=GREY, alpha=0.6, label="overflows in % of sums")
    overflows.set(xlabel="accumulator width P in bits", ylabel="overflows in % of sums")
    overflows.set_xticks(widths)
    bare(overflows)
    scored = [(point.accumulator_bit_width or 0, point.accuracy) for point in points if point.accuracy is not None]
    if scored:
        axes = overflows.twinx()
        axes.plot(*zip(*scored, strict=True), "o-", color=BLUE, markersize=5, label="accuracy")
        axes.set(ylabel="accuracy in %", ylim=(0, 105))
        axes.spines[["top"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def accuracy_report(
    points: Sequence[AccuracyPoint], network: str, overflow: str
) -> tuple[Figure, Callable[[Picture], str]]:
    """The figure, and what writes the page around it.

    Args:
        points: One for each width.
        network: Its name.
        overflow: What happens beyond P bits.
    """
    figure = accuracy_figure(points, f"{network}, {overflow}")
    return figure, lambda picture: render(
        "accuracy.html.j2", points=points, network=network, overflow=overflow, picture=picture
    )
