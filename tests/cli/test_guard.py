"""No command destroys what it reads, or one of its outputs by another, whatever the names."""

from __future__ import annotations

from pathlib import Path

import pytest
from oracle_data import ORACLE

from brevitas_a2q._cli.main import main

CONTENT = b"precious"
TFC = str(ORACLE / "models/tfc_w4a4.onnx")


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    path = tmp_path / "precious.svg"
    path.write_bytes(CONTENT)
    return path


COMMANDS = {
    "fold": ["fold", "{in}", "--part", "xc7z020clg400-1", "--max-fps", "--out", "{out}"],
    "fold page": ["fold", "{in}", "--part", "xc7z020clg400-1", "--max-fps", "--html", "{out}"],
    "estimate": ["estimate", "{in}", "--part", "xc7z020clg400-1", "--html", "{out}"],
    "certify": ["certify", "{in}", "--out", "{out}"],
    "certify against": ["certify", "other.onnx", "--against", "{in}", "--output", "{out}"],
    "simulate": ["simulate", "other.onnx", "--inputs", "{in}", "--out", "{out}"],
    "train": ["train", "--config", "{in}", "--out", "{out}"],
    "ptq": ["ptq", "--model", "m:b", "--calibration", "{in}", "-P", "9", "--out", "{out}.run", "--html", "{out}.svg"],
    "narrow": ["narrow", "{in}", "--data", "m:d", "--plot", "{out}.svg"],
}


@pytest.mark.parametrize("form", ["name", "dots", "link", "hard link"])
@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_inputs_stay(words: list[str], form: str, precious: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = precious.parent / "other.svg"
    if form == "link":
        out.symlink_to(precious)
    elif form == "hard link":
        out.hardlink_to(precious)
    elif form == "dots":
        (precious.parent / "folder").mkdir()
        out = precious.parent / "folder" / ".." / precious.name
    else:
        out = precious
    status = main(
        [
            word.replace("{in}", str(precious)).replace("{out}.svg", str(out)).replace("{out}", str(out))
            for word in words
        ]
    )
    assert status == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert precious.read_bytes() == CONTENT


def test_samples_of_a_folder_stay(precious: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(precious.parent)
    assert main(["narrow", "m:b", "--data", folder, "--plot", str(precious)]) == 2
    assert "an output and an input, --data and --plot" in capsys.readouterr().err
    assert precious.read_bytes() == CONTENT


def test_two_outputs_are_two_files(precious: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = str(precious.parent / "page.svg")
    words = ["estimate", str(precious), "--part", "xc7z020clg400-1", "--html", page, "--plot", page]
    assert main(words) == 2
    assert "two outputs, --html and --plot" in capsys.readouterr().err.replace("--plot and --html", "--html and --plot")


@pytest.mark.parametrize("words", [["handoff", TFC], ["ptq", "--model", "m:b", "--calibration", "x.npz"]], ids=str)
def test_files_of_something_else_stay(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that has, say, a training run's network, or somebody's README."""
    kept = {name: tmp_path / name for name in ("network.onnx", "README.md")}
    for path in kept.values():
        path.write_bytes(CONTENT)
    assert main([*words, "--out", str(tmp_path)]) == 2
    assert "of something else" in capsys.readouterr().err
    assert all(path.read_bytes() == CONTENT for path in kept.values())


WRITES = {
    "page": (["parts", "--html"], b"<!DOCTYPE html>"),
    "certificate": (["certify", TFC, "--out"], b'{"format": "brevitas_a2q.certificate"}'),
    "folding": (["fold", TFC, "--part", "xc7z020clg400-1", "--target-fps", "1", "--out"], b'{"Defaults": {}}'),
}


@pytest.mark.parametrize("words", [words for words, _ in WRITES.values()], ids=WRITES)
@pytest.mark.parametrize("content", [b"\x08\x08\x12\x07pytorch", b"PK\x03\x04", b"text", b"[1]", b'{"a": 1}'])
def test_a_file_of_another_kind_stays(
    words: list[str], content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its name may be a slip: ``certify a.onnx --out b.onnx``."""
    path = tmp_path / "other"
    path.write_bytes(content)
    assert main([*words, str(path)]) == 2
    assert "which would be replaced" in capsys.readouterr().err
    assert path.read_bytes() == content


@pytest.mark.parametrize("case", WRITES)
@pytest.mark.parametrize("what", ["earlier", "empty"])
def test_an_earlier_result_and_an_empty_file_are_replaced(case: str, what: str, tmp_path: Path) -> None:
    words, content = WRITES[case]
    path = tmp_path / "mine"
    path.write_bytes(content if what == "earlier" else b"")
    assert main([*words, str(path)]) == 0
    assert path.stat().st_size > len(content)


def test_the_nearest_command_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimat"]) == 2
    assert "Did you mean 'estimate'?" in capsys.readouterr().err
