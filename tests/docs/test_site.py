"""The documentation is built without a warning, and its tables are those of the code."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def test_supported_operations_are_those_of_the_tables() -> None:
    from brevitas_a2q._ir.rules import registry
    from brevitas_a2q._ranges.table import TABLE

    spec = importlib.util.spec_from_file_location("supported", DOCS / "supported.py")
    assert spec is not None
    assert spec.loader is not None
    supported = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(supported)
    rows = [line for line in supported.page().splitlines() if line.startswith("| `")]
    names = {row.split("`")[1] for row in rows}
    assert {*TABLE, *registry._ONNX, *registry._QONNX} <= names
    assert all(len(row.split(" | ")[1]) > 10 for row in rows), "an entry without a description"


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("myst_nb")
    # A copy, because pages are written beside the others, and several tests may run at once.
    source = tmp_path / "project" / "docs"
    made = shutil.ignore_patterns("_build", "notebooks", "operators.md", "__pycache__")
    shutil.copytree(DOCS, source, ignore=made)
    shutil.copytree(DOCS.parent / "notebooks", source.parent / "notebooks")
    arguments = ["-W", "--keep-going", "-q", "-b", "html", str(source), str(tmp_path / "html")]
    build = [sys.executable, "-m", "sphinx", *arguments]
    done = subprocess.run(build, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "certify" in (tmp_path / "html" / "api.html").read_text(encoding="utf-8")
