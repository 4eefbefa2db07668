"""The narrow command: least widths within a tolerance of the metric, its table, figure and files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from brevitas_a2q import certify
from brevitas_a2q._cli.main import main
from brevitas_a2q.ptq import _least_widths

MODEL = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 3))
    x, y = data()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model

def data():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(400, 12, generator=generator)
    return x, x[:, :3].argmax(1)

def dataset():
    return torch.utils.data.TensorDataset(*data())
"""
QUICK = ["--method", "projection", "--activation-bits", "3,5"]


@pytest.fixture
def name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the user's in the working folder."""
    monkeypatch.chdir(tmp_path)
    found = f"narrowed_{abs(hash(tmp_path))}"
    (tmp_path / f"{found}.py").write_text(MODEL)
    return found


def test_the_least_widths_that_keep_the_accuracy(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["narrow", f"{name}:build", "--data", f"{name}:data", "--tolerance", "2", "--part", "xc7z020clg400-1"]
    words += ["--plot", "curve.svg", "--html", "page.html", "--json", "--no-zero-point", *QUICK]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    bits = found["layers"][1]["accumulator_bit_width"]
    assert 4 <= bits < 16
    assert found["accuracy"] >= found["float_score"] - 2
    assert found["layers"][1]["gain"] > 0
    assert found["certificate"]["holds"]
    assert certify(found["file"]).holds
    kinds = [trial["kind"] for trial in found["trials"]]
    assert set(kinds) == {"one P", "per layer"}
    assert all(trial["lut"] > 0 for trial in found["trials"])
    # Narrower than the narrowest single P that was enough, or that itself: and one bit less was not.
    passed = [t["mean_bit_width"] for t in found["trials"] if t["score"] >= found["float_score"] - 2]
    failed = [t["mean_bit_width"] for t in found["trials"] if t["score"] < found["float_score"] - 2]
    assert bits == min(passed)
    assert not failed or max(failed) < max(passed)
    assert Path("curve.svg").read_bytes().startswith(b"<?xml")
    assert "accuracy" in Path("page.html").read_text()


def test_nothing_is_tried_below_the_narrowest(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["narrow", f"{name}:build", "--data", f"{name}:data", "--tolerance", "90", "--out", "out", *QUICK]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert printed.count("│ one P") == 4
    assert "│ per layer" not in printed
    assert " at 4 bits; with one P for all layers 4 bits" in " ".join(printed.split())


def test_labels_in_a_file_and_none(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(".")
    monkeypatch.setattr(_least_widths, "_STEPS", 1)  # how the search goes on is another test's business
    monkeypatch.setattr(_least_widths, "MAX_SEARCHED_BITS", 7)
    module = __import__(name)
    x, y = (tensor.numpy() for tensor in module.data())
    np.savez("labelled.npz", x=x, y=y)
    np.savez("plain.npz", x=x)
    base = ["narrow", f"{name}:build", "--tolerance", "5", "--json", *QUICK]
    assert main([*base, "--data", "labelled.npz", "--out", "a"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] > 80
    assert main([*base, "--calibration", "plain.npz", "--samples", "100", "--out", "b"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["accuracy"] is None
    assert found["agreement"] >= 95
    assert main([*base[:4], *QUICK, "--calibration", "plain.npz", "--data", f"{name}:dataset", "--out", "c"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"[\d.]+ % \(float [\d.]+ %, 5 points may be lost\) at \d+( to \d+)? bits", printed)


BAD = {
    "no data": ([], "neither --data nor --calibration"),
    "labels": (["--data", "short.npz"], "one length"),
    "widths": (["--data", "plain.npz", "--activation-bits", "four"], "numbers such as 4,8"),
    "function": (["--data", "nowhere:data"], "nowhere"),
    "tolerance": (["--data", "plain.npz", "--tolerance", "0"], "tolerance"),
    "part": (["--data", "plain.npz", "--part", "xyz"], "xyz"),
}


@pytest.mark.parametrize(("words", "told"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line(words: list[str], told: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("plain.npz", x=np.random.default_rng(0).normal(size=(20, 12)).astype(np.float32))
    np.savez("short.npz", x=np.zeros((20, 12), np.float32), y=np.zeros(3, np.int64))
    assert main(["narrow", f"{name}:build", *words]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert told in printed
