"""The search for the least widths as a figure and a page: score against P, and against LUTs where they were counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from brevitas_a2q.ptq._report import PostTrainingReport
from brevitas_a2q.report._figures import BLACK, BLUE, GREEN, GREY, bare, image, label, picture, thousands
from brevitas_a2q.report._html import render

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["narrow_figure", "narrow_report"]

_MOST_NAMES: Final = 40
_STYLES: Final = {"one P": (BLUE, "s", "one P for all layers"), "per layer": (GREEN, "o", "P of each layer")}


def narrow_figure(
    points: Sequence[Mapping[str, Any]], report: PostTrainingReport, title: str, tolerance: float
) -> Figure:
    """Score against mean P where several were tried, against LUTs where they were counted, and the layers' widths.

    Args:
        points: Networks that were tried: ``kind``, ``mean_bit_width``, ``score`` and ``lut`` or None.
        report: Of the one that was chosen.
        title: Title of the figure.
        tolerance: Points of the score that may be lost.
    """
    from matplotlib.figure import Figure

    counted = [point for point in points if point.get("lut") is not None]
    count = 1 + bool(points) + bool(counted)
    figure = Figure(figsize=(max(8.0, 5.2 * count), 4.2), layout="constrained")
    figure.suptitle(label(title, 90))
    *scored, layers = figure.subplots(1, count, squeeze=False)[0]
    metric = "agreement with float in %" if report.accuracy is None else "accuracy in %"
    axes = (("mean_bit_width", "mean P in bits", points), ("lut", "LUT", counted))
    for panel, (key, name, shown) in zip(scored, axes, strict=False):
        _scores(panel, shown, key, name, report.float_score, tolerance)
        panel.set_ylabel(metric)
    if points:
        scored[0].legend(fontsize=9, frameon=False, loc="lower right")
    if counted:
        thousands(scored[1].xaxis)
    _layers(layers, report)
    return figure


def _scores(
    axes: Axes, points: Sequence[Mapping[str, Any]], key: str, name: str, float_score: float, tolerance: float
) -> None:
    for kind, (color, marker, words) in _STYLES.items():
        chosen = sorted((point[key], point["score"]) for point in points if point["kind"] == kind)
        if chosen:
            axes.plot(*zip(*chosen, strict=True), marker=marker, color=color, label=words, markersize=5, linewidth=1)
    axes.axhline(float_score, color=BLACK, linewidth=1, linestyle="--", label="float")
    axes.axhline(float_score - tolerance, color=GREY, linewidth=1, linestyle=":", label="what may be lost")
    axes.set_xlabel(name)
    bare(axes)


def _layers(axes: Axes, report: PostTrainingReport) -> None:
    rows = [row for row in report.rows if row.accumulator_bit_width < 32]
    places = range(len(rows))
    axes.barh(places, [row.accumulator_bit_width for row in rows], color=GREEN, height=0.7, label="P")
    needed = [row.required_bit_width for row in rows]
    axes.plot(needed, places, "|", color=BLACK, markersize=12, label="what its worst input needs")
    axes.legend(fontsize=9, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    names = [label(row.name, 24) if len(rows) <= _MOST_NAMES else "" for row in rows]
    axes.set_yticks(places, names, fontsize=min(9.0, 300 / max(1, len(rows))))
    axes.invert_yaxis()
    axes.set_xlabel("P in bits")
    bare(axes)


def narrow_report(
    report: PostTrainingReport,
    points: Sequence[Mapping[str, Any]],
    title: str,
    tolerance: float,
    html: Path | None,
    plot: Path | None,
) -> list[tuple[Path, str | bytes]]:
    """The files that ``--html`` and ``--plot`` ask for, with their contents."""
    if html is None and plot is None:
        return []
    figure = narrow_figure(points, report, title, tolerance)
    files: list[tuple[Path, str | bytes]] = []
    if plot is not None:
        files.append((plot, image(figure, plot.suffix[1:].lower())))
    if html is not None:
        ordered = sorted(points, key=lambda point: -float(point["mean_bit_width"]))
        shown = {"report": report, "points": ordered, "title": title, "tolerance": tolerance}
        shown["counted"] = any(point.get("lut") is not None for point in points)
        files.append((html, render("narrow.html.j2", **shown, picture=picture(figure))))
    return files
