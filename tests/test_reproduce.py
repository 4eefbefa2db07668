"""The queue of the papers' experiments: cells are valid, a run goes on where one stopped, results become a page."""

from __future__ import annotations

import dataclasses
import importlib
import itertools
import json
import runpy
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from click.testing import CliRunner

from brevitas_a2q.errors import ConfigError
from brevitas_a2q.models import build_model
from brevitas_a2q.sweep import _worker

FOLDER = Path(__file__).parents[1] / "benchmarks" / "reproduce"


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, ModuleType]:
    """The modules of the queue, with results and page in a folder of the test's own."""
    monkeypatch.syspath_prepend(str(FOLDER))
    modules = {name: importlib.import_module(name) for name in ("cells", "runs", "render")}
    for name in ("runs", "render"):
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
    assert len(names) == len(set(names)) > 1500
    for cell in cells:
        config = cell.config()
        assert (config.quant is None) == (cell.float_cell is None)
        assert cell.float_cell is None or names.index(cell.float_cell) < names.index(cell.name)


def test_the_queue_has_every_cell_of_the_papers_tables_once(queue: dict[str, ModuleType]) -> None:
    names = {cell.name: cell.group for cell in queue["cells"].CELLS}
    for seed in (0, 1, 2):
        assert names[f"resnet18-float-s{seed}"] == "a"
        for method in ("a2q", "a2q-plus", "projected"):
            for p in (32, 16, 14, 13, 12, 11, 10):
                assert names[f"resnet18-w4a4-{method}-p{p}-s{seed}"] == "a"
            for w, p in ((8, 16), (4, 13), (4, 12), (4, 10)):
                assert names[f"espcn-x2-w{w}a{w}-{method}-p{p}-s{seed}"] == "b"
            for network in ("resnet18", "mobilenet-v1", "espcn-x3", "unet-x3"):
                assert names[f"{network}-w8a8-{method}-p16-s{seed}"] == "c"
            for network in ("mobilenet-v1", "unet-x3"):
                for p in (16, 14, 12):
                    assert names[f"{network}-w4a4-{method}-p{p}-s{seed}"] == "d"
    for m, n, p in itertools.product(range(3, 9), range(3, 9), range(11, 17)):
        assert f"resnet18-w{m}a{n}-projected-p{p}-s0" in names
        assert f"mobilenet-v1-w{m}a{n}-a2q-p{p}-s0" in names


class Queued:
    """Runs of cells of seconds each, by a clock of the test's own."""

    def __init__(self, modules: dict[str, ModuleType], cells: list[Any], folder: Path, monkeypatch: Any) -> None:
        self.runs, self.cells, self.folder, self.now = modules["runs"], cells, folder, 0.0
        self.lines: list[str] = []
        self.epoch_seconds = 100.0
        monkeypatch.setattr(self.runs, "_BY_NAME", {cell.name: cell for cell in cells})
        clock = SimpleNamespace(time=lambda: self.now)
        monkeypatch.setattr(self.runs, "time", clock)
        monkeypatch.setattr(_worker, "time", clock)

    def say(self, line: str) -> None:
        self.lines.append(line)
        self.now += self.epoch_seconds * (" epoch " in line)

    def run(self, seconds: float, **options: bool) -> int:
        roots, out = {"digits": self.folder}, self.folder / "work"
        done: int = self.runs.run_cells(self.cells, roots, out, seconds, "cpu", self.say, **options)
        return done

    @property
    def epochs(self) -> int:
        return sum(" epoch " in line for line in self.lines)


def test_time_ends_before_an_epoch_that_does_not_fit(
    queue: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    queued = Queued(queue, list(digits_cells(queue)), tmp_path, monkeypatch)
    assert queued.run(190) == 0
    assert queued.epochs == 1  # the second one would end after 200 seconds
    assert queued.lines[-1] == "time is up"
    assert queued.run(1e6) == 2
    assert queued.epochs == 4  # none was trained twice
    assert queued.run(1e6) == 0


def test_epochs_longer_than_the_time_get_done(
    queue: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    queued = Queued(queue, list(digits_cells(queue)), tmp_path, monkeypatch)
    for epochs in (1, 2, 3, 4):
        while queued.epochs < epochs:
            before = len(queued.lines)
            queued.run(30)
            assert len(queued.lines) > before
        assert queued.epochs == epochs
    queued.run(30)
    assert not queued.runs.pending(queued.cells)


def test_a_run_with_an_error_keeps_nothing_from_running(
    queue: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    family = queue["cells"].Family("d", "cpu-x", {"data": "digits"}, {"epochs": 1}, {"epochs": 1}, {})
    diverging = {"epochs": 1, "learning_rate": 1e30, "optimizer": "sgd", "schedule": "constant"}
    lost = dataclasses.replace(family, label="lost", float_recipe=diverging)
    cells = [lost.floating(0), lost.quantized("a2q", 4, 4, 12, 0), family.floating(0)]
    queued = Queued(queue, cells, tmp_path, monkeypatch)
    assert queued.run(1e6) == 1
    assert [cell.name for cell in queued.runs.pending(cells)] == [cell.name for cell in cells[:2]]
    failed = [line for line in queued.lines if "failed" in line]
    assert len(failed) == 1  # the quantized cell, which needs its weights, was not tried
    assert "found a loss of nan" in failed[0]
    (tmp_path / "results" / f"{cells[2].name}.json").unlink()
    assert queued.run(1e6) == 1  # what is done is put on record again
    assert sum("failed" in line for line in queued.lines) == 1  # and what failed is left alone
    assert queued.run(1e6, retry_failed=True) == 0
    assert sum("failed" in line for line in queued.lines) == 2


def test_a_result_of_an_earlier_recipe_is_none_of_the_cell(
    queue: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    floating, _ = digits_cells(queue)
    queued = Queued(queue, [floating], tmp_path, monkeypatch)
    assert queued.run(1e6) == 1
    assert queued.runs.finished(floating)
    longer = dataclasses.replace(floating, values={**floating.values, "recipe": {"epochs": 3, "batch_size": 256}})
    assert not queued.runs.finished(longer)
    monkeypatch.setattr(queue["render"], "CELLS", (longer,))
    assert not queue["render"].load()


def test_every_network_fits_its_images(queue: dict[str, ModuleType]) -> None:
    configs = [cell.config() for cell in queue["cells"].CELLS if cell.float_cell is None and cell.name.endswith("s0")]
    assert {config.model for config in configs} == {"resnet18", "mobilenet-v1", "espcn", "unet"}
    for config in configs:
        side, factor = config.data_options.get("size", 32), 1
        if config.data == "bsd300":
            factor = config.data_options["factor"]
            side = config.data_options["crop"] // (4 * factor) * 4  # windows are cut to what two poolings divide
        model = build_model(config.model, None, **config.model_options).eval()
        with torch.no_grad():
            shape = tuple(model(torch.zeros(1, 3, side, side)).shape)
        assert shape == ((1, 3, factor * side, factor * side) if config.data == "bsd300" else (1, 10)), config


def test_a_record_names_no_folder_of_this_machine(
    queue: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    floating, quantized = digits_cells(queue)
    queued = Queued(queue, [floating, quantized], tmp_path, monkeypatch)
    assert queued.run(1e6) == 2
    found = (tmp_path / "results" / f"{quantized.name}.json").read_text()
    assert str(tmp_path) not in found
    assert json.loads(found)["certificate"]["holds"]
    assert json.loads(found)["config"]["float_checkpoint"] == f"cell {floating.name}"


def test_a_missing_data_set_is_named_and_the_others_run(
    queue: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    floating, _ = digits_cells(queue)
    with pytest.raises(ConfigError, match=f"{floating.name} needs the data set digits: give --data digits=PATH"):
        queue["runs"].run_cells([floating], {}, tmp_path / "work", 600, "cpu", print)
    far = dataclasses.replace(floating, name="far", values={**floating.values, "data": "bsd300"})
    queued = Queued(queue, [far, floating], tmp_path, monkeypatch)
    assert queued.run(1e6) == 1
    assert queued.lines[0] == "left out: far needs the data set bsd300: give --data bsd300=PATH"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["list", "--only", "resnet*81"], "no cell is named 'resnet*81'"),
        (["run", "--only", "resnet18-float-s0", "--short"], "only long runs, for a GPU: give --long"),
        (["run", "--data", "cifar=/"], "NAME one of bsd300, cifar10, cifar10-subset"),
        (["run", "--data", "cifar10=/nowhere"], "expected NAME=PATH of an existing"),
        (["run", "--minutes", "0"], "--minutes"),
        (["run", "--short"], "give --data"),
    ],
)
def test_bad_words(words: list[str], message: str, queue: dict[str, ModuleType]) -> None:
    main = runpy.run_path(str(FOLDER / "__main__.py"), run_name="reproduce")["main"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())


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
    assert "| 32 | 30.30 | 30.27 | - |" in text
    assert f"1 of {len(queue['cells'].CELLS):,} runs" in text
    published = yaml.safe_load((FOLDER / "published.yaml").read_text())
    assert all(table["title"] in text for table in published.values())
    queue["render"].render()
    assert page.read_text() == text


def test_the_headline_is_the_mean_of_the_papers_four_networks(queue: dict[str, ModuleType], tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    found = {"metric": "accuracy", "best": 1.0, "sparsity": 0.5, "compression": 2.0, "certificate": {"holds": True}}
    lasts = {"resnet18": 0.9, "mobilenet-v1": 0.6, "espcn-x3": 0.7, "unet-x3": 0.8}

    def add(name: str, last: float) -> str:
        cell = next(cell for cell in queue["cells"].CELLS if cell.name == name)
        run = {**found, "config": cell.config().to_dict(), "last": last}
        (tmp_path / "results" / f"{name}.json").write_text(json.dumps(run))
        page, *_ = queue["render"].render()
        text: str = page.read_text()
        return text

    for label, last in lasts.items():
        add(f"{label}-float-s0", 1.0)
        assert "four | projected" not in add(f"{label}-w8a8-a2q-p16-s0", last)
    text = add("resnet18-w8a8-projected-p16-s0", 0.99)
    assert "| resnet18 | projected | 99.0 (n=1) | 100.0 (n=1) | 99.0 | 50.0 (n=1) | 2.0 (n=1) |" in text
    assert "| mean of the papers' four | a2q |  |  | 75.0 | 50.0 | 2.0 |" in text
    assert "| mean of the papers' four | projected" not in text
    assert "| mean of the papers' four | a2q, published |  |  | 99.2 | 98.2 | 46.5 |" in text
