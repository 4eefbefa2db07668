"""The notebooks are documentation, so every one runs from its first cell to its last, in a namespace of its own.

They run in this process, by IPython's own shell: a kernel for each would load everything again. That the files are
valid is seen where the site is built of them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to work in, the commands of this environment on the path, and figures drawn without a display."""
    from matplotlib import pyplot as plt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))  # one of them sets it
    monkeypatch.setattr(sys, "displayhook", sys.displayhook)  # as the shell changes them
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    plt.switch_backend("agg")
    yield tmp_path
    plt.close("all")


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("default")  # Jupyter's own machinery, not ours
def test_notebook_runs(path: Path, place: Path) -> None:
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    shell = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert cells
    for cell in cells:
        shell.run_cell("".join(cell["source"]), store_history=False).raise_error()
