"""Pages of the estimator's commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from brevitas_a2q.hw._compare import Difference
from brevitas_a2q.hw._devices import Part
from brevitas_a2q.hw._estimation import Estimate
from brevitas_a2q.hw._folding_result import FoldResult
from brevitas_a2q.report._breakdown import term_totals
from brevitas_a2q.report._comparison_plots import fits_part
from brevitas_a2q.report._figures import Picture
from brevitas_a2q.report._html import render

__all__ = ["curve_page", "difference_page", "estimate_page", "fold_page"]


def estimate_page(estimate: Estimate, picture: Picture) -> str:
    """What ``brevitas-a2q estimate`` prints, with where the LUTs go and how well each term is known.

    Args:
        estimate: What to show.
        picture: of :func:`brevitas_a2q.report._design_plots.estimate_figure`.
    """
    return render("estimate.html.j2", **_estimate(estimate), picture=picture)


def fold_page(result: FoldResult, picture: Picture) -> str:
    """The same for the optimal folding, with SetFolding's beside it."""
    beside = None if result.setfolding is None else {row.name: row for row in result.setfolding.rows}
    return render("fold.html.j2", **_estimate(result.estimate), picture=picture, result=result, beside=beside)


def curve_page(
    points: Sequence[Mapping[str, Any]],
    part: Part,
    title: str,
    picture: Picture,
    greedy: Sequence[Mapping[str, Any]] = (),
) -> str:
    """The curve of cost against rate.

    Args:
        points: Points of ``brevitas-a2q fold --pareto --json``.
        part: Part in force.
        title: Title of the page.
        picture: of :func:`brevitas_a2q.report._comparison_plots.curve_figure`.
        greedy: The same points of SetFolding.
    """
    ours, beside = ([{**p, "fits": fits_part(p, part)} for p in rows] for rows in (points, greedy))
    return render("curve.html.j2", points=ours, greedy=beside, part=part, title=title, picture=picture)


def difference_page(difference: Difference, before: str, after: str, picture: Picture) -> str:
    """Two estimates side by side.

    Args:
        difference: What to show.
        before: Name of the first estimate.
        after: Name of the second one.
        picture: of :func:`brevitas_a2q.report._comparison_plots.difference_figure`.
    """
    return render("compare.html.j2", difference=difference, names=(before, after), picture=picture)


def _estimate(estimate: Estimate) -> dict[str, Any]:
    return {"estimate": estimate, "data": estimate.to_json(), "terms": term_totals(estimate)}
