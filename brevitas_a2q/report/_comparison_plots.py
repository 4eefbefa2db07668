"""Figures of several designs: cost against rate, and two estimates side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from brevitas_a2q.hw._compare import Difference
from brevitas_a2q.hw._devices import Part
from brevitas_a2q.report._design_plots import RESOURCE_NAMES
from brevitas_a2q.report._figures import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, bare, label, thousands

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["curve_figure", "difference_figure", "fits_part"]

_MOST_ROWS: Final = 24
_QUANTITIES: Final = RESOURCE_NAMES | {"fps": "frames per second", "latency_cycles": "latency in cycles"}


def fits_part(point: Mapping[str, Any], part: Part) -> bool:
    """Whether the part has all that a point of the curve uses."""
    return all(point[name] <= getattr(part, name) for name in RESOURCE_NAMES)


def curve_figure(
    points: Sequence[Mapping[str, Any]], part: Part, title: str, greedy: Sequence[Mapping[str, Any]] = ()
) -> Figure:
    """Cost against rate, and the share of each resource of the part against rate.

    Args:
        points: Points of ``brevitas-a2q fold --pareto --json``, from the slowest to the fastest.
        part: Part in force.
        title: Title of the figure.
        greedy: The same of SetFolding, drawn beside them.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    figure = Figure(figsize=(13, 5), layout="constrained")
    figure.suptitle(label(title, 90))
    cost, shares = figure.subplots(1, 2)
    rates = [point["fps"] for point in points]
    cost.plot(rates, [point["lut_equivalent"] for point in points], color=GREY, drawstyle="steps-pre", linewidth=1)
    for fitting, color, name in ((True, BLUE, "fits"), (False, RED, "does not fit")):
        chosen = [point for point in points if fits_part(point, part) == fitting]
        if chosen:
            places = [p["fps"] for p in chosen], [p["lut_equivalent"] for p in chosen]
            cost.plot(*places, "o", color=color, markersize=4, label=label(f"{name} {part.name}", 60))
    if greedy:
        places = [p["fps"] for p in greedy], [p["lut_equivalent"] for p in greedy]
        cost.plot(*places, "x--", color=ORANGE, markersize=5, linewidth=0.8, label="SetFolding, same cost model")
    cost.set(title="Least cost for a rate", ylabel="LUT equivalent", yscale="log")
    cost.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    thousands(cost.yaxis)
    for (key, name), color in zip(RESOURCE_NAMES.items(), (BLUE, ORANGE, PURPLE, GREEN), strict=True):
        available = getattr(part, key)
        used = [100 * point[key] / available if available else 0.0 for point in points]
        shares.plot(rates, used, color=color, drawstyle="steps-pre", label=name if available else f"{name}: none")
    if not all(fits_part(point, part) for point in points):
        shares.axhline(100, color=RED, linewidth=1)
    shares.set(title="Share of the part", ylabel=label(f"% of {part.name}", 60), ylim=(0, None))
    for axes in (cost, shares):
        axes.set(xlabel="frames per second", xscale="log")
        thousands(axes.xaxis)
        axes.legend(fontsize=9, frameon=False)
        bare(axes)
    return figure


def difference_figure(difference: Difference, before: str, after: str) -> Figure:
    """LUTs of the units that change most, and every total after as a share of before.

    Args:
        difference: What to show.
        before: Name of the first estimate.
        after: Name of the second one.
    """
    from matplotlib.figure import Figure

    changes = [(c.name, (c.before or {}).get("lut") or 0, (c.after or {}).get("lut") or 0) for c in difference.layers]
    changes = sorted((c for c in changes if c[1] != c[2]), key=lambda c: -abs(c[2] - c[1]))
    shown, rest = changes[:_MOST_ROWS], changes[_MOST_ROWS:]
    if rest:
        shown.append((f"{len(rest)} smaller changes", sum(c[1] for c in rest), sum(c[2] for c in rest)))
    figure = Figure(figsize=(13, max(4.0, 1.6 + 0.32 * len(shown))), layout="constrained")
    luts, totals = figure.subplots(1, 2, width_ratios=(1.6, 1))
    _changes(luts, shown, before, after)
    figure.legend(loc="outside lower left", ncols=2, fontsize=9, frameon=False)
    _totals(totals, difference)
    return figure


def _changes(axes: Axes, shown: Sequence[tuple[str, int, int]], before: str, after: str) -> None:
    axes.barh([i - 0.2 for i in range(len(shown))], [c[1] for c in shown], 0.38, color=GREY, label=label(before, 60))
    axes.barh([i + 0.2 for i in range(len(shown))], [c[2] for c in shown], 0.38, color=BLUE, label=label(after, 60))
    axes.set_yticks(range(len(shown)), [label(name) for name, *_ in shown], fontsize=8)
    axes.set(title="LUTs of what changes, the largest change first", xlabel="LUT")
    axes.set_ylim(max(len(shown), 1) - 0.4, -0.6)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    if not shown:
        axes.text(0.5, 0.5, "no unit's LUTs change", transform=axes.transAxes, ha="center")
    bare(axes)


def _totals(axes: Axes, difference: Difference) -> None:
    """Ratios; a quantity that is 0 before has none and says so."""
    ratios = difference.ratios
    for place, (key, name) in enumerate(_QUANTITIES.items()):
        first, second, ratio = difference.before[key], difference.after[key], ratios[key]
        axes.barh(place, 0 if ratio is None else 100 * ratio, 0.6, color=SKY)
        counts = f"{_number(first)} to {_number(second)}" + ("" if ratio is None else f" ({ratio:.2f}x)")
        said = axes.text(0.02, place - 0.42, f"{name}: {counts}", transform=axes.get_yaxis_transform(), fontsize=8)
        said.set_in_layout(False)
    axes.axvline(100, color=BLACK, linewidth=1)
    axes.set(title="Totals, after as a share of before", xlabel="% of before", yticks=[], xlim=(0, None))
    axes.set_ylim(len(_QUANTITIES) - 0.4, -0.8)
    bare(axes)


def _number(value: float) -> str:
    return f"{value:,.1f}" if value % 1 else f"{value:,.0f}"
