"""The quickstart as a user runs it: files, JSON, honest exit status, errors before the training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from brevitas_a2q._cli.main import main
from brevitas_a2q.verify._certificate import Certificate


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Folder and JSON of a short run."""
    out = tmp_path_factory.mktemp("quickstart") / "new folder"
    with pytest.MonkeyPatch.context() as patch:
        printed: list[str] = []
        patch.setattr("brevitas_a2q._cli.quickstart.emit_json", lambda value: printed.append(json.dumps(value)))
        assert main(["quickstart", "--out", str(out), "--epochs", "1", "-P", "12", "--json"]) == 0
    return out, json.loads(printed[0])


def test_every_promised_file_is_there(outcome: tuple[Path, dict[str, Any]]) -> None:
    out, results = outcome
    assert sorted(path.name for path in out.iterdir()) == sorted(results["files"].values())
    assert json.loads((out / "results.json").read_text()) == results


def test_the_certificate_covers_the_hidden_layers_and_holds(outcome: tuple[Path, dict[str, Any]]) -> None:
    out, results = outcome
    certificate = Certificate.from_json((out / "certificate.json").read_text())
    assert certificate.holds
    assert [layer.accumulator_bit_width for layer in certificate.layers] == [None, 12, 12, 12, None]
    assert results["certificate"]["holds"]


def test_wider_accumulators_never_cost_less(outcome: tuple[Path, dict[str, Any]]) -> None:
    estimates = outcome[1]["estimates"]
    # Of one network; "exact" is of another, trained without a bound.
    luts = [estimates[policy]["total"]["lut"] for policy in ("32", "data-type", "trained")]
    assert luts == sorted(luts, reverse=True)
    assert luts[0] > luts[-1] > 0
    assert estimates["exact"]["total"]["lut"] > 0
    assert all(estimate["fps"] >= 10_000 for estimate in estimates.values())


def test_finn_would_take_the_file(outcome: tuple[Path, dict[str, Any]]) -> None:
    assert main(["check-finn", str(outcome[0] / "network.onnx")]) == 0


def test_runs_are_compared_from_one_start(outcome: tuple[Path, dict[str, Any]]) -> None:
    runs = outcome[1]["runs"]
    assert [run["method"] for run in runs] == ["none", "none", "a2q", "projected"]
    assert [run["accumulator_bit_width"] for run in runs] == [None, None, 12, 12]
    assert all(len(run["curve"]) == 1 for run in runs)


def test_the_page_is_self_contained(outcome: tuple[Path, dict[str, Any]]) -> None:
    page = (outcome[0] / "report.html").read_text()
    assert "Certified: no input can overflow" in page
    assert "data:image/svg+xml;base64," in page
    assert "http" not in page
    assert "<script" not in page


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--part", "xc7z02"], "xc7z02"),
        (["-P", "1"], "2<=x<=64"),
        (["-P", "65"], "2<=x<=64"),
        (["--method", "a3q"], "a2q"),
        (["--out", "FILE"], "FILE"),
        (["--target-fps", "-1"], "target-fps"),
    ],
)
def test_bad_settings_are_refused_before_the_training(
    options: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").touch()
    assert main(["quickstart", *options]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert [path.name for path in tmp_path.iterdir()] == ["FILE"]


def test_files_of_something_else_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "report.html").write_text("mine")
    assert main(["quickstart", "--out", str(tmp_path)]) == 2
    assert "report.html of something else" in capsys.readouterr().err
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("report.html", "mine")]
