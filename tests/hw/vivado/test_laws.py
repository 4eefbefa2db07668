"""FINN's units as Vivado maps them: the laws, their coefficients and what is said of their errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from networks import UINT4, small_cnn

from brevitas_a2q import hw
from brevitas_a2q.errors import ConfigError, PartError
from brevitas_a2q.hw._build_options import BuildOptions
from brevitas_a2q.hw._devices import find_part
from brevitas_a2q.hw._estimation import estimate_graph
from brevitas_a2q.hw._ir import Folding, MaxPool
from brevitas_a2q.hw._vivado.dsp_registers import core_registers
from brevitas_a2q.hw._vivado.model import published_unit
from brevitas_a2q.hw._vivado.unit import coefficients, vivado_unit

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.mark.parametrize(
    ("op", "parameters", "lut", "bram18"),  # counts that Vivado reported
    [
        ("StreamingFIFO_rtl", "W=112 D=2 impl=rtl ram=auto", 116, 0),
        ("StreamingFIFO_rtl", "W=54 D=36 impl=rtl ram=auto", 187, 0),
        ("StreamingFIFO_rtl", "W=8 D=4096 impl=vivado ram=auto", 74, 2),
        ("MVAU_hls", "MW=784 MH=64 PE=32 SIMD=112 W=1 A=1 AS=0 P=10 B=1 ram=auto res=lut", 10593, 100),
        ("MVAU_hls", "MW=324 MH=64 PE=8 SIMD=18 W=2 A=3 AS=0 P=32 B=3 ram=auto res=lut", 3140, 8),
        ("MVAU_rtl", "MW=192 MH=64 PE=16 SIMD=8 W=4 A=4 AS=0 P=14 B=0 ram=auto", 2072, 15),
        ("StreamingFIFO_rtl", "W=48 D=74 impl=rtl ram=auto", 250, 0),  # three shift registers, which LUTs join
        ("LabelSelect_hls", "L=10 PE=5 K=1 A=7", 108, 0),
        ("LabelSelect_hls", "L=27 PE=1 K=1 A=23", 102, 0),
        ("LabelSelect_hls", "L=43 PE=1 K=1 A=32", 67, 0),  # whole bytes: two multiplexers a LUT
        ("StreamingDataWidthConverter_Batch", "IN=8 OUT=256", 304, 0),
        ("StreamingDataWidthConverter_Batch", "IN=512 OUT=16", 1091, 0),
        ("FMPadding_rtl", "H=12 W=12 T=1 L=1 BO=1 R=1 C=3 SIMD=3 A=8", 28, 0),
        ("ConvolutionInputGenerator_rtl", "H=66 W=1 OH=64 OW=1 KH=3 KW=1 C=64 SIMD=1 A=8 ram=distributed", 193, 0),
    ],
)
def test_published_units(op: str, parameters: str, lut: int, bram18: int) -> None:
    found = hw.vivado_unit(op, parameters, "xc7z020")
    assert found.lut == pytest.approx(lut, rel=max(found.band, 0.15))
    assert found.bram18 == bram18


def test_weights_that_old_units_write_are_counted() -> None:
    parameters = "MW=256 MH=512 PE=1 SIMD=2 W=4 A=4 P=16 B=4 ram=distributed mem=decoupled"
    assert vivado_unit("StreamingFCLayer_Batch", parameters, "xc7z020").lut == pytest.approx(22269, rel=0.15)


def test_parameters_as_a_mapping_of_numbers_or_text() -> None:
    found = [vivado_unit("StreamingFIFO", {"W": w, "D": "2"}, "ZCU104") for w in (8, "8", 8.0)]
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    ("op", "parameters", "message"),
    [
        ("Softmax_hls", "W=8", "found unit 'Softmax_hls'"),
        ("MVAU_hls", "MW=8", "MVAU_hls: found no parameter MH"),
        ("StreamingFIFO_rtl", {"W": "wide", "D": 2}, "found W = 'wide'"),
        ("StreamingFIFO_rtl", {"W": -3, "D": 2}, "found W = -3"),
    ],
)
def test_bad_parameters(op: str, parameters: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        vivado_unit(op, parameters)  # type: ignore[arg-type]


def test_unknown_part() -> None:
    with pytest.raises(PartError):
        vivado_unit("StreamingFIFO_rtl", "W=8 D=2", "xc9z999")


def test_shipped_coefficients_are_those_of_the_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import vivado_laws

    rows = [s for s in vivado_laws.samples() if s.kind == "fifo: registers"]
    again = vivado_laws.fit([r.lut_features for r in rows], [r.lut for r in rows])
    assert coefficients()["fifo: registers"]["lut"] == pytest.approx(again, abs=1e-3)
    errors, level = vivado_laws.unseen(rows, "lut")
    assert level == "repository"
    assert sorted(abs(e) for e in errors)[len(errors) // 2] < 0.05


def test_every_kind_has_a_band_measured_on_rows_left_out() -> None:
    for kind, entry in json.loads(json.dumps(coefficients())).items():
        assert 0 < entry["band"] < 2, kind
        assert entry["left_out"] in ("repository", "build", "row")


# Goals of the median error of LUTs on repositories (or builds) that were left out.
@pytest.mark.parametrize(
    ("kind", "goal"),
    [
        ("fifo: registers", 0.05),
        ("hls matrix unit", 0.15),
        ("rtl matrix unit: blocks", 0.12),
        ("converter: gathering", 0.15),
        ("converter: parting", 0.15),
        ("padding", 0.105),
        ("window: sequential", 0.20),
        ("thresholds", 0.20),
    ],
)
def test_goals_of_unseen_units(kind: str, goal: float) -> None:
    assert coefficients()[kind]["median_error"] <= goal


def test_two_valued_weights_take_two_bits_in_front_of_wider_inputs() -> None:
    wide = {"MW": 64, "MH": 64, "PE": 4, "SIMD": 4, "A": 2, "P": 12, "B": 0, "ram": "block"}
    one, two = (vivado_unit("MVAU_hls", {**wide, "W": w}, "xczu28dr") for w in (1, 2))
    assert two.bram18 >= one.bram18
    assert two.lut > one.lut


def test_small_memories_left_to_vivado_are_in_luts_on_newer_parts() -> None:
    shallow = "MW=64 MH=64 PE=8 SIMD=8 W=1 A=1 P=7 B=1 ram=auto"
    assert vivado_unit("MVAU_hls", shallow, "xczu28dr").bram18 == 0
    assert vivado_unit("MVAU_hls", shallow, "xc7z020").bram18 > 0


@pytest.mark.parametrize(
    ("op", "parameters", "ff"),  # counts that Vivado reported
    [
        ("MVAU_rtl", "MW=192 MH=64 PE=16 SIMD=8 W=4 A=4 AS=0 P=14 B=0 ram=block", 1613),
        ("MVAU_rtl", "MW=192 MH=64 PE=32 SIMD=4 W=8 A=8 AS=0 P=22 B=0 ram=block", 3359),
        ("MVAU_rtl", "MW=192 MH=64 PE=1 SIMD=12 W=4 A=4 AS=0 P=13 B=0 ram=block", 158),
        ("Thresholding_rtl", "C=64 PE=1 A=22 T=22 B=8 steps=255", 487),
        ("Thresholding_rtl", "C=784 PE=112 A=8 AS=0 T=9 B=1 steps=1", 1131),
    ],
)
def test_published_flip_flops(op: str, parameters: str, ff: int) -> None:
    assert vivado_unit(op, parameters, "xczu7ev").ff == pytest.approx(ff, rel=0.05)


def test_rtl_of_dev_has_registers_in_its_adders_and_words_of_weights_in_shift_registers() -> None:
    unit = "MW=96 MH=32 PE=4 SIMD=96 W=4 A=4 P=13 B=0 ram=block"
    main, dev = (vivado_unit("MVAU_rtl", f"{unit} rtl={rtl}", "xczu28dr") for rtl in ("main", "dev"))
    tree = core_registers(4, 4, 96, 4, 13, pipelined=True) - core_registers(4, 4, 96, 4, 13, pipelined=False)
    assert dev.ff - main.ff == tree + 4 * 96 * 4 - 4 * 13  # words of weights more, words of sums less
    assert dev.lut - main.lut >= 4 * 96 * 4 // 2
    assert dev.dsp == main.dsp


def test_registers_of_one_and_two_products() -> None:
    one, two = (core_registers(8, 8, simd, 2, 20, pipelined=True) for simd in (1, 2))
    assert (
        one == 6 + 2 + (19 + 20) + 2 * 20
    )  # predicted carries and their sum, lanes of 19 and 20 bits, sums of two PEs
    assert two - one == 6 + 1 + 1  # carries of one more product, of a sum one bit wider, which the lower lane's is too


def test_thresholds_are_where_the_folding_says() -> None:
    unit = "C=512 PE=1 A=18 T=18 steps=15"
    luts, left, blocks = (vivado_unit("Thresholding_rtl", f"{unit} ram={s}") for s in ("distributed", "auto", "block"))
    assert (luts.bram18, left.bram18, blocks.bram18) == (0, 8, 8)
    assert luts.lut - left.lut == 18 * (120 + 9)  # groups of 64 words, and multiplexers of 2, 4, 8 and 16 groups of 256


def test_finn_has_a_fifo_on_each_side_of_a_converter() -> None:
    graph = small_cnn()
    rows = estimate_graph(graph, find_part("Pynq-Z2"), 300, build=BuildOptions(target="finn")).rows
    converters = [row for row in rows if row.op == "DataWidthConverter"]
    assert converters
    assert len([row for row in rows if row.name.endswith("far fifo")]) == len(converters)
    rows = estimate_graph(graph, find_part("Pynq-Z2"), 300).rows
    assert not [row for row in rows if row.name.endswith("far fifo")]


def test_pools_of_lines_are_as_wide_as_their_word() -> None:
    common = {"name": "pool", "inputs": ("",), "pixels": 8, "channels": 32, "input_type": UINT4, "output_type": UINT4}
    pool = MaxPool(**common, input_dim=(16, 1), kernel=(2, 1))
    assert published_unit(pool, Folding(), find_part("ZCU104"))[1]["PE"] == 32  # type: ignore[index]


def test_published_builds_reach_their_goal() -> None:
    found = json.loads((BENCHMARKS / "results" / "published_builds.json").read_text())
    assert found["median_error"] <= 0.15
    assert found["largest_error"] < 0.5
    for build in found["builds"]:
        if build["dsp"]:
            assert build["ff"] + found["shell"]["ff"] == pytest.approx(build["vivado"]["FF"], rel=0.15)
