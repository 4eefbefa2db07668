"""What all figures share: colours, labels that cannot be misread, forms for pages of any width, and files."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from math import ceil
from textwrap import fill
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = [
    "BLACK",
    "BLUE",
    "GREEN",
    "GREY",
    "ORANGE",
    "PURPLE",
    "RED",
    "SKY",
    "YELLOW",
    "Picture",
    "bare",
    "image",
    "label",
    "picture",
    "thousands",
]

# Okabe and Ito's palette: told apart with any colour vision. Its yellow is darker here, to stand out from a white page
# and, inverted, from a dark one.
ORANGE: Final = "#E69F00"
SKY: Final = "#56B4E9"
GREEN: Final = "#009E73"
YELLOW: Final = "#A89400"
BLUE: Final = "#0072B2"
RED: Final = "#D55E00"
PURPLE: Final = "#CC79A7"
GREY: Final = "#999999"
BLACK: Final = "#222222"
_NARROW_INCHES: Final = 4.3  # letters of 8 points are 10 pixels high on a page of 400
_LEAST_INCHES: Final = 2.0  # of a panel
_MOST_IN_TWO_COLUMNS: Final = 22  # letters of the names in a legend


def image(figure: Figure, file_format: str = "png", *, transparent: bool = False) -> bytes:
    """The figure as a file: ``png`` (at 150 dots per inch), ``svg`` or ``pdf``; the same bytes for the same figure.

    Args:
        figure: What to draw.
        file_format: Of the file.
        transparent: Without a background, for pages that have their own, light or dark.
    """
    from matplotlib import rc_context

    dateless = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(file_format)
    buffer = io.BytesIO()
    with warnings.catch_warnings(), rc_context({"svg.hashsalt": "brevitas_a2q"}):
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)  # an odd layer name
        figure.savefig(buffer, format=file_format, dpi=150, metadata=dateless, transparent=transparent)
    return buffer.getvalue()


@dataclass(frozen=True)
class Picture:
    """A figure for pages, as SVG without a background."""

    wide: bytes
    narrow: bytes  # its panels one below another, to be read on 400 pixels


def picture(figure: Figure) -> Picture:
    """A figure for pages; the figure itself is in its narrow form afterwards."""
    wide = image(figure, "svg", transparent=True)
    _stack(figure)
    return Picture(wide, image(figure, "svg", transparent=True))


def _stack(figure: Figure) -> None:
    """Put the panels of a drawn figure below each other, as high as they were, with labels that leave them room."""
    from matplotlib.gridspec import GridSpec
    from matplotlib.ticker import FixedFormatter

    panels: dict[tuple[int, int], list[Axes]] = {}  # those that share one are drawn over each other
    for axes in figure.axes:
        spec = axes.get_subplotspec()
        if spec is not None:
            panels.setdefault((spec.rowspan.start, spec.colspan.start), []).append(axes)
    inches = figure.get_size_inches()[1]
    heights = [max(_LEAST_INCHES, inches * same[0].get_position().height) for same in panels.values()]
    grid = GridSpec(max(1, len(panels)), 1, figure, height_ratios=heights or None)
    for row, same in enumerate(panels.values()):
        for axes in same:
            axes.set_subplotspec(grid[row])
            axes.set_title(fill(axes.get_title(), 32), fontsize=10)
            axes.set_xlabel(fill(axes.get_xlabel(), 40))
            axes.tick_params(labelleft=axes is same[0])
            shortened = [label(text.get_text(), 20) for text in axes.get_yticklabels()]
            if isinstance(axes.yaxis.get_major_formatter(), FixedFormatter):
                axes.set_yticks(axes.get_yticks(), shortened)
    lines = 0
    for legend in tuple(figure.legends):  # whose columns are laid out once and for all
        handles = [handle for handle in legend.legend_handles if handle is not None]
        names = [text.get_text() for text in legend.get_texts()]
        legend.remove()
        columns = 2 if max(map(len, names), default=0) <= _MOST_IN_TWO_COLUMNS else 1
        figure.legend(handles, names, loc="outside lower center", ncols=columns, fontsize=9, frameon=False)
        lines += ceil(len(names) / columns)
    if figure.get_suptitle():
        figure.suptitle(fill(figure.get_suptitle(), 36), fontsize=10)
    figure.set_size_inches(_NARROW_INCHES, sum(heights) + 0.8 * len(panels) + 0.2 * lines + 0.4)


def bare(axes: Axes) -> None:
    """Take away the frame's upper and right sides."""
    axes.spines[["top", "right"]].set_visible(False)


def thousands(axis: Axis) -> None:
    """Label a logarithmic axis as 1k, 10k, 1M at its major ticks only."""
    from matplotlib.ticker import EngFormatter, NullFormatter

    axis.set_major_formatter(EngFormatter(sep=""))
    axis.set_minor_formatter(NullFormatter())


def label(name: str, most: int = 36) -> str:
    """A name as a label: both ends of a long one, and no dollar sign that starts a formula.

    Example:
        >>> label("/layers/1/act_quant/export_handler/Quant", 20)
        '/layers/1…dler/Quant'
    """
    if len(name) > most:
        name = f"{name[: (most - 1) // 2]}…{name[-(most // 2) :]}"
    return name.replace("$", r"\$")
