"""One self-contained HTML page: no scripts, no fonts, nothing fetched."""

from __future__ import annotations

import base64
from importlib import resources

import jinja2

from brevitas_a2q.report.plots import POLICY_NAMES
from brevitas_a2q.report.story import Story

__all__ = ["page"]


def page(story: Story, picture: bytes) -> str:
    """The report as HTML.

    Args:
        story: What to tell.
        picture: PNG shown at the top, embedded.

    Returns:
        A complete document; every value from the story is escaped.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = resources.files("brevitas_a2q.report").joinpath("templates/report.html.j2").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        story=story, picture=base64.b64encode(picture).decode(), policy_names=POLICY_NAMES
    )
