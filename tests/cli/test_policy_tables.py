"""Several accumulator policies, and accuracy against P, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from oracle_data import ORACLE

from brevitas_a2q import hw, simulate
from brevitas_a2q._cli.main import main

TFC = str(ORACLE / "models/tfc_w4a4_a2q12.onnx")
POLICIES = "32,data-type,exact,trained"


def test_policies_stand_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    words = ["estimate", TFC, "--accumulator", POLICIES, "--part", "xc7z020clg400-1"]
    assert main([*words, "--json", "--html", str(page)]) == 0
    found = json.loads(capsys.readouterr().out)["policies"]
    assert list(found) == POLICIES.split(",")
    for policy, estimate in found.items():
        alone = hw.estimate(TFC, part="xc7z020clg400-1", accumulator=policy)
        assert estimate["total"]["lut"] == alone.total.lut
    assert found["32"]["total"]["lut"] > found["exact"]["total"]["lut"]
    assert "data-type bound" in page.read_text()
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert printed.count("/f/f.4/MatMul") == 2  # its width, and its LUTs
    assert f"{found['32']['total']['lut']:,}" in printed


@pytest.mark.parametrize("policies", ["32,32", "32,wide", "32,", "fixed:1,32"])
def test_bad_policies(policies: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", TFC, "--accumulator", policies]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.fixture
def samples(tmp_path: Path) -> tuple[str, str]:
    """Inputs, and the classes that the network itself tells for nine in ten of them."""
    x = np.random.default_rng(0).normal(size=(40, 784)).astype(np.float32)
    classes = np.asarray(simulate(TFC, {"x.281": x}).outputs).reshape(40, -1).argmax(1)
    classes[:4] = (classes[:4] + 1) % 10
    np.savez(tmp_path / "x.npz", x=x)
    np.savez(tmp_path / "y.npz", labels=classes)
    return str(tmp_path / "x.npz"), str(tmp_path / "y.npz")


def test_accuracy_against_p(samples: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, y = samples
    plot = tmp_path / "curve.png"
    assert main(["simulate", TFC, "--inputs", x, "--labels", y, "--json", "--plot", str(plot)]) == 0
    points = json.loads(capsys.readouterr().out)["points"]
    assert [point["accumulator_bit_width"] for point in points] == list(range(20, 12, -1))
    assert points[0]["accuracy"] == pytest.approx(90)
    assert sum(points[0]["overflows"].values()) == 0 < sum(points[-1]["overflows"].values())
    assert points[-1]["accuracy"] < 60
    assert plot.read_bytes().startswith(b"\x89PNG")
    words = ["simulate", TFC, "--inputs", x, "--labels", y, "--accumulator-bit-width", "14-16,20"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "90.00 %" in printed
    assert [line.split("│")[1].strip() for line in printed.splitlines() if line.startswith("│")] == [
        "20",
        "16",
        "15",
        "14",
    ]


def test_labels_that_do_not_fit(samples: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, y = samples
    for name, labels in {
        "few": np.zeros(3, np.int64),
        "real": np.zeros(40),
        "none": np.zeros((40, 2), np.int64),
    }.items():
        np.savez(tmp_path / f"{name}.npz", labels=labels)
        assert main(["simulate", TFC, "--inputs", x, "--labels", str(tmp_path / f"{name}.npz")]) == 2
        assert "labels" in capsys.readouterr().err
    for words in (["--labels", y, "--out", str(tmp_path / "o.npz")], ["--plot", str(tmp_path / "o.png")]):
        assert main(["simulate", TFC, "--inputs", x, *words]) == 2
    for bits in ("wide", "8-", "9-8", ""):
        assert main(["simulate", TFC, "--inputs", x, "--accumulator-bit-width", bits]) == 2
