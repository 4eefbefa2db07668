"""``brevitas-a2q sweep`` as a user meets it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import brevitas_a2q.train._config  # noqa: F401  # so that what Brevitas logs on import is not taken for our messages
from brevitas_a2q import certify
from brevitas_a2q._cli.main import main
from brevitas_a2q.train import trained_network

Output = pytest.CaptureFixture[str]
SPACE = """
name: digits
base: {recipe: {epochs: 1, batch_size: 256}, start: {calibrate_images: 64, bias_correction_images: 0}}
grid: {seed: [0], P: [10], rate: [5e-3, 1.0e+30]}
"""


def one_line_error(capsys: Output) -> str:
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("brevitas-a2q: error: ")
    assert printed.err.count("\n") == 1
    return printed.err


def test_a_sweep_from_a_file_to_its_report(tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("space.yaml").write_text(SPACE)
    assert main(["sweep", "run", "--space", "space.yaml", "--device", "cpu", "--json"]) == 1
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert found["counts"] == {"done": 1, "running": 0, "waiting": 0, "interrupted": 0, "failed": 1}
    assert found["runs"][1]["error"]  # such a rate leaves no finite weight
    assert "2/2" in printed.err
    out = Path("a2q-sweep/digits")
    for run in found["runs"]:
        result = out / "runs" / run["run"] / "result.json"
        assert (run["summary"] is not None) == result.exists()
        if run["summary"] is not None:
            assert run["summary"]["last"] == json.loads(result.read_text())["last"]
            assert run["summary"]["holds"] is True

    Path("space.yaml").write_text(SPACE.replace(", 1.0e+30]", "]"))  # what failed is no cell of this file
    assert main(["sweep", "run", "--space", "space.yaml", "--device", "cpu"]) == 0
    capsys.readouterr()

    assert main(["sweep", "status", "--out", str(out)]) == 0
    assert "P = 10" in capsys.readouterr().out
    words = ["sweep", "report", "--storage", f"sqlite:///{out}/sweep.db", "--html", "r.html", "--plot", "r.svg"]
    assert main([*words, "--json"]) == 0
    (network,) = json.loads(capsys.readouterr().out)["networks"]
    assert [group["width"] for group in network["methods"][0]["best"]] == [10]
    assert Path("r.html").read_text().startswith("<!DOCTYPE html>")
    assert "digits-cnn" in Path("r.svg").read_text()
    assert main(words[:4]) == 0
    assert "digits-cnn on digits" in capsys.readouterr().out

    assert main(["sweep", "pick", "--out", str(out), "--to", "best", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"]["network"] == "best/checkpoints"
    trained = trained_network("best")
    here, written = certify(trained.model, trained.example()), certify("best/network.onnx")
    assert [layer.weights_sha256 for layer in here.layers] == [layer.weights_sha256 for layer in written.layers]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grid: {seed": "grid: {sed"}, "did you mean 'seed'"),
        ({"grid:": "gird:"}, "did you mean 'grid'"),
        ({"name: digits": "name: ../digits"}, "expected letters"),
        ({"recipe: {epochs": "recipe: {epoch"}, "did you mean 'epochs'"),
        ({"1.0e+30": "-1"}, "rate"),
        ({"P: [10]": "P: [10, many]"}, "accumulator_bit_width = many"),
    ],
)
def test_bad_spaces(change: dict[str, str], message: str, tmp_path: Path, capsys: Output) -> None:
    text = SPACE
    for before, after in change.items():
        text = text.replace(before, after)
    (tmp_path / "space.yaml").write_text(text)
    assert main(["sweep", "run", "--space", str(tmp_path / "space.yaml"), "--out", str(tmp_path / "out")]) == 2
    assert message in one_line_error(capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "base", "message"),
    [
        (["--device", "cpu,cudaa"], "{}", "cudaa"),
        (["--data-root", "/nowhere"], "{data: cifar10}", "/nowhere"),
        (["--minutes", "nan"], "{}", "--minutes"),
    ],
)
def test_what_this_machine_lacks_is_said_before_a_run_is_queued(
    words: list[str], base: str, message: str, tmp_path: Path, capsys: Output
) -> None:
    (tmp_path / "space.yaml").write_text(f"base: {base}\ngrid: {{P: [10]}}")
    command = [
        "sweep",
        "run",
        "--space",
        str(tmp_path / "space.yaml"),
        "--out",
        str(tmp_path / "out"),
        "--workers",
        "2",
    ]
    assert main([*command, *words]) == 2
    assert message in one_line_error(capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["status", "report"])
def test_places_without_a_sweep(name: str, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BREVITAS_A2Q_STORAGE", raising=False)
    assert main(["sweep", name]) == 2
    assert "BREVITAS_A2Q_STORAGE" in one_line_error(capsys)
    assert main(["sweep", name, "--out", str(tmp_path)]) == 2
    assert "sweep.db" in one_line_error(capsys)
    monkeypatch.setenv("BREVITAS_A2Q_STORAGE", "postgresql://me:geheim@127.0.0.1:1/sweeps")
    assert main(["sweep", name]) == 2
    assert "geheim" not in one_line_error(capsys)


def test_without_optuna_it_says_what_to_install(
    tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden: dict[str, Any] = {name: None for name in sys.modules if name.startswith(("optuna", "brevitas_a2q.sweep"))}
    for name in ("optuna", *hidden, "brevitas_a2q._cli.sweep_tables"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main(["sweep", "status", "--out", str(tmp_path)]) == 2
    assert "pip install 'brevitas_a2q[sweep]'" in one_line_error(capsys)


def test_without_a_subcommand_it_shows_its_help(capsys: Output) -> None:
    assert main(["sweep"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("run", "status", "report"))


def test_the_space_files_of_the_documentation_are_valid() -> None:
    from brevitas_a2q.sweep._space import Space
    from brevitas_a2q.train._config import RunConfig

    text = (Path(__file__).parents[2] / "docs/sweeps.md").read_text()
    grid, search = (
        Space.from_dict(yaml.safe_load(block), RunConfig) for block in re.findall("```yaml\n(.*?)```", text, re.S)
    )
    assert len(grid.cells) == 3 * 3 * 6 + 2
    for settings in grid.cells.values():
        RunConfig.from_dict(grid.values(settings))
    held = {key: found.distribution.to_external_repr(0) for key, found in search.search.items()}
    assert set(search.values(held)["layer_rules"]) == {"features.4", "features.7", "features.10"}
