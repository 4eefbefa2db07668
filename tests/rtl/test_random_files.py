"""A slice of ``benchmarks/rtl_random.py``, and what longer runs of it have found, by name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from brevitas_a2q.errors import RtlError
from brevitas_a2q.rtl._simulators import find_simulator

sys.path.insert(0, str(Path(__file__).parents[2]))

FOUND = {
    "a group's words come faster than they are taken": 15,
    "one tap of a stride is written a word a cycle": 115,
    "zeros in front of an image are written before it comes": 121,
    "an image of one channel is reshaped": 343,
    "a quantizer has one code": 1502,
    "a depthwise layer has one tap of a stride": 470,
    "a convolution has as many groups as channels, and few cycles to spare": 815,
    "a pool has windows of one pixel": 1980,
    "a window skips most of its image": 2873,
    "the wires in front of a layer hold less than its input's type": 3651,
    "the input has five axes and its channels on the last": 3067,
}


@pytest.fixture(autouse=True)
def icarus() -> None:
    try:
        find_simulator("icarus")
    except RtlError:
        pytest.skip("Icarus Verilog is not installed")


def built(seed: int, folder: Path) -> dict[str, Any]:
    from benchmarks.rtl_random import built

    return built(seed, folder)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", FOUND.values(), ids=FOUND)
def test_what_was_found(seed: int, tmp_path: Path) -> None:
    case = built(seed, tmp_path)
    assert case["outcome"] == "built", case["why"]
    assert case["holds"]
    rtl, estimate = case["interval"]
    assert rtl == estimate
    rtl, estimate = case["latency"]
    assert estimate == pytest.approx(rtl, rel=0.05, abs=4)
    for unit, (deep, expected) in case["pipelines"].items():
        assert deep == expected, unit


@pytest.mark.filterwarnings("ignore")
def test_a_pool_over_channels_last_is_no_accelerator(tmp_path: Path) -> None:
    case = built(2036, tmp_path)
    assert case["outcome"] == "no accelerator"
    assert (
        "expected channels on the last axis" in case["why"]
    )  # where the image is read channels first, its reader says


@pytest.mark.filterwarnings("ignore")
def test_one_bit_behind_a_zero_point_is_no_accelerator(tmp_path: Path) -> None:
    case = built(360, tmp_path)
    assert case["outcome"] == "no accelerator"
    assert "found integers -4 and -2 of one bit" in case["why"]


@pytest.mark.filterwarnings("ignore")
def test_scales_of_channels_follow_a_squeeze(tmp_path: Path) -> None:
    import onnx

    from benchmarks.adversary.files.generate import generate
    from brevitas_a2q.hw._frontend import read_graph

    case = generate(2444)
    onnx.save(case.graph.model(case.outputs), tmp_path / "m.onnx")
    assert next(unit.kind for unit in read_graph(tmp_path / "m.onnx").units) == "Island"
