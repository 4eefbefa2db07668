"""``--html`` and ``--plot`` of the estimator's commands: the numbers of the JSON, whole files or none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from oracle_data import ORACLE

from brevitas_a2q._cli.main import main

TFC = ORACLE / "models/tfc_w4a4_a2q12.onnx"
Output = pytest.CaptureFixture[str]
COMMANDS = (
    ("estimate", str(TFC)),
    ("estimate", str(TFC), "--model", "finn-main"),
    ("fold", str(TFC), "--target-fps", "50000"),
    ("fold", str(TFC), "--pareto"),
    ("compare", str(TFC.with_name("tfc_w4a4.onnx")), str(TFC)),
    ("parts",),
    ("parts", "ZCU104"),
    ("certify", str(TFC)),
)

OLD_PAGE = "<!doctype html>\n<title>of an earlier run</title>\n"


@pytest.mark.parametrize("words", COMMANDS)
def test_the_page_shows_the_numbers_of_the_json(capsys: Output, tmp_path: Path, words: tuple[str, ...]) -> None:
    html, plot = tmp_path / "page.html", tmp_path / "plot.png"
    status = main([*words, "--json", "--html", str(html), "--plot", str(plot)])
    captured = capsys.readouterr()
    assert status == 0, captured.err
    page = html.read_text(encoding="utf-8")
    for number in _numbers(json.loads(captured.out)):
        assert f"{number:,}" in page
    assert "http" not in page
    assert "<script" not in page
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "plot.png"]


def _numbers(data: dict[str, Any]) -> list[int]:
    if "holds" in data:
        return [layer[key] for layer in data["layers"] for key in ("lower", "upper", "required_bit_width")]
    if "points" in data:
        return [point["lut"] for point in (*data["points"], *data["setfolding"])]
    if "parts" in data:
        return [part["lut"] for part in data["parts"]]
    if "ratio" in data:
        layers = [row[when]["lut"] for row in data["layers"] for when in ("before", "after")]
        return [*layers, data["before"]["lut"], data["after"]["lut"]]
    return [*(row["lut"] for row in data["layers"]), data["total"]["lut"], data["max_cycles"]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--html", "none/page.html"], "there is no folder none"),
        (["--html", "."], "is a directory"),
        (["--plot", "none/plot.png"], "there is no folder none"),
        (["--plot", "plot.jpeg"], "ends in .png, .svg or .pdf"),
        (["--html", "one.png", "--plot", "one.png"], "two outputs"),
    ],
)
@pytest.mark.parametrize("words", COMMANDS[::2], ids=lambda words: words[0])
def test_bad_paths(
    capsys: Output,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    options: list[str],
    message: str,
) -> None:
    words = tuple(str(Path(word).resolve()) if word.endswith(".onnx") else word for word in words)
    monkeypatch.chdir(tmp_path)
    assert main([*words, *options]) == 2
    captured = capsys.readouterr()
    assert not captured.out
    assert captured.err.startswith("brevitas-a2q: error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert not list(tmp_path.iterdir())


def test_one_file_that_cannot_be_written_leaves_the_others_as_they_were(
    capsys: Output, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "page.html").write_text(OLD_PAGE)
    monkeypatch.chdir(tmp_path)
    words = ["fold", str(TFC.resolve()), "--target-fps", "50000", "--html", "page.html"]
    assert main([*words, "--out", "none/folding.json"]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert (tmp_path / "page.html").read_text() == OLD_PAGE
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html"]
