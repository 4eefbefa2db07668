"""FINN's greedy folding.

Every node takes the smallest parallelism that beats the target strictly, or the largest there is:

- MVAU: SIMD upwards until the target is met or one PE's weight stream exceeds 36 bits (then one step back), then PE;
- VVAU and Pool: PE over the channels, for a VVAU then SIMD over the kernel; the window in front follows;
- windows: SIMD over the channels, then a parallel window; others PE or SIMD over the channels;
- kinds that the branch does not handle keep what they have.

If a node stays slower than the target, everything is folded once more for that node's cycles.

Source: FINN ``transformation/fpgadataflow/set_folding.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, reduce
from math import gcd, prod

from brevitas_a2q.errors import FoldingError
from brevitas_a2q.hw._finn.data_types import data_type
from brevitas_a2q.hw._finn.network import FinnLayer, performance
from brevitas_a2q.hw._finn.streams import ElementwiseBinary
from brevitas_a2q.hw._finn.unit import Version

__all__ = ["set_folding"]

_MAX_WEIGHT_STREAM_BITS = 36

# Op type -> the attribute that PE must divide.
_PE_LIMITS = {
    "GlobalAccPool_hls": "NumChannels",
    "DuplicateStreams_hls": "NumChannels",
    "Thresholding_hls": "NumChannels",
    "Thresholding_rtl": "NumChannels",
    "AddStreams_hls": "NumChannels",
    "ChannelwiseOp_hls": "NumChannels",
    "LabelSelect_hls": "Labels",
}
# Op types whose SIMD divides their channels; main does not know RTL padding.
_SIMD_LIMITED: dict[Version, tuple[str, ...]] = {
    "main": ("DownSampler_hls", "FMPadding_hls", "FMPadding_Pixel_hls"),
    "dev": ("FMPadding_rtl", "FMPadding_Pixel_hls"),
}


@cache
def _divisors(number: int) -> tuple[int, ...]:
    return tuple(d for d in range(1, number + 1) if number % d == 0)


class _Folder:
    """One pass over the network for one target."""

    def __init__(self, layers: Sequence[FinnLayer], target_cycles: int, version: Version) -> None:
        self.layers = {layer.name: layer for layer in layers}
        self.target = target_cycles
        self.version = version

    def fold(self) -> tuple[FinnLayer, ...]:
        for name in tuple(self.layers):
            self.layers[name] = self._fold(self.layers[name])
        return tuple(self.layers.values())

    def _fold(self, layer: FinnLayer) -> FinnLayer:
        op, attributes = layer.op_type, layer.attributes
        if op.startswith("MVAU"):
            return self._matrix(layer)
        if op.startswith(("VVAU", "Pool_")):
            return self._depthwise(layer)
        if op.startswith("ConvolutionInputGenerator") and not attributes.get("depthwise"):
            return self._window(layer)
        if op in _PE_LIMITS:
            return self._least(layer, "PE", attributes[_PE_LIMITS[op]])
        if op in _SIMD_LIMITED[self.version]:
            return self._least(layer, "SIMD", attributes["NumChannels"])
        if self.version == "dev" and op in ElementwiseBinary.op_types:
            return self._least(layer, "PE", attributes["lhs_shape"][-1])
        if self.version == "dev" and op == "StreamingConcat_hls":
            return self._least(layer, "SIMD", reduce(gcd, attributes["ChannelsPerStream"]))
        return layer

    def _cycles(self, layer: FinnLayer) -> int:
        return layer.unit(self.version).cycles

    def _least(self, layer: FinnLayer, name: str, limit: int) -> FinnLayer:
        """The smallest divisor of ``limit`` that beats the target, else ``limit``."""
        for value in _divisors(limit):
            layer = layer.with_attributes(**{name: value})
            if self._cycles(layer) < self.target:
                break
        return layer

    def _matrix(self, layer: FinnLayer) -> FinnLayer:
        weight_bits = data_type(layer.attributes["weightDataType"]).bits
        folded = layer.with_attributes(PE=1, SIMD=1)
        for simd in _divisors(layer.attributes["MW"]):
            wider = folded.with_attributes(SIMD=simd)
            meets = self._cycles(wider) < self.target
            if not meets and weight_bits * simd > _MAX_WEIGHT_STREAM_BITS:
                break
            folded = wider
            if meets:
                break
        return self._least(folded, "PE", layer.attributes["MH"])

    def _window(self, layer: FinnLayer) -> FinnLayer:
        channels = layer.attributes["IFMChannels"]
        is_rtl = layer.op_type.endswith("_rtl")
        folded = self._least(layer.with_attributes(parallel_window=0) if is_rtl else layer, "SIMD", channels)
        if is_rtl and folded.attributes["SIMD"] == channels and self._cycles(folded) > self.target:
            return folded.with_attributes(parallel_window=1)
        return folded

    def _depthwise(self, layer: FinnLayer) -> FinnLayer:
        is_pool, channels = layer.op_type.startswith("Pool_"), layer.attributes["Channels"]
        folded = self._least(layer if is_pool else layer.with_attributes(SIMD=1), "PE", channels)
        pe = folded.attributes["PE"]
        if not is_pool and pe == channels and self._cycles(folded) > self.target:
            folded = self._least(folded, "SIMD", prod(layer.attributes["Kernel"]))
        window = self.layers.get(layer.inputs[0])
        if window is not None and window.op_type.startswith("ConvolutionInputGenerator"):
            window = window.with_attributes(SIMD=pe)
            if window.op_type.endswith("_rtl"):
                window = window.with_attributes(parallel_window=int(not is_pool and folded.attributes["SIMD"] > 1))
            self.layers[window.name] = window
        elif is_pool or prod(layer.attributes["Kernel"]) != 1:
            raise FoldingError(
                "found no sliding window in front", where=layer.name, expected="one, whose SIMD follows this node's PE"
            )
        return folded


def set_folding(
    layers: Sequence[FinnLayer], target_cycles: int, version: Version = "main", *, two_pass_relaxation: bool = True
) -> tuple[FinnLayer, ...]:
    """Fold a network as FINN's ``SetFolding`` does.

    Args:
        layers: Nodes in topological order.
        target_cycles: Cycles per image that every node should stay below.
        version: FINN branch.
        two_pass_relaxation: Fold again for the slowest node's cycles where the target is missed.

    Returns:
        The layers with PE, SIMD and ``parallel_window`` set.
    """
    folded = _Folder(layers, target_cycles, version).fold()
    slowest = performance(folded, version).max_cycles
    if two_pass_relaxation and slowest > target_cycles:
        return _Folder(folded, slowest, version).fold()
    return folded
