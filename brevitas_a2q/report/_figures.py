"""What all figures share: colours, labels that cannot be misread, and files drawn without a display."""

from __future__ import annotations

import io
import warnings
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
    "bare",
    "image",
    "label",
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
