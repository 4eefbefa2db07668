"""FINN's greedy folding, its choice of HLS or RTL and its order of nodes, on networks to follow by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from brevitas_a2q.errors import ConfigError, FoldingError
from brevitas_a2q.hw._finn.folding_file import with_input_quantizer, without_input_quantizer
from brevitas_a2q.hw._finn.network import FinnLayer, by_level, named, performance, with_width_converters
from brevitas_a2q.hw._finn.set_folding import set_folding
from brevitas_a2q.hw._finn.specialize import specialize

ULTRASCALE, SERIES_7, VERSAL = "xczu7ev-ffvc1156-2-e", "xc7z020clg400-1", "xcvc1902-vsva2197-2MP-e-S"


def mvau(name: str = "fc", source: str = "", **changes: Any) -> FinnLayer:
    attributes = {
        "MW": 12, "MH": 8, "PE": 1, "SIMD": 1, "inputDataType": "UINT4", "weightDataType": "INT4",
        "outputDataType": "INT16", "noActivation": 1, "binaryXnorMode": 0, "numInputVectors": [1],
    }  # fmt: skip
    return FinnLayer(name, "MVAU_hls", {**attributes, **changes}, (source,))


def window(**changes: Any) -> FinnLayer:
    attributes = {
        "SIMD": 4, "IFMChannels": 4, "ConvKernelDim": [3, 3], "IFMDim": [6, 6], "OFMDim": [4, 4], "Stride": [1, 1],
        "Dilation": [1, 1], "depthwise": 0, "parallel_window": 0, "is1D": 0, "inputDataType": "UINT4",
        "outputDataType": "UINT4",
    }  # fmt: skip
    return FinnLayer("window", "ConvolutionInputGenerator_rtl", {**attributes, **changes}, ("",))


def vvau(source: str = "window") -> FinnLayer:
    attributes = {
        "Channels": 4, "Kernel": [3, 3], "Dim": [4, 4], "PE": 1, "SIMD": 1, "inputDataType": "UINT4",
        "weightDataType": "INT4", "outputDataType": "INT16", "noActivation": 1, "binaryXnorMode": 0,
    }  # fmt: skip
    return FinnLayer("depthwise", "VVAU_hls", attributes, (source,))


def parallelism(layer: FinnLayer) -> tuple[int, int]:
    return layer.attributes["PE"], layer.attributes["SIMD"]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (97, (1, 1)),  # 96 cycles are fewer than 97
        (96, (1, 2)),  # but not fewer than 96
        (20, (1, 6)),
        (9, (1, 12)),
        (8, (4, 6)),  # SIMD = 12 needs 48 weight bits and misses 8 cycles: back to 6, then PE = 2 is not fewer
        (1, (8, 6)),  # out of reach: 2 cycles
    ],
)
def test_an_mvau_is_folded_by_hand(target: int, expected: tuple[int, int]) -> None:
    """MW = 12, MH = 8: 96 cycles unfolded; SIMD stops where the 4-bit weights would need more than 36 bits."""
    (folded,) = set_folding([mvau()], target)
    assert parallelism(folded) == expected


def test_a_slow_node_relaxes_the_others() -> None:
    """Upsampling is not folded on main: 64 cycles; the MVAU then only has to beat 64, not 10."""
    attributes = {"OFMDim": 8, "IFMDim": 4, "NumChannels": 12, "inputDataType": "UINT4"}
    slow = FinnLayer("up", "UpsampleNearestNeighbour_hls", attributes, ("",))
    assert parallelism(set_folding([slow, mvau(source="up")], 10)[1]) == (1, 2)
    assert parallelism(set_folding([slow, mvau(source="up")], 10, two_pass_relaxation=False)[1]) == (1, 12)


def test_a_window_takes_its_depthwise_readers_folding() -> None:
    """4 channels x 9 x 16 pixels = 576 cycles: PE = 4 leaves 144, so that 100 needs SIMD and a parallel window."""
    front, reader = set_folding([window(depthwise=1), vvau()], 150)
    assert (front.attributes["SIMD"], front.attributes["parallel_window"], parallelism(reader)) == (4, 0, (4, 1))
    front, reader = set_folding([window(depthwise=1), vvau()], 100, two_pass_relaxation=False)
    assert (front.attributes["SIMD"], front.attributes["parallel_window"], parallelism(reader)) == (4, 1, (4, 3))


def test_a_depthwise_unit_needs_a_window() -> None:
    with pytest.raises(FoldingError, match="no sliding window"):
        set_folding([vvau(source="")], 100)


def test_dev_folds_padding_and_sums_and_main_does_not() -> None:
    padding = FinnLayer(
        "pad", "FMPadding_rtl",
        {"ImgDim": [4, 4], "Padding": [1, 1, 1, 1], "NumChannels": 8, "SIMD": 8, "inputDataType": "UINT4"}, ("",),
    )  # fmt: skip
    shape = [1, 6, 6, 8]
    types = {"lhs_dtype": "UINT4", "rhs_dtype": "UINT4", "out_dtype": "UINT5"}
    add = FinnLayer(
        "add", "ElementwiseAdd_hls",
        {"PE": 1, "lhs_shape": shape, "rhs_shape": shape, "out_shape": shape, **types}, ("pad", "pad"),
    )  # fmt: skip
    assert set_folding([padding], 300)[0].attributes["SIMD"] == 8
    folded = set_folding([padding, add], 150, "dev")
    assert (folded[0].attributes["SIMD"], folded[1].attributes["PE"]) == (2, 2)


@pytest.mark.parametrize(
    ("changes", "part", "style"),
    [
        ({}, ULTRASCALE, "rtl"),
        ({"noActivation": 0}, ULTRASCALE, "hls"),
        ({"inputDataType": "UINT3"}, ULTRASCALE, "hls"),
        ({"weightDataType": "UINT4"}, ULTRASCALE, "hls"),
        ({"inputDataType": "INT9"}, ULTRASCALE, "rtl"),
        ({"inputDataType": "UINT9"}, ULTRASCALE, "hls"),
        ({}, SERIES_7, "hls"),  # the weights reach -8
        ({"weightDataType": "INT5"}, SERIES_7, "rtl"),  # of which -8 is not the lowest
    ],
)
def test_an_mvau_is_rtl_where_the_dsp_can_hold_it(changes: dict[str, Any], part: str, style: str) -> None:
    layer = mvau(**changes)
    layer = FinnLayer("fc", "MVAU", layer.attributes, ("",), weights=np.array([[-8, 7]]))
    assert specialize([layer], part)[0].op_type == f"MVAU_{style}"


def test_a_vvau_is_rtl_on_versal_only() -> None:
    layer = FinnLayer("dw", "VVAU", vvau().attributes, ("",))
    assert [specialize([layer], part)[0].op_type for part in (ULTRASCALE, VERSAL)] == ["VVAU_hls", "VVAU_rtl"]


def test_preferring_hls_leaves_what_hls_cannot_do() -> None:
    def chosen(**changes: Any) -> str:
        layer = FinnLayer("w", "ConvolutionInputGenerator", window(**changes).attributes, ("",))
        return specialize([layer], ULTRASCALE, prefer_hls=True)[0].op_type

    assert chosen() == "ConvolutionInputGenerator_hls"
    assert chosen(Dilation=[2, 2]) == "ConvolutionInputGenerator_rtl"
    assert chosen(IFMDim=[6, 8], OFMDim=[4, 6]) == "ConvolutionInputGenerator_rtl"


def test_dev_has_no_streaming_max_pool() -> None:
    layer = FinnLayer("pool", "StreamingMaxPool", {}, ("",))
    with pytest.raises(ConfigError, match="StreamingMaxPool"):
        specialize([layer], ULTRASCALE, "dev")


def test_order_names_latency_and_converters() -> None:
    """A fork: the short branch comes after the long one's node of the same depth, and the longest path counts."""
    channels = {"NumChannels": 12, "inputDataType": "UINT4", "numInputVectors": [1], "PE": 1}
    layers = [
        FinnLayer("dup", "DuplicateStreams_hls", {**channels, "NumOutputStreams": 2}, ("",)),
        mvau("a", "dup", MH=12, SIMD=3),
        mvau("c", "a", inputDataType="INT16"),
        mvau("b", "dup", SIMD=12),
        FinnLayer("add", "AddStreams_hls", {**channels, "NumChannels": 8, "inputDataType": "INT16"}, ("c", "b")),
    ]
    ordered = named(by_level(layers))
    assert [layer.name for layer in ordered] == [
        "DuplicateStreams_hls_0", "MVAU_hls_0", "MVAU_hls_1", "MVAU_hls_2", "AddStreams_hls_0"
    ]  # fmt: skip
    assert ordered[4].inputs == ("MVAU_hls_2", "MVAU_hls_1")
    found = performance(ordered, "main")
    assert (found.max_cycles, found.critical_path_cycles) == (96, 12 + 48 + 96 + 8)
    assert found.max_cycles_node_name == "MVAU_hls_2"
    joined = with_width_converters(ordered, "main")
    converters = [layer for layer in joined if layer.op_type.startswith("StreamingDataWidthConverter")]
    assert [(c.inputs[0], c.attributes["inWidth"], c.attributes["outWidth"]) for c in converters] == [
        ("DuplicateStreams_hls_0", 4, 12), ("DuplicateStreams_hls_0", 4, 48)
    ]  # fmt: skip


def test_a_branch_that_keeps_the_input_quantizer_counts_thresholds_from_it() -> None:
    plain = {"Defaults": {}, "MVAU_hls_0": {"PE": 2}, "Thresholding_rtl_0": {"PE": 4}, "Thresholding_rtl_1": {"PE": 8}}
    kept = with_input_quantizer(plain, 3)
    assert kept["Thresholding_rtl_0"] == {"PE": 3}
    assert kept["Thresholding_rtl_2"] == {"PE": 8}
    assert without_input_quantizer(kept) == plain
