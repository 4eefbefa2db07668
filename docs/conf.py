"""The documentation site: `make docs`, warnings are errors."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from brevitas_a2q import __version__

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

project = "brevitas_a2q"
author = "The brevitas_a2q authors"
version = release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build", "results"]
html_theme = "furo"
html_title = "brevitas_a2q"

nb_execution_mode = "off"  # the tests execute the notebooks; pages show what they left
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3
autodoc_typehints = "description"
autodoc_member_order = "bysource"
# What the pages link to that is no page: scripts, results and sources, as files beside them.
suppress_warnings = ["myst.xref_missing", "image.not_readable"]


def _prepare(app: object) -> None:
    """Pages that are made: the notebooks' copies, and the tables of what is supported."""
    from supported import write_pages

    target = HERE / "notebooks"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for notebook in sorted((HERE.parent / "notebooks").glob("*.ipynb")):
        shutil.copy(notebook, target)
    write_pages(HERE)


def setup(app: object) -> None:
    """Called by sphinx."""
    app.connect("builder-inited", _prepare)  # type: ignore[attr-defined]
