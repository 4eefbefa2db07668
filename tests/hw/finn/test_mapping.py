"""Every kind of unit as FINN nodes of either branch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.errors import ConfigError, FoldingError
from brevitas_a2q.hw import _ir as ir
from brevitas_a2q.hw._finn.flow import FinnEstimate, finn_estimate
from brevitas_a2q.hw._finn.mapping import finn_layers
from brevitas_a2q.hw._finn.unit import Version

PART = "xczu7ev-ffvc1156-2-e"
UINT4, INT4, INT32 = IntType("UINT4"), IntType("INT4"), IntType("INT32")


def stream(name: str, source: str, pixels: int, channels: int = 4) -> dict[str, Any]:
    shape = {"pixels": pixels, "channels": channels}
    return {"name": name, "inputs": (source,), "input_type": UINT4, "output_type": UINT4, **shape}


def matrix(weights: np.ndarray[Any, Any], **extra: Any) -> dict[str, Any]:
    return {
        "weight_type": INT4,
        "weights": weights,
        "accumulator_type": INT32,
        "accumulator_range": (-1, 1),
        "trained_accumulator_bit_width": None,
        **extra,
    }


def graph() -> ir.Graph:
    """4 channels of 6 x 6 pixels through every kind that both branches have."""
    window = {"input_dim": (8, 8), "output_dim": (6, 6), "kernel": (3, 3), "stride": (1, 1), "dilation": (1, 1)}
    ones = np.ones((4, 9), dtype=np.int64)
    steps = np.zeros((4, 15), dtype=np.int64)
    fork = stream("add", "", 36) | {"inputs": ("dw", "act"), "output_type": IntType("UINT5")}
    five = {"input_type": IntType("UINT5"), "output_type": IntType("UINT5")}
    last = {"inputs": ("global",), "input_type": IntType("UINT10"), "output_type": INT32}
    return ir.Graph(
        "all",
        (
            ir.DuplicateStreams(**stream("dup", "", 36), copies=2),
            ir.Padding(**stream("pad", "dup", 64), input_dim=(6, 6), pads=(1, 1, 1, 1)),
            ir.SlidingWindow(**stream("swg", "pad", 36), **window, depthwise=True),
            ir.Vvau(**stream("dw", "swg", 36), **matrix(ones, thresholds=steps), kernel=(3, 3), output_dim=(6, 6)),
            ir.Thresholding(**stream("act", "dup", 36), thresholds=steps),
            ir.AddStreams(**fork),
            ir.MaxPool(**stream("pool", "add", 9) | five, input_dim=(6, 6), kernel=(2, 2)),
            ir.Upsample(**stream("up", "pool", 36) | five, input_dim=(3, 3), scale=(2, 2)),
            ir.DownSampler(**stream("down", "up", 9) | five, input_dim=(6, 6), stride=(2, 2)),
            ir.PixelPadding(**stream("spread", "down", 25) | five, input_dim=(3, 3), stride=(2, 2)),
            ir.Concat(**stream("cat", "", 25, 8) | five | {"inputs": ("spread", "spread")}, input_channels=(4, 4)),
            ir.GlobalAccPool(**stream("global", "cat", 1, 8) | five, input_dim=(5, 5)),
            ir.Mvau(**stream("fc", "", 1, 2) | last, **matrix(np.ones((2, 8), dtype=np.int64))),
            ir.LabelSelect(**stream("top", "fc", 1, 1), labels=2, k=1),
        ),
    )


def estimated(version: Version, **changes: Any) -> FinnEstimate:
    return finn_estimate(graph(), PART, 1e6, 200.0, version, **changes)


def test_main_has_a_node_for_every_kind() -> None:
    found = {layer.source: (layer.op_type, node.cycles) for layer, node in zip(*parts(estimated("main")), strict=True)}
    assert {source: op for source, (op, _) in found.items()} == {
        "dup": "DuplicateStreams_hls",
        "pad": "FMPadding_rtl",
        "swg": "ConvolutionInputGenerator_rtl",
        "dw": "VVAU_hls",
        "act": "Thresholding_rtl",
        "add": "AddStreams_hls",
        "pool": "StreamingMaxPool_hls",
        "up": "UpsampleNearestNeighbour_hls",
        "down": "DownSampler_hls",
        "spread": "FMPadding_Pixel_hls",
        "cat": "StreamingConcat_hls",
        "global": "GlobalAccPool_hls",
        "fc": "MVAU_hls",
        "top": "LabelSelect_hls",
    }
    assert found["pad"][1] == 8 * 8
    assert found["up"][1] == 6 * 6
    assert found["pool"][1] == int(36 * 1.25)


def parts(estimate: FinnEstimate) -> tuple[Any, Any]:
    return estimate.layers, estimate.nodes


def test_dev_makes_do_without_some_kinds() -> None:
    ops = [(layer.source, layer.op_type) for layer in estimated("dev").layers]
    assert [op for source, op in ops if source == "pool"] == ["ConvolutionInputGenerator_rtl", "Pool_hls"]
    assert ("add", "ElementwiseAdd_hls") in ops
    assert ("down", "ConvolutionInputGenerator_rtl") in ops


@pytest.mark.parametrize("version", ["main", "dev"])
def test_types_and_words_agree_along_every_stream(version: Version) -> None:
    """With converters in between, every node reads the type and the words that its producer writes."""
    found = estimated(version)
    units = {layer.name: layer.unit(version) for layer in found.layers}
    converted = {(c.inputs[0], c.attributes["outWidth"]) for c in found.converters}
    for layer in found.layers:
        for port, source in enumerate(layer.inputs):
            if source:
                assert units[source].output_type == units[layer.name].input_type(port)
                same = units[source].output_elements == units[layer.name].input_elements(port)
                assert same or (source, units[layer.name].input_width(port)) in converted


def test_sums_narrow_the_streams_behind_them() -> None:
    """Eight times 1023 needs 13 bits; the label selector behind reads what the sum writes."""
    found = {layer.source: layer for layer in estimated("main").layers}
    assert found["fc"].attributes["accDataType"] == "UINT13"
    assert found["top"].attributes["inputDataType"] == "UINT13"
    fixed = {layer.source: layer for layer in estimated("main", accumulator="fixed:20").layers}
    assert fixed["top"].attributes["inputDataType"] == "INT20"


def test_standalone_thresholds_are_nodes_of_their_own() -> None:
    fused, apart = (finn_layers(graph(), standalone_thresholds=flag) for flag in (False, True))
    assert [x.op_type for x in fused if x.source == "dw"] == ["VVAU"]
    assert [x.op_type for x in apart if x.source == "dw"] == ["VVAU", "Thresholding"]
    act = next(x for x in apart if x.op_type == "Thresholding" and x.source == "dw")
    assert act.thresholds is not None
    assert act.attributes["numSteps"] == 15


def test_thresholds_that_an_unsigned_stream_never_meets_are_clipped() -> None:
    """FINN rounds and clips before it types them, and refuses negative thresholds of unsigned inputs afterwards."""
    act = ir.Thresholding(**stream("act", "", 36), thresholds=np.array([[-7, 3, 99]]))
    (layer,) = finn_layers(ir.Graph("one", (act,)))
    assert layer.thresholds is not None
    assert layer.thresholds.tolist() == [[0, 3, 16]]
    found = finn_estimate(ir.Graph("one", (act,)), PART)
    assert found.layers[0].attributes["weightDataType"] == "UINT5"


@pytest.mark.parametrize(
    ("unit", "version"),
    [
        (ir.DepthToSpace(**stream("shuffle", "", 64, 1), input_dim=(4, 4), block_size=2), "dev"),
        (ir.Upsample(**stream("up", "", 48), input_dim=(3, 4), scale=(2, 2)), "main"),
        (ir.DownSampler(**stream("down", "", 6), input_dim=(4, 6), stride=(2, 2)), "main"),
        (ir.Mvau(**stream("grouped", "", 9), **matrix(np.ones((4, 2), dtype=np.int64)), groups=2), "main"),
    ],
)
def test_what_finn_cannot_build_is_named(unit: ir.Unit, version: Version) -> None:
    with pytest.raises(ConfigError, match=unit.name):
        finn_layers(ir.Graph("one", (unit,)), version)


def test_a_given_folding_is_taken_and_checked() -> None:
    foldings = estimated("main").foldings
    doubled = {**foldings, "fc": replace(foldings["fc"], pe=2, simd=4, ram_style="distributed")}
    found = {layer.source: layer for layer in estimated("main", foldings=doubled).layers}
    assert (found["fc"].attributes["PE"], found["fc"].attributes["ram_style"]) == (2, "distributed")
    assert found["swg"].attributes["ram_style"] == foldings["swg"].ram_style == "distributed"
    with pytest.raises(FoldingError, match="MVAU fc: found SIMD = 3; expected a divisor of 8"):
        estimated("main", foldings={**foldings, "fc": replace(foldings["fc"], simd=3)})
    with pytest.raises(FoldingError, match="DuplicateStreams dup: found no folding"):
        estimated("main", foldings={})
