"""FINN nodes that several kinds of unit are written as.

Source: FINN ``transformation/fpgadataflow/convert_to_hw_layers.py``.
"""

from __future__ import annotations

from typing import Any

from brevitas_a2q._ir.dot_product import IntArray
from brevitas_a2q.hw._units.base import Unit
from brevitas_a2q.hw._units.finn_node import Node

__all__ = [
    "fits_rtl",
    "spatial_attributes",
    "stream_attributes",
    "threshold_node",
    "window_node",
]


def fits_rtl(
    weights: tuple[int, bool], inputs: tuple[int, bool], lowest: bool, dsp_block: str, shares_activations: bool
) -> bool:
    """Whether FINN has a matrix unit without thresholds in RTL.

    Args:
        weights: Bits, and whether signed.
        inputs: The same.
        lowest: Whether the lowest weight of the type occurs, which DSP blocks of 7-series parts cannot multiply.
        dsp_block: Of the part.
        shares_activations: Whether all PEs multiply the same activations; a depthwise unit exists on Versal only.

    Source: FINN ``transformation/fpgadataflow/specialize_layers.py``.
    """
    bits, signed = inputs
    if not weights[1] or not 4 <= weights[0] <= 8 or not (4 <= bits <= 8 or (bits == 9 and signed)):
        return False
    if not shares_activations:
        return dsp_block == "DSP58"
    return dsp_block != "DSP48E1" or not lowest


def stream_attributes(unit: Unit, vectors: list[int]) -> dict[str, Any]:
    """Of kinds that work on PE channels at a time."""
    kind = unit.input_type.name
    return {"PE": 1, "NumChannels": unit.channels, "inputDataType": kind, "numInputVectors": vectors}


def spatial_attributes(unit: Unit) -> dict[str, Any]:
    """Of kinds that move pixels, SIMD channels at a time."""
    return {"SIMD": unit.channels, "NumChannels": unit.channels, "inputDataType": unit.input_type.name}


def window_node(
    unit: Unit,
    image: list[int],
    output: list[int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    depthwise: bool,
) -> Node:
    """A convolution input generator, all channels in a word as the conversion leaves it."""
    kind = unit.input_type.name
    return "ConvolutionInputGenerator", {
        "SIMD": unit.channels,
        "ConvKernelDim": list(kernel),
        "IFMChannels": unit.channels,
        "IFMDim": image,
        "OFMDim": output,
        "Stride": list(stride),
        "Dilation": list(dilation),
        "depthwise": int(depthwise),
        "parallel_window": 0,
        "is1D": int(1 in image),
        "inputDataType": kind,
        "outputDataType": kind,
        "ram_style": "distributed",
    }


def threshold_node(unit: Unit, thresholds: IntArray | None, bias: int, kind: str, vectors: list[int]) -> Node:
    """Thresholds of inputs of type ``kind`` on their own."""
    return "Thresholding", {
        "PE": 1,
        "NumChannels": unit.channels,
        "numSteps": 0 if thresholds is None else int(thresholds.shape[1]),
        "inputDataType": kind,
        "weightDataType": kind,
        "outputDataType": unit.output_type.name,
        "ActVal": bias,
        "numInputVectors": vectors,
        "runtime_writeable_weights": 0,
    }
