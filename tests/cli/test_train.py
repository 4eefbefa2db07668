"""The train command: files, JSON, overrides, exit status, one-line errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml

from brevitas_a2q._cli.main import main

SHORT = {
    "data_options": {"validation": 1200},
    "quant": {"method": "projected", "accumulator_bit_width": 12},
    "recipe": {"base": "one-cycle", "epochs": 9},
    "start": {"calibrate_images": 64, "bias_correction_images": 0},
    "estimate": {"part": "ZCU104", "target_fps": 1000},
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "short.yaml"
    path.write_text(yaml.safe_dump(SHORT))
    return path


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run by the command, and its configuration beside it."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "short.yaml").write_text(yaml.safe_dump(SHORT))
    words = ["--seed", "3", "--device", "cpu", "--set", "recipe.epochs=1", "--set", "quant.method=a2q"]
    assert main(["train", "--config", str(folder / "short.yaml"), "--out", str(folder / "out"), *words]) == 0
    return folder


def again(finished: Path, *words: str) -> list[str]:
    """The command that continues the run: it finds that all is done."""
    given = ["--config", str(finished / "short.yaml"), "--out", str(finished / "out"), "--seed", "3"]
    return ["train", *given, "--set", "recipe.epochs=1", "--set", "quant.method=a2q", *words]


def test_overrides_reach_the_run(finished: Path) -> None:
    config = json.loads((finished / "out" / "config.json").read_text())
    assert (config["seed"], config["runtime"]["device"]) == (3, "cpu")
    assert (config["recipe"]["epochs"], config["quant"]["method"]) == (1, "a2q")
    assert config["quant"]["accumulator_bit_width"] == 12


def test_json_is_the_result_and_all_there_is_on_standard_output(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(again(finished, "--json")) == 0
    printed = capsys.readouterr()
    result: dict[str, Any] = json.loads(printed.out)
    assert result == json.loads((finished / "out" / "result.json").read_text())
    assert result["certificate"]["holds"]
    assert len(result["curve"]) == 1
    assert str(finished / "out") in printed.err


def test_the_table(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(again(finished)) == 0
    out = capsys.readouterr().out
    for word in ("test accuracy, last epoch", "holds", "network.onnx", "accumulators trained", "LUT"):
        assert word in out


def test_the_file_is_certified_by_the_command_too(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = finished / "out"
    assert main(["certify", str(out / "network.onnx"), "--against", str(out / "certificate.json")]) == 0
    capsys.readouterr()


def test_a_certificate_that_does_not_hold_is_status_1(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = finished / "out" / "result.json"
    before = path.read_text()
    values = json.loads(before)
    values["certificate"]["holds"] = False
    path.write_text(json.dumps(values))
    assert main(again(finished)) == 1
    assert "DOES NOT HOLD" in capsys.readouterr().out
    path.write_text(before)


@pytest.fixture
def remembered() -> Iterator[mock.Mock]:
    """Stands for the run; keeps what it was called with."""
    with mock.patch("brevitas_a2q.train._run.run", side_effect=KeyboardInterrupt) as run:
        yield run


@pytest.mark.parametrize(
    ("words", "out"),
    [
        ([], "a2q-train/digits"),
        (["--config", "short.yaml"], "a2q-train/short"),
        (["--config", "short.yaml", "--out", "here"], "here"),
    ],
)
def test_the_folder(words: list[str], out: str, config: Path, remembered: mock.Mock) -> None:
    assert main(["train", *words]) == 130
    assert remembered.call_args.args[1] == Path(out)


def test_roots_are_taken_as_they_are(config: Path, remembered: mock.Mock) -> None:
    assert main(["train", "--data-root", "2026: [a"]) == 130
    assert remembered.call_args.args[0].data_root == "2026: [a"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config", "missing.yaml"], "missing.yaml: cannot be read"),
        (["--set", "recipe.epoch=3"], "did you mean 'epochs'?"),
        (["--set", "recipe.epochs"], "found no KEY=VALUE"),
        (["--set", "recipe=onecycle"], "did you mean 'one-cycle'?"),
        (["--seed", "x"], "seed"),
        (["--seed", "-1"], "found seed = -1"),
        (["--device", "cuda:77"], "found device 'cuda:77'"),
        (["--config", "short.yaml", "--set", "data=cifar10"], "cifar10"),
        (["--out", "short.yaml"], "short.yaml"),
        (["--set", "estimate.part=xc7z02"], "xc7z02"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    words: list[str], message: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *words]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("brevitas-a2q: error: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err


def test_the_folder_of_another_run(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*again(finished), "--set", "seed=4"]) == 2
    assert "different in seed" in capsys.readouterr().err
