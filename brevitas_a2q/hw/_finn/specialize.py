"""Choice between HLS and RTL, as FINN makes it where the user expresses no preference, or prefers HLS.

- RTL wherever there is one, but
- MVAU only without thresholds, for signed weights of 4 to 8 bits and inputs of 4 to 8 (signed: 9) bits, and on
  7-series parts only if the lowest weight of the type does not occur; VVAU likewise, on Versal parts only;
- windows in HLS, where preferred, only if square (or along one axis) and without dilation.

Source: FINN ``transformation/fpgadataflow/specialize_layers.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from brevitas_a2q.errors import ConfigError
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._finn.data_types import data_type
from brevitas_a2q.hw._finn.network import FinnLayer
from brevitas_a2q.hw._finn.node import supported_op_types
from brevitas_a2q.hw._finn.unit import Version, dsp_block
from brevitas_a2q.hw._units.finn import fits_rtl

__all__ = ["specialize"]


def specialize(
    layers: Sequence[FinnLayer],
    part: str | Part,
    version: Version = "main",
    *,
    prefer_hls: bool = False,
    hls_units: Collection[str] = (),
) -> tuple[FinnLayer, ...]:
    """Append ``_hls`` or ``_rtl`` to every op type.

    Args:
        layers: Layers with FINN's general op types, ``MVAU`` and so on.
        part: FPGA part; its DSP block decides about matrix units.
        version: FINN branch.
        prefer_hls: FINN's ``preferred_impl_style = hls`` on every layer.
        hls_units: Matrix units of the graph for which it is set.

    Raises:
        ConfigError: A kind that the branch does not have.
    """
    known, block = supported_op_types(version), dsp_block(part)
    done = []
    for x in layers:
        preferred = prefer_hls or (x.source in hls_units and x.weights is not None)  # not the thresholds behind it
        done.append(replace(x, op_type=f"{x.op_type}_{_style(x, block, known, preferred)}"))
    return tuple(done)


def _style(layer: FinnLayer, block: str, known: Sequence[str], prefer_hls: bool) -> str:
    op = layer.op_type
    styles = [style for style in ("rtl", "hls") if f"{op}_{style}" in known]
    if not styles:
        raise ConfigError(f"found a {op}", where=layer.name, expected="a kind that this FINN branch has")
    if prefer_hls and "hls" in styles and (op != "ConvolutionInputGenerator" or _window_fits_hls(layer)):
        return "hls"
    if op in ("MVAU", "VVAU"):
        return "rtl" if _matrix_fits_rtl(layer, block) else "hls"
    return styles[0]


def _matrix_fits_rtl(layer: FinnLayer, block: str) -> bool:
    inputs, weights = (data_type(layer.attributes[name]) for name in ("inputDataType", "weightDataType"))
    if not layer.attributes["noActivation"] or layer.attributes["binaryXnorMode"]:
        return False
    lowest = layer.weights is not None and int(layer.weights.min()) == weights.lo
    types = ((weights.bits, weights.signed), (inputs.bits, inputs.signed))
    return fits_rtl(*types, lowest, block, layer.op_type == "MVAU")


def _window_fits_hls(layer: FinnLayer) -> bool:
    attributes = layer.attributes
    if attributes["is1D"]:
        return True
    square = all(len(set(attributes[name])) == 1 for name in ("ConvKernelDim", "IFMDim", "OFMDim", "Stride"))
    return square and list(attributes["Dilation"]) == [1, 1]
