"""Figures of a sweep, after the papers': accuracy, sparsity and compression against P, and LUTs against accuracy.

Sources of what is drawn: I. Colbert et al., *A2Q*, arXiv 2308.13504, and *A2Q+*, arXiv 2401.10432.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from brevitas_a2q.report._figures import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, bare, label
from brevitas_a2q.sweep._results import Band, Group, MethodCurve, Network

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["METHOD_NAMES", "sweep_figure"]

METHOD_NAMES: Final = {"none": "unconstrained", "a2q": "A2Q", "a2q+": "A2Q+", "projected": "projection"}
_STYLES: Final = {"none": (GREY, "s"), "a2q": (ORANGE, "^"), "a2q+": (BLUE, "D"), "projected": (GREEN, "o")}


def sweep_figure(networks: Sequence[Network], title: str) -> Figure:
    """Four panels for each network.

    Args:
        networks: What the finished runs come to.
        title: Title of the figure.
    """
    from matplotlib.figure import Figure

    rows = max(len(networks), 1)
    figure = Figure(figsize=(13, 0.6 + 7.4 * rows), layout="constrained")
    figure.suptitle(label(title, 90))
    if not networks:
        figure.text(0.5, 0.5, "no run is finished yet", ha="center")
        return figure
    panels = figure.subplots(2 * rows, 2, squeeze=False)
    for place, network in enumerate(networks):
        (metric, luts), (sparsity, compression) = panels[2 * place : 2 * place + 2]
        _metric(metric, network)
        _luts(luts, network)
        _bands(sparsity, network, [curve.sparsity for curve in network.methods], "sparsity", "% of weights that are 0")
        _bands(compression, network, [curve.compression for curve in network.methods], "compression", "M / H")
        for axes in (metric, luts, sparsity, compression):
            bare(axes)
    return figure


def _scale(network: Network) -> tuple[float, str]:
    return (100.0, "test accuracy in %") if network.metric == "accuracy" else (1.0, network.metric)


def _metric(axes: Axes, network: Network) -> None:
    """The best group of every method and width, mean and standard deviation over seeds; the front is filled."""
    scale, name = _scale(network)
    for curve in network.methods:
        color, marker = _style(curve)
        widths = [group.width or 0.0 for group in curve.best]  # a curve's groups all have one
        means = [scale * group.metric for group in curve.best]
        spreads = [scale * (group.metric_std or 0.0) for group in curve.best]
        axes.errorbar(
            widths, means, spreads, color=color, marker=marker, markersize=5, markerfacecolor="white", capsize=3
        )
        front = [(group.width or 0.0, scale * group.metric) for group in curve.width_front]
        axes.plot(*zip(*front, strict=True), marker, color=color, markersize=5, zorder=3)  # above the hollow ones
        axes.plot([], [], color=color, marker=marker, markersize=5, label=_name(curve))
    if network.float_metric is not None:
        axes.axhline(scale * network.float_metric, color=BLACK, linewidth=1, linestyle="--", label="float")
    axes.set(title=_title(network, f"{network.metric} of the last epoch"), ylabel=name)
    _widths(axes)
    if any(curve.best != curve.width_front for curve in network.methods):
        axes.set_xlabel("accumulator width P in bits (hollow: a narrower one is as good)")
    _legend(axes)


def _luts(axes: Axes, network: Network) -> None:
    """Every group, and for every method the front that no group of it beats."""
    scale, name = _scale(network)
    for curve in network.methods:
        color, marker = _style(curve)
        points = _points([group for group in network.groups if group.method == curve.method], scale)
        if points:
            axes.plot(*zip(*points, strict=True), marker, color=color, markersize=3)
            front = zip(*_points(curve.lut_front, scale), strict=True)
            axes.plot(*front, color=color, drawstyle="steps-post", label=_name(curve))
    axes.set(title=_title(network, "LUTs"), xlabel="LUT", ylabel=name)
    if axes.lines:
        axes.xaxis.set_major_formatter("{x:,.0f}")
        _legend(axes)
    else:
        axes.text(0.5, 0.5, "no run has an estimate", transform=axes.transAxes, ha="center")
        axes.set(xticks=[], yticks=[])


def _points(groups: Sequence[Group], scale: float) -> list[tuple[float, float]]:
    return [(group.lut, scale * group.metric) for group in groups if group.lut is not None]


def _bands(axes: Axes, network: Network, bands: Sequence[Sequence[Band]], what: str, unit: str) -> None:
    """Mean over all groups of a method and width, between the lowest and the highest."""
    scale = 100.0 if unit.startswith("%") else 1.0
    for curve, found in zip(network.methods, bands, strict=True):
        color, marker = _style(curve)
        widths = [band.width for band in found]
        axes.plot(widths, [scale * band.mean for band in found], marker=marker, color=color, label=_name(curve))
        low, high = ([scale * value for value in values] for values in _ends(found))
        axes.fill_between(widths, low, high, color=color, alpha=0.15, linewidth=0)
    axes.set(title=_title(network, what), ylabel=unit)
    _widths(axes)
    _legend(axes)


def _ends(bands: Sequence[Band]) -> tuple[list[float], list[float]]:
    return [band.low for band in bands], [band.high for band in bands]


def _widths(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("accumulator width P in bits")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _style(curve: MethodCurve) -> tuple[str, str]:
    return _STYLES.get(curve.method, (PURPLE, "x"))


def _name(curve: MethodCurve) -> str:
    return METHOD_NAMES.get(curve.method, label(curve.method))


def _title(network: Network, what: str) -> str:
    return label(f"{network.model} on {network.data}: {what}", 60)


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize=9, frameon=False)
