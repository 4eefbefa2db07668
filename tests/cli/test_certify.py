"""``brevitas-a2q certify`` and ``simulate``, run as a user runs them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brevitas_a2q._cli.main import main
from brevitas_a2q.verify._certificate import Certificate
from brevitas_a2q.verify._certify import certify


@pytest.fixture
def tfc(oracle: Callable[[str], Path]) -> str:
    return str(oracle("models/tfc_w4a4_a2q12.onnx"))


def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_certify_prints_the_certificate(tfc: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["certify", tfc, "--json"]) == 0
    found = printed(capsys)
    assert Certificate.from_json(found) == certify(tfc)
    assert found["layers"][1] | {"inputs": 64, "required_bit_width": 12, "lower": -450} == found["layers"][1]
    assert main(["certify", tfc]) == 0
    assert "no layer has a target width" in capsys.readouterr().out


def test_declared_inputs_narrow_the_first_layer(tfc: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["certify", tfc, "--json", "--input-range", "0", "1"]) == 0
    first = printed(capsys)["layers"][0]
    found = first["input_range"]
    assert (found["lower"], found["source"]) == (0, "range analysis of inputs in [0, 1]")


def test_a_written_certificate_is_checked_again(
    tfc: str, tmp_path: Path, oracle: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    written = str(tmp_path / "certificate.json")
    assert main(["certify", tfc, "--output", written]) == 0
    capsys.readouterr()
    assert main(["certify", tfc, "--against", written, "--json"]) == 0
    assert printed(capsys)["against"] == {"agrees": True, "broken": []}
    other = str(oracle("models/tfc_w4a4.onnx"))
    assert main(["certify", other, "--against", written, "--json"]) == 1
    assert "layer /f/f.4/MatMul: its integer weights are others" in printed(capsys)["against"]["broken"]
    Path(written).write_text("{")
    assert main(["certify", tfc, "--against", written]) == 2
    assert capsys.readouterr().err.startswith(f"brevitas-a2q: error: {written}: cannot be read")


def test_simulate_counts_and_writes(tfc: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inputs, out = tmp_path / "x.npz", tmp_path / "y.npz"
    np.savez(inputs, x=np.random.default_rng(0).normal(size=(3, 784)).astype(np.float32))
    arguments = ["simulate", tfc, "--inputs", str(inputs), "--accumulator-bit-width", "12", "--json", "--out", str(out)]
    assert main([*arguments, "--overflow", "saturate"]) == 0
    found = printed(capsys)
    assert found["additions"] == 3 * 64 * (784 + 64 + 64) + 3 * 10 * 64
    counts = list(found["overflows"].values())
    assert counts[0] > 0
    assert counts[1:] == [0, 0, 0]
    with np.load(out) as outputs:
        assert [outputs[name].shape for name in outputs.files] == [(3, 10)]


def _of_a_text(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.txt", "1")


def _of_zeros(path: Path) -> None:
    """300 MB of them in 300 KB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (100_000, 784)})
        for _ in range(100):
            file.write(bytes(784 * 4000))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no arrays at all", None, _of_a_text, _of_zeros])
def test_bad_inputs_are_one_line(content: Any, tfc: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inputs, out = tmp_path / "x.npz", tmp_path / "y.npz"
    if content is None:
        np.savez(inputs, x=np.array([object()], dtype=object))
    elif callable(content):
        content(inputs)
    else:
        inputs.write_bytes(content)
    assert main(["simulate", tfc, "--inputs", str(inputs), "--accumulator-bit-width", "12", "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "x.npz: " in error
    assert "an .npz file of" in error or "in a file of its size" in error
    assert not out.exists()


@pytest.mark.parametrize("width", ["1", "65"])
def test_bad_widths_are_one_line(width: str, tfc: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "x.npz", x=np.zeros((1, 784), np.float32))
    assert main(["simulate", tfc, "--inputs", str(tmp_path / "x.npz"), "--accumulator-bit-width", width]) == 2
    assert "expected an integer from 2 to 64" in capsys.readouterr().err


@pytest.mark.parametrize("ends", [("1", "0"), ("nan", "1"), ("0", "inf"), ("-inf", "0")])
def test_bad_input_ranges_are_one_line(ends: tuple[str, str], tfc: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["certify", tfc, "--input-range", *ends]) == 2
    assert "expected two finite numbers, the lower one first" in capsys.readouterr().err
