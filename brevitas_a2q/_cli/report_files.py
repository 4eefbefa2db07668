"""``--html`` and ``--plot``: a command's report as files, all of them whole or none there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import click

from brevitas_a2q._cli.console import messages
from brevitas_a2q._files import atomic_target
from brevitas_a2q.errors import ExportError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from brevitas_a2q.report._figures import Picture

__all__ = ["Report", "report_files", "report_options", "write_files"]

F = TypeVar("F", bound=Callable[..., Any])
# A figure, and what writes the page around it.
Report: TypeAlias = "tuple[Figure, Callable[[Picture], str]]"
_PLOT_FORMATS: Final = ("png", "svg", "pdf")


def _writable(context: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
    """Refuse before the work what cannot be written after it."""
    if path is not None and not path.parent.is_dir():
        raise click.BadParameter(f"{path}: there is no folder {path.parent}", context, option)
    return path


def _picture(context: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
    if path is not None and path.suffix[1:].lower() not in _PLOT_FORMATS:
        raise click.BadParameter(f"{path}: expected a name that ends in .png, .svg or .pdf", context, option)
    return _writable(context, option, path)


def report_options(command: F) -> F:
    """``--html`` and ``--plot``."""
    file = click.Path(dir_okay=False, path_type=Path)
    plot = click.option("--plot", type=file, callback=_picture, help="Draw to this file: .png, .svg or .pdf.")
    html = click.option("--html", type=file, callback=_writable, help="Write a self-contained page to this file.")
    return html(plot(command))


def report_files(html: Path | None, plot: Path | None, report: Callable[[], Report]) -> list[tuple[Path, str | bytes]]:
    """The files that ``--html`` and ``--plot`` ask for.

    Args:
        html: Where the page goes.
        plot: Where the picture goes; its suffix says the format.
        report: Draws the figure and writes the page around it; called only where something is asked for.

    Returns:
        Path and content of each.
    """
    if html is None and plot is None:
        return []
    from brevitas_a2q.report._figures import image, picture

    figure, page = report()
    files: list[tuple[Path, str | bytes]] = []
    if plot is not None:
        files.append((plot, image(figure, plot.suffix[1:].lower())))
    if html is not None:
        files.append((html, page(picture(figure))))
    return files


def write_files(files: list[tuple[Path, str | bytes]]) -> None:
    """Write all of these files, or none where one of them cannot be written; say so on standard error.

    Raises:
        ExportError: Nothing can be written at a path, or two paths are the same.
    """
    places = [path.resolve() for path, _ in files]
    for place in places:
        if places.count(place) > 1:
            raise ExportError("found two outputs that go there", where=f"file {place}", expected="one name for each")
    with ExitStack() as stack:
        for path, content in files:
            temporary = stack.enter_context(atomic_target(path))
            temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    for path, _ in files:
        messages().print(f"wrote {path}", markup=False)
