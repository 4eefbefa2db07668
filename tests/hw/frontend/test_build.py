"""The units of the six reference networks are those of FINN's end-to-end reports, in FINN's order."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from oracle_data import ORACLE

from brevitas_a2q.errors import OnnxFileError
from brevitas_a2q.hw._frontend import read_graph
from brevitas_a2q.hw._ir import (
    AddStreams,
    DownSampler,
    DuplicateStreams,
    Graph,
    MaxPool,
    Mvau,
    Padding,
    SlidingWindow,
    Thresholding,
    Unit,
    Vvau,
)

MODELS = sorted(p.stem for p in (ORACLE / "models").glob("*.onnx"))
KINDS = {
    "AddStreams": AddStreams,
    "ConvolutionInputGenerator": SlidingWindow,
    "DownSampler": DownSampler,
    "DuplicateStreams": DuplicateStreams,
    "FMPadding": Padding,
    "MVAU": Mvau,
    "StreamingMaxPool": MaxPool,
    "Thresholding": Thresholding,
    "VVAU": Vvau,
}


def report(model: str, standalone: bool) -> list[dict[str, Any]]:
    path = ORACLE / "reports" / f"{model}.main.st{int(standalone)}.weight.fps1000.json"
    layers: list[dict[str, Any]] = json.loads(path.read_text())["layers"]
    return layers


def described(unit: Unit) -> dict[str, Any]:
    """The unit in FINN's attribute names."""
    match unit:
        case Mvau():
            return {
                "MW": unit.matrix_width,
                "MH": unit.matrix_height,
                "noActivation": int(unit.thresholds is None),
                "ActVal": unit.activation_bias,
                "weightDataType": unit.weight_type.name,
                "inputDataType": unit.input_type.name,
            }
        case Vvau():
            return {"Channels": unit.channels, "Kernel": list(unit.kernel), "Dim": list(unit.output_dim)}
        case SlidingWindow():
            return {
                "IFMChannels": unit.channels,
                "IFMDim": list(unit.input_dim),
                "OFMDim": list(unit.output_dim),
                "ConvKernelDim": list(unit.kernel),
                "Stride": list(unit.stride),
                "depthwise": int(unit.depthwise),
                "inputDataType": unit.input_type.name,
            }
        case Padding():
            return {"ImgDim": list(unit.input_dim), "Padding": list(unit.pads), "NumChannels": unit.channels}
        case Thresholding():
            assert unit.thresholds.shape[0] == unit.channels
            return {
                "NumChannels": unit.channels,
                "numSteps": unit.thresholds.shape[1],
                "ActVal": unit.activation_bias,
                "inputDataType": unit.input_type.name,
                "outputDataType": unit.output_type.name,
            }
        case MaxPool():
            return {"ImgDim": list(unit.input_dim), "PoolDim": list(unit.kernel), "dataType": unit.input_type.name}
        case DuplicateStreams():
            return {"NumChannels": unit.channels, "NumOutputStreams": unit.copies}
        case DownSampler():
            return {"ImgDim": unit.input_dim[0], "Stride": unit.stride[0], "NumChannels": unit.channels}
        case _:
            return {"NumChannels": unit.channels, "inputDataType": unit.input_type.name}


def graph_of(model: str, standalone: bool) -> Graph:
    return read_graph(ORACLE / "models" / f"{model}.onnx", standalone_thresholds=standalone)


@pytest.mark.parametrize("standalone", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_units_are_those_of_finn(model: str, standalone: bool) -> None:
    layers, graph = report(model, standalone), graph_of(model, standalone)
    assert len(graph.units) == len(layers)
    finn_name = {"": None}
    for unit, layer in zip(graph.units, layers, strict=True):
        finn_name[unit.name] = layer["name"]
        assert type(unit) is KINDS[layer["op"].removesuffix("_hls").removesuffix("_rtl")], layer["name"]
        attributes = layer["attrs"]
        assert described(unit) == {key: attributes[key] for key in described(unit)}, layer["name"]
        assert [finn_name[name] for name in unit.inputs if name] == layer["preds"]


@pytest.mark.parametrize("model", MODELS)
def test_accumulators_are_never_wider_than_finn_minimises_them(model: str) -> None:
    layers = report(model, standalone=False)
    units = [unit for unit in graph_of(model, standalone=False).units if isinstance(unit, Mvau | Vvau)]
    matrices = [layer for layer in layers if layer["op"].startswith(("MVAU", "VVAU"))]
    for unit, layer in zip(units, matrices, strict=True):
        finn = int(layer["attrs"]["accDataType"].removeprefix("INT"))
        # FINN rounds the width of the last layer's output up to a multiple of 8.
        if unit.thresholds is None:
            assert unit.accumulator_type.bit_width <= finn
        else:
            assert unit.accumulator_type.bit_width == finn
        assert unit.analysed_range is not None
        assert unit.accumulator_range[0] <= unit.analysed_range[0] <= unit.analysed_range[1]
        assert unit.analysed_range[1] <= unit.accumulator_range[1]


def test_more_units_than_any_device_holds_are_refused_at_once(builder: Callable[..., Any]) -> None:
    b = builder(shape=(1, 4, 4, 4))
    x = b.quant("x")
    for _ in range(4097):
        x = b.quant(x)
    b.node("Conv", x, b.weights([[[[1]]] * 4]))
    with pytest.raises(OnnxFileError, match=r"takes 409\d units; expected at most 4096"):
        read_graph(b.save())
