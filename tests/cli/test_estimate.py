"""The estimator's commands as a user calls them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from oracle_data import ORACLE

from brevitas_a2q._cli.main import main

MODELS = ORACLE / "models"
TFC = str(MODELS / "tfc_w4a4_a2q12.onnx")
Output = pytest.CaptureFixture[str]


def run(capsys: Output, *words: str) -> tuple[int, str, str]:
    status = main(list(words))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_estimate_json(capsys: Output) -> None:
    status, out, err = run(capsys, "estimate", TFC, "--part", "ZCU104", "--target-fps", "10000", "--json")
    data = json.loads(out)
    assert status == 0, err
    assert data["part"] == "xczu7ev"
    assert data["fps"] >= 10_000
    assert data["total"]["lut"] == sum(row["lut"] for row in data["layers"]) > 1000
    assert data["fits"] is True
    assert data["latency_cycles"] > data["max_cycles"]


def test_estimate_table(capsys: Output) -> None:
    status, out, _ = run(capsys, "estimate", TFC, "--accumulator", "fixed:6")
    assert status == 0
    assert "MVAU" in out
    assert "frames per second" in out
    assert "warning: MVAU /f/f.1/MatMul: 6 accumulator bits overflow" in out


def test_require_fit(capsys: Output, tmp_path: Path) -> None:
    part = tmp_path / "small.yaml"
    part.write_text("{name: small, family: 7-series, lut: 900, ff: 1800, bram18: 2, dsp: 4}")
    assert run(capsys, "estimate", TFC, "--part", str(part))[0] == 0
    status, out, _ = run(capsys, "estimate", TFC, "--part", str(part), "--require-fit")
    assert status == 1
    assert "DOES NOT FIT small" in out


def test_fold_json_and_file(capsys: Output, tmp_path: Path) -> None:
    file = tmp_path / "folding.json"
    status, out, _ = run(capsys, "fold", TFC, "--target-fps", "50000", "--out", str(file), "--json")
    data = json.loads(out)
    assert status == 0
    assert data["folding"] == json.loads(file.read_text())
    assert data["lut_equivalent"] <= data["setfolding_lut_equivalent"]
    assert set(data["setfolding_total"]) == {"lut", "bram18", "uram", "dsp"}
    status, out, _ = run(capsys, "estimate", TFC, "--folding", str(file), "--json")
    assert json.loads(out)["max_cycles"] == data["max_cycles"]


def test_fold_pareto(capsys: Output) -> None:
    points = json.loads(run(capsys, "fold", TFC, "--pareto", "--json")[1])["points"]
    rates, costs = [p["fps"] for p in points], [p["lut_equivalent"] for p in points]
    assert len(points) > 10
    assert rates == sorted(rates)
    assert costs == sorted(costs)


def test_fold_max_fps(capsys: Output) -> None:
    data = json.loads(run(capsys, "fold", TFC, "--part", "xc7z020", "--max-fps", "--json")[1])
    assert data["fits"]
    assert data["fps"] > 100_000


def test_compare(capsys: Output, tmp_path: Path) -> None:
    files = []
    for policy in ("32", "trained"):
        out = run(capsys, "estimate", TFC, "--target-fps", "10000", "--accumulator", policy, "--json")[1]
        files.append(tmp_path / f"{policy}.json")
        files[-1].write_text(out)
    status, out, _ = run(capsys, "compare", *map(str, files))
    assert status == 0
    assert "32 -> 12" in out
    found = json.loads(run(capsys, "compare", *map(str, files), "--json")[1])
    assert found["ratio"]["lut"] < 1
    other = MODELS / "tfc_w4a4.onnx"
    found = json.loads(run(capsys, "compare", str(other), TFC, "--target-fps", "10000", "--json")[1])
    assert found["after"]["lut"] < found["before"]["lut"]


@pytest.mark.parametrize(
    ("report", "words"),
    [
        ("cnv_w4a4.main.st0.32.fps1000_thrdist", ["--ram-style-thresholds", "distributed"]),
        ("cnv_w4a4.main.st1.32.fps1000_dist", ["--standalone-thresholds", "--ram-style", "distributed"]),
        ("cnv_w4a4.main.st1.32.fps1000_hls", ["--standalone-thresholds", "--prefer-hls"]),
    ],
)
def test_finn_build_options(capsys: Output, report: str, words: list[str]) -> None:
    options = ["--model", "finn-main", "--accumulator", "32", "--target-fps", "1000", "--json", *words]
    found = json.loads(run(capsys, "estimate", str(MODELS / "cnv_w4a4.onnx"), *options)[1])
    layers = json.loads((ORACLE / f"reports/{report}.json").read_text())["layers"]
    expected = [
        (layer["name"], *(int(layer["res"][k]) for k in ("LUT", "BRAM_18K", "URAM", "DSP"))) for layer in layers
    ]
    assert [(row["name"], *(row[k] for k in ("lut", "bram18", "uram", "dsp"))) for row in found["layers"]] == expected


def test_parts(capsys: Output) -> None:
    status, out, _ = run(capsys, "parts", "--json")
    names = {row["name"] for row in json.loads(out)["parts"]}
    assert status == 0
    assert {"xc7z020", "xczu7ev", "xcu280", "xcvc1902"} <= names
    assert "ZCU104" in run(capsys, "parts", "xczu7ev")[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["estimate", TFC, "--part", "xczu77ev"], "not in the table; expected a part or board such as xczu7ev"),
        (["estimate", TFC, "--accumulator", "narrow"], "found accumulator policy 'narrow'"),
        (["estimate", TFC, "--target-fps", "1e9"], "at most one frame per clock cycle"),
        (["estimate", TFC, "--target-fps", "-1"], "found target_fps = -1.0"),
        (["estimate", "none.onnx"], "none.onnx"),
        (["estimate", TFC, "--prefer-hls"], "found options of FINN's build; expected model finn-main or finn-dev"),
        (["fold", TFC], "exactly one"),
        (["fold", TFC, "--target-fps", "1", "--lut-equivalent", "bram=3"], "found a weight of 'bram'"),
        (["fold", TFC, "--target-fps", "1", "--lut-equivalent", "dsp=x"], "'dsp=x': expected NAME=LUTS"),
        (["fold", TFC, "--target-fps", "1e8"], "MVAU /f/f.1/MatMul"),
        (["fold", TFC, "--target-fps", "1", "--max-fps"], "exactly one"),
        (["parts", "nothing"], "not in the table"),
    ],
)
def test_bad_input_is_one_line_and_status_2(capsys: Output, words: list[str], message: str) -> None:
    status, out, err = run(capsys, *words)
    assert status == 2
    assert not out
    assert err.startswith("brevitas-a2q: error: ")
    assert err.count("\n") == 1
    assert message in err


def test_start_up_and_no_torch() -> None:
    code = (
        "import sys; from brevitas_a2q._cli.main import main; "
        f"status = main(['estimate', {TFC!r}, '--json']); "
        "assert not {'torch', 'brevitas', 'matplotlib', 'scipy'} & set(sys.modules), 'too much'; sys.exit(status)"
    )
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert time.perf_counter() - started < 10  # about 1 s on an idle machine; several processes may share this one


def test_many_foldings_go_to_no_one_file(capsys: Output, tmp_path: Path) -> None:
    assert main(["fold", str(TFC), "--part", "xc7z020clg400-1", "--pareto", "--out", str(tmp_path / "f.json")]) == 2
    assert "--target-fps F --out FILE" in capsys.readouterr().err


@pytest.mark.parametrize("quantizer", [False, True])
def test_the_input_quantizer_of_finn_dev_is_counted_where_the_folding_file_has_it(
    capsys: Output, tmp_path: Path, quantizer: bool
) -> None:
    file = tmp_path / "folding.json"
    entries = {"MVAU_hls_0": {"PE": 8, "SIMD": 4}} | ({"Thresholding_rtl_0": {"PE": 1}} if quantizer else {})
    file.write_text(json.dumps(entries))
    words = ["estimate", str(ORACLE / "models/tfc_w4a4.onnx"), "--part", "ZCU104", "--model", "finn-dev", "--json"]
    assert main([*words, "--folding", str(file)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["layers"][0]["op"] == "Thresholding_rtl") == quantizer
    assert any("no quantizer of the input" in note for note in found["notes"]) != quantizer
