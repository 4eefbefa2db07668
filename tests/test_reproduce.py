"""The queue of the papers' experiments: cells are valid, slices go on where one stopped, results become a page."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks" / "reproduce"


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, ModuleType]:
    """The modules of the queue, with results and page in a folder of the test's own."""
    monkeypatch.syspath_prepend(str(FOLDER))
    modules = {name: importlib.import_module(name) for name in ("cells", "slices", "render")}
    for name in ("slices", "render"):
        monkeypatch.setattr(modules[name], "RESULTS", tmp_path / "results")
    monkeypatch.setattr(modules["render"], "DOCS", tmp_path / "docs")
    (tmp_path / "docs").mkdir()
    return modules


def digits_cells(queue: dict[str, ModuleType]) -> tuple[Any, Any]:
    """A float and a quantized cell of seconds each."""
    recipe = {"epochs": 2, "batch_size": 256}
    base = {"model": "digits-cnn", "data": "digits"}
    family = queue["cells"].Family("digits", "cpu-x", base, recipe, recipe, {})
    return family.floating(0), family.quantized("projected", 4, 4, 10, 0)


def test_every_cell_is_a_valid_run(queue: dict[str, ModuleType]) -> None:
    cells = queue["cells"].CELLS
    names = [cell.name for cell in cells]
    assert len(names) == len(set(names)) > 300
    for cell in cells:
        config = cell.config()
        assert (config.quant is None) == (cell.float_cell is None)
        assert cell.float_cell is None or names.index(cell.float_cell) < names.index(cell.name)


def test_slices_go_on_where_they_stopped(
    queue: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    floating, quantized = digits_cells(queue)
    slices, render = queue["slices"], queue["render"]
    monkeypatch.setattr(slices, "_BY_NAME", {floating.name: floating})
    monkeypatch.setattr(render, "CELLS", (floating, quantized))
    lines: list[str] = []
    monkeypatch.setattr(slices, "time", SimpleNamespace(monotonic=lambda: len(lines)))  # a line takes a second

    def run(seconds: float) -> int:
        done: int = slices.run_slice(
            [floating, quantized], {"digits": tmp_path}, tmp_path / "work", seconds, "cpu", lines.append
        )
        return done

    assert run(0.5) == 0
    assert "float epoch 1" in lines[0]
    assert lines[1] == "time is up"
    assert run(600) == 2
    epochs = [line for line in lines if " epoch " in line]
    assert len(epochs) == 4  # none was trained twice
    assert run(600) == 0
    found = (tmp_path / "results" / f"{quantized.name}.json").read_text()
    assert str(tmp_path) not in found
    assert json.loads(found)["certificate"]["holds"]
    assert json.loads(found)["config"]["float_checkpoint"] == f"cell {floating.name}"


def test_a_missing_data_set_is_named(queue: dict[str, ModuleType], tmp_path: Path) -> None:
    floating, _ = digits_cells(queue)
    with pytest.raises(SystemExit, match="give --data digits=FOLDER"):
        queue["slices"].run_slice([floating], {}, tmp_path / "work", 600, "cpu", print)


def test_the_page_shows_runs_beside_published_numbers(queue: dict[str, ModuleType], tmp_path: Path) -> None:
    cell = next(cell for cell in queue["cells"].CELLS if cell.name == "resnet18-w4a4-projected-p12-s0")
    run = {
        "config": cell.config().to_dict(),
        "metric": "accuracy",
        "last": 0.911,
        "best": 0.925,
        "sparsity": 0.5,
        "compression": 2.0,
        "certificate": {"holds": True},
    }
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / f"{cell.name}.json").write_text(json.dumps(run))
    page, *_ = queue["render"].render()
    text = page.read_text()
    assert "| 12 | projected | 91.1 (n=1) | 92.5 (n=1) | 50.0 (n=1) | 2.0 (n=1) | 1 of 1 |" in text
    assert "| 12 | 83.9 | 90.6 |" in text  # Brevitas' README
