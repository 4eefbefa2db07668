"""Single nodes against FINN's own numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from brevitas_a2q import hw
from brevitas_a2q.errors import A2QError, ConfigError, FoldingError, PartError
from brevitas_a2q.hw._finn.matrix import finn_data_type_bound
from brevitas_a2q.hw._finn.node import finn_node, supported_op_types

PART = "xczu7ev-ffvc1156-2-e"
FIELDS = {
    "LUT": "lut",
    "BRAM_18K": "bram18",
    "URAM": "uram",
    "DSP": "dsp",
    "BRAM_efficiency": "bram_efficiency",
    "URAM_efficiency": "uram_efficiency",
}
REST = {
    "exp_cycles": "cycles",
    "in_width": "input_width",
    "out_width": "output_width",
    "weight_width": "weight_width",
    "calc_wmem": "wmem",
    "calc_tmem": "tmem",
}


def mismatches(row: dict[str, Any]) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for part, resources in row["res"].items():
        node = finn_node(row["op"], row["attrs"], part, row["finn"])
        pairs = [(FIELDS[name], value) for name, value in resources.items()]
        pairs += [(REST[name], row[name]) for name in REST if name in row]
        found += [
            (row["finn"], row["op"], part, name, getattr(node, name), value, row["attrs"])
            for name, value in pairs
            if getattr(node, name) != value
        ]
    return found


def test_golden_rows_of_every_kind(golden_nodes: list[dict[str, Any]]) -> None:
    assert {(row["finn"], row["op"]) for row in golden_nodes} >= {("main", "MVAU_hls"), ("dev", "Requant_rtl")}
    assert [m for row in golden_nodes for m in mismatches(row)] == []


@pytest.mark.parametrize("version", ["main", "dev"])
def test_every_row_of_the_reference(oracle_nodes: list[dict[str, Any]], version: str) -> None:
    rows = [row for row in oracle_nodes if row["finn"] == version]
    assert len(rows) > 400
    assert [m for row in rows for m in mismatches(row)] == []


def test_every_kind_has_a_golden_row(golden_nodes: list[dict[str, Any]]) -> None:
    """All kinds, but the elementwise operators, which share one class."""
    for version in ("main", "dev"):
        golden = {row["op"] for row in golden_nodes if row["finn"] == version}
        kinds = {op for op in supported_op_types(version) if not op.startswith("Elementwise")}
        assert kinds == {op for op in golden if not op.startswith("Elementwise")}


def test_optional_attributes_default_as_in_finn(golden_nodes: list[dict[str, Any]]) -> None:
    defaults = {
        "mem_mode": "internal_decoupled", "ram_style": "auto", "ram_style_thresholds": "auto", "resType": "auto",
        "runtime_writeable_weights": 0, "binaryXnorMode": 0,
    }  # fmt: skip
    attributes = next(row["attrs"] for row in golden_nodes if row["op"] == "MVAU_hls")
    full = {**attributes, **defaults, "accDataType": "INT32", "numInputVectors": [1]}
    sparse = {k: v for k, v in full.items() if k not in (*defaults, "accDataType", "numInputVectors")}
    assert finn_node("MVAU_hls", sparse, PART) == finn_node("MVAU_hls", full, PART)


def test_data_type_bound_keeps_finns_rounding() -> None:
    """K = 31 with both types BIPOLAR: log2(31) + log2(1 + 1/31) + 1 is 6 exactly and just above it in binary64."""
    assert finn_data_type_bound(31, 1, 1, True) == 7
    assert finn_data_type_bound(9 * 64, 4, 4, False) == 18


def test_parts_differ_by_dsp_block_alone() -> None:
    attributes = {
        "MW": 72, "MH": 32, "PE": 8, "SIMD": 9, "noActivation": 1,
        "inputDataType": "INT8", "weightDataType": "INT8", "outputDataType": "INT24",
    }  # fmt: skip
    dsp = [finn_node("MVAU_rtl", attributes, part).dsp for part in (PART, "xc7z020clg400-1", "xcvc1902-vsva2197")]
    assert dsp == [2 * 9, 2 * 9, 8 * 3]
    assert finn_node("MVAU_rtl", attributes, "ZCU104") == finn_node("MVAU_rtl", attributes, PART)


def test_the_package_exports_it() -> None:
    assert hw.finn_node is finn_node
    assert "finn_node" in dir(hw)


MVAU = {
    "MW": 6,
    "MH": 4,
    "PE": 1,
    "SIMD": 1,
    "inputDataType": "INT4",
    "weightDataType": "INT4",
    "outputDataType": "INT8",
}


@pytest.mark.parametrize(
    ("op_type", "changes", "part", "version", "error", "words"),
    [
        ("MVAU", {}, PART, "main", ConfigError, "one of"),
        ("MVAU_hls", {}, PART, "plus", ConfigError, "main, dev"),
        ("MVAU_hls", {"SIMD": 4}, PART, "main", FoldingError, "a divisor of 6; the nearest is 3"),
        ("MVAU_hls", {"PE": None}, PART, "main", ConfigError, "no attribute PE"),
        ("MVAU_hls", {"PE": "two"}, PART, "main", ConfigError, "PE = 'two'"),
        ("MVAU_hls", {"PE": 2.5}, PART, "main", ConfigError, "PE = 2.5"),
        ("MVAU_hls", {"numInputVectors": [1, -1]}, PART, "main", ConfigError, "numInputVectors = .1, -1."),
        ("MVAU_hls", {"numInputVectors": "[1, x]"}, PART, "main", ConfigError, "numInputVectors"),
        ("MVAU_hls", {"inputDataType": None}, PART, "main", ConfigError, "no attribute inputDataType"),
        ("MVAU_hls", {"ram_style": "disk"}, PART, "main", ConfigError, "ram_style = 'disk'"),
        ("StreamingFFT_hls", {}, PART, "main", ConfigError, "found op type 'StreamingFFT_hls'; expected one of Add"),
        ("MVAU", {}, PART, "main", ConfigError, "did you mean MVAU_"),
        ("MVAU_hls", {"inputDataType": "FLOAT32"}, PART, "main", A2QError, "FLOAT32"),
        ("MVAU_hls", {"mem_mode": "const"}, PART, "main", ConfigError, "internal_embedded"),
        ("MVAU_hls", {"numInputVectors": []}, PART, "main", ConfigError, "numInputVectors"),
        ("MVAU_hls", {}, "nosuchboard", "main", PartError, "nosuchboard"),
    ],
)
def test_bad_input_is_named(
    op_type: str, changes: dict[str, Any], part: str, version: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        finn_node(op_type, {**MVAU, **changes}, part, version)


@pytest.mark.parametrize(
    "changes",
    [
        {"PE": "2", "MW": "6"},
        {"PE": np.int64(2), "MH": 4.0},
        {"noActivation": "0", "inputDataType": b"INT4", "ram_style": b"auto"},
        {"numInputVectors": "[1, 28, 28]"},
        {"numInputVectors": np.array([1, 28, 28])},
        {"numInputVectors": (1, "28", 28.0)},
        {"numInputVectors": 784},
        {"an attribute of some later FINN": [1]},
    ],
)
def test_attributes_may_be_written_in_several_ways(changes: dict[str, Any]) -> None:
    plain = {**MVAU, "PE": 2, "numInputVectors": [1, 28, 28]}
    assert finn_node("MVAU_hls", {**plain, **changes}, PART) == finn_node("MVAU_hls", plain, PART)


def test_a_window_larger_than_its_image_is_refused() -> None:
    attributes = {
        "IFMChannels": 4, "SIMD": 4, "ConvKernelDim": [3, 3], "IFMDim": [2, 8], "OFMDim": [1, 6],
        "inputDataType": "INT4",
    }  # fmt: skip
    with pytest.raises(ConfigError, match="kernel 3, dilation 1, stride 1 on 2 pixels"):
        finn_node("ConvolutionInputGenerator_rtl", attributes, PART)
