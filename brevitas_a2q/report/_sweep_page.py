"""The page of a sweep."""

from __future__ import annotations

from collections.abc import Sequence

from brevitas_a2q.report._figures import Picture
from brevitas_a2q.report._html import render
from brevitas_a2q.report._sweep_figures import METHOD_NAMES
from brevitas_a2q.sweep._results import Network
from brevitas_a2q.sweep._status import SweepStatus

__all__ = ["sweep_page"]


def sweep_page(status: SweepStatus, networks: Sequence[Network], picture: Picture) -> str:
    """What ``brevitas-a2q sweep report`` prints, with the figure and the runs that failed.

    Args:
        status: Where every run stands.
        networks: What the finished ones come to.
        picture: of :func:`brevitas_a2q.report._sweep_figures.sweep_figure`.
    """
    failed = [run for run in status.runs if run.state == "failed"]
    return render(
        "sweep.html.j2",
        status=status,
        networks=networks,
        failed=failed,
        method_names=METHOD_NAMES,
        picture=picture,
    )
