"""Self-contained HTML pages: no scripts, no fonts, nothing fetched."""

from __future__ import annotations

import base64
from typing import Any

import jinja2

from brevitas_a2q import __version__

__all__ = ["embedded", "render"]


def render(template: str, **values: Any) -> str:
    """A page of this package's templates.

    Args:
        template: File name below ``report/templates``.
        values: What the template shows; everything is escaped.

    Returns:
        A complete document.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("brevitas_a2q.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": _count, "share": _share, "percent": _percent}
    return environment.get_template(template).render(version=__version__, **values)


def embedded(picture: bytes) -> str:
    """A PNG as the address of an image inside the page."""
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"


def _count(value: float | None, digits: int = 0) -> str:
    """A number with separators; nothing where there is none."""
    return "" if value is None else f"{value:,.{digits}f}"


def _percent(share: float | None, digits: int = 1) -> str:
    """A share in per cent."""
    return "" if share is None else f"{share:.{digits}%}".replace("%", " %")


def _share(used: float, available: float) -> str:
    """Of what a part has, in per cent."""
    if available:
        return _percent(used / available)
    return "the part has none" if used else "-"
