"""Required widths of six reference networks against what FINN's MinimizeAccumulatorWidth made of the same weights.

Golden values: ``accDataType`` in shared/oracle/reports/*.main.st0.weight.fps1000.json, printed by FINN main 39f0c9a6.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brevitas_a2q.verify._certify import certify
from brevitas_a2q.verify._layer_certificate import LayerCertificate

# Layers whose widths differ, with ours and FINN's. Last layers: FINN rounds a width that goes to a stream up to a
# multiple of 8. The others are narrower by range analysis: FINN takes every input to reach all values of its type.
BY_RANGE = (11, 12)
NARROWER = {
    "tfc_w4a4": {"/f/f.10/MatMul": (13, 16)},
    "tfc_w4a4_a2q12": {"/f/f.10/MatMul": (11, 16)},
    "cnv_w4a4": {"/g/g.6/MatMul": (14, 16)},
    "cnv_w4a4_a2q12": {
        **dict.fromkeys(("/f/f.11/Conv", "/f/f.15/Conv", "/g/g.0/MatMul"), BY_RANGE),
        "/g/g.6/MatMul": (11, 16),
    },
    "mobilenet_w4a4_a2q12": {
        **dict.fromkeys(("/f/f.13/Conv", "/f/f.19/Conv", "/f/f.25/Conv", "/f/f.31/Conv"), BY_RANGE),
        "/fc/MatMul": (12, 16),
    },
    "resnet_w4a4": {"/fc/MatMul": (13, 16)},
}


def finn_widths(report: Any) -> dict[tuple[int, int], list[int]]:
    """FINN's widths by (inputs, outputs) of a layer, in its order."""
    widths: dict[tuple[int, int], list[int]] = {}
    for layer in report["layers"]:
        a = layer["attrs"]
        if layer["op"].startswith("MVAU"):
            size = (a["MW"], a["MH"])
        elif layer["op"].startswith("VVAU"):
            size = (a["Kernel"][0] * a["Kernel"][1], a["Channels"])
        else:
            continue
        widths.setdefault(size, []).append(int(a["accDataType"].removeprefix("INT")))
    return widths


def compared(layers: tuple[LayerCertificate, ...], report: Any) -> dict[str, tuple[int, int]]:
    finn = finn_widths(report)
    return {
        layer.name: (layer.required_bit_width, finn[(layer.inputs, len(layer.sums.lower))].pop(0)) for layer in layers
    }


@pytest.mark.parametrize("name", NARROWER)
def test_never_wider_than_finn(name: str, oracle: Callable[[str], Path]) -> None:
    report = json.loads(oracle(f"reports/{name}.main.st0.weight.fps1000.json").read_text())
    layers = certify(oracle(f"models/{name}.onnx")).layers
    both = compared(layers, report)
    assert all(ours <= finns for ours, finns in both.values())
    narrower = {layer: widths for layer, widths in both.items() if widths[0] < widths[1]}
    assert narrower == NARROWER[name]
    for layer in list(narrower)[:-1]:
        assert layers[layer].input_range.source == "range analysis"


def test_widths_by_type_by_weights_and_by_range_are_in_order(oracle: Callable[[str], Path]) -> None:
    for name in NARROWER:
        for layer in certify(oracle(f"models/{name}.onnx")).layers:
            assert layer.required_bit_width <= layer.weights_bit_width <= layer.data_type_bit_width
