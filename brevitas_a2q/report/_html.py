"""Self-contained HTML pages: no scripts, no fonts, nothing fetched."""

from __future__ import annotations

import base64
import re
from typing import Any, Final

import jinja2
from markupsafe import Markup

from brevitas_a2q import __version__
from brevitas_a2q._origin import ORIGIN
from brevitas_a2q.report._figures import Picture

__all__ = ["render"]


_HEADING: Final = re.compile(r"<h2>(?P<text>.*?)</h2>|<table>", re.S)


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
    environment.filters |= {"count": _count, "figure": _figure, "share": _share, "percent": _percent}
    page = environment.get_template(template).render(version=__version__, origin=ORIGIN.get(), **values)
    return _with_captions(
        page.replace("<th>", '<th scope="col">').replace('<th class="text">', '<th scope="col" class="text">')
    )


def _with_captions(page: str) -> str:
    """Every table is named by the heading above it, for those who hear it."""
    heading = ""

    def named(match: re.Match[str]) -> str:
        nonlocal heading
        if match["text"] is not None:
            heading = match["text"]
            return match[0]
        return f"<table><caption>{heading}</caption>" if heading else match[0]

    return _HEADING.sub(named, page)


def _figure(picture: Picture, words: str) -> Markup:
    """A picture inside of the page, its stacked form where the page is narrow, with what it shows below it."""
    narrow = Markup('<source media="(max-width: 44rem)" srcset="{}">').format(_embedded(picture.narrow))
    return Markup('<figure><picture>{}<img alt="{}" src="{}"></picture><figcaption>{}</figcaption></figure>').format(
        narrow, words, _embedded(picture.wide), words
    )


def _embedded(picture: bytes) -> str:
    """A picture as its own address."""
    return f"data:image/svg+xml;base64,{base64.b64encode(picture).decode()}"


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
