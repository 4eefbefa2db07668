"""One network under several accumulator policies, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from brevitas_a2q.hw._estimation import Estimate
from brevitas_a2q.report._figures import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, Picture, bare, label
from brevitas_a2q.report._html import render

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["POLICY_NAMES", "grouped_bars", "of_accumulators", "policies_report", "rest"]

_COLORS: Final = {"32": GREY, "data-type": ORANGE, "exact": SKY, "range": PURPLE, "trained": GREEN}
_OTHERS: Final = (BLUE, RED)
POLICY_NAMES: Final = {
    "32": "32 bits",
    "data-type": "data-type bound",
    "exact": "exact range",
    "range": "range analysis",
    "trained": "trained P",
}


def of_accumulators(estimate: Mapping[str, Any], quantity: str) -> dict[str, int]:
    """One quantity of every unit that has an accumulator."""
    return {row["name"]: row[quantity] for row in estimate["layers"] if row["accumulator_bit_width"] is not None}


def rest(estimate: Mapping[str, Any]) -> int:
    """LUTs of all units without an accumulator: windows, pools, converters, FIFOs."""
    return sum(row["lut"] for row in estimate["layers"] if row["accumulator_bit_width"] is None)


def grouped_bars(
    axes: Axes, values: Mapping[str, Mapping[str, int]], names_of: Mapping[str, str] = POLICY_NAMES
) -> None:
    """One group of bars per unit, one bar per policy."""
    width = 0.8 / len(values)
    names = list(next(iter(values.values())))
    for index, (policy, of_policy) in enumerate(values.items()):
        places = [i + (index - (len(values) - 1) / 2) * width for i in range(len(names))]
        color = _COLORS.get(policy, _OTHERS[index % 2])
        axes.bar(places, [of_policy[name] for name in names], width, label=names_of.get(policy, policy), color=color)
    axes.set_xticks(range(len(names)), [label(name, 24) for name in names], rotation=30, ha="right", fontsize=8)
    bare(axes)


def policies_report(estimates: Mapping[str, Estimate]) -> tuple[Figure, Callable[[Picture], str]]:
    """Widths and LUTs of every layer under each policy, and what writes the page around them.

    Args:
        estimates: By policy.
    """
    from matplotlib.figure import Figure

    found = {policy: estimate.to_json() for policy, estimate in estimates.items()}
    first = next(iter(estimates.values()))
    figure = Figure(figsize=(13, 4.6), layout="constrained")
    figure.suptitle(label(f"{first.network} on {first.part.name}, {first.clock_mhz:g} MHz", 90))
    widths, luts = figure.subplots(1, 2)
    grouped_bars(widths, {p: of_accumulators(e, "accumulator_bit_width") for p, e in found.items()})
    widths.set(title="Accumulator width", ylabel="bits")
    grouped_bars(luts, {p: of_accumulators(e, "lut") | {"all other units": rest(e)} for p, e in found.items()})
    luts.set(title="LUTs", ylabel="LUT")
    handles, labels = widths.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure, lambda picture: render(
        "policies.html.j2", estimates=estimates, found=found, names=POLICY_NAMES, picture=picture
    )
