"""Figures for narrow pages lose nothing at their edges."""

from __future__ import annotations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from brevitas_a2q.report._figures import picture

SHORT, LONG = "trained P: 4,151 LUT", "exact range, unconstrained network: 4,387 LUT"


@pytest.mark.parametrize("name", [SHORT, LONG])
def test_nothing_reaches_beyond_the_edges(name: str) -> None:
    figure = Figure(figsize=(13, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes in (left, right):
        axes.plot([0, 1], label=name)
        axes.plot([1, 0], label=name)
        axes.set(title=f"{LONG} and more", xlabel="accumulator width P in bits (hollow: a narrower one is as good)")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.suptitle(f"{LONG} of a network with a name")
    picture(figure)

    FigureCanvasAgg(figure).draw()
    texts = [figure._suptitle, *figure.legends]  # type: ignore[attr-defined]
    for axes in (left, right):
        texts += [axes.title, axes.xaxis.label]
    for text in texts:
        box = text.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1
