"""The circuit of any unit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from brevitas_a2q.errors import RtlError
from brevitas_a2q.hw._ir import Unit
from brevitas_a2q.rtl._circuit import Circuit, Context
from brevitas_a2q.rtl._units import matrix, pools, streams, thresholds, windows

__all__ = ["circuit_of"]

_CIRCUITS: dict[str, Callable[[Any, Context], Circuit]] = {
    "MVAU": matrix.matrix,
    "VVAU": matrix.vector,
    "Thresholding": thresholds.thresholding,
    "SlidingWindow": windows.sliding_window,
    "Padding": windows.padding,
    "PixelPadding": windows.pixel_padding,
    "DownSampler": windows.down_sampler,
    "Upsample": windows.upsample,
    "DepthToSpace": windows.depth_to_space,
    "MaxPool": pools.max_pool,
    "Pool": pools.pool,
    "GlobalAccPool": pools.global_pool,
    "LabelSelect": pools.label_select,
    "AddStreams": streams.add_streams,
    "MulStreams": streams.multiply_streams,
    "SelectChannels": streams.select_channels,
    "ChannelwiseOp": streams.channelwise,
    "DuplicateStreams": streams.duplicate,
    "Concat": streams.concat,
}


def circuit_of(unit: Unit, context: Context) -> Circuit:
    """The HDL module of a unit, with its parameters and memories.

    Raises:
        RtlError: For a kind of unit, or a use of it, that has no module; naming it.
    """
    if unit.kind not in _CIRCUITS:
        raise RtlError(
            f"found a unit of kind {unit.kind}", where=f"unit {unit.name}", expected=f"one of {', '.join(_CIRCUITS)}"
        )
    return _CIRCUITS[unit.kind](unit, context)
