from ._design_plots import estimate_figure as estimate_figure
from ._sweep_figures import sweep_figure as sweep_figure

__all__ = [
    "estimate_figure",
    "sweep_figure",
]
