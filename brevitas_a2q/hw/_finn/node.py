"""One FINN node by FINN's own names: the entry point of parity mode."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cache
from typing import Any, get_args

from brevitas_a2q.errors import ConfigError
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._finn import (
    concat,
    links,
    lookup,
    mvau,
    pooling,
    resampling,
    streams,
    thresholding,
    vvau,
    window,
    window_hls,
)
from brevitas_a2q.hw._finn.attributes import Attributes
from brevitas_a2q.hw._finn.unit import FinnNode, FinnUnit, Version

__all__ = ["finn_node", "finn_unit", "supported_op_types"]

_COMMON: tuple[type[FinnUnit], ...] = (
    mvau.Mvau,
    vvau.Vvau,
    thresholding.ThresholdingHls,
    window.WindowRtl,
    streams.DuplicateStreams,
    pooling.Pool,
    pooling.GlobalAccPool,
    resampling.Padding,
    resampling.PixelPadding,
    lookup.Lookup,
    lookup.LabelSelect,
    links.WidthConverter,
)
_ONLY: dict[Version, tuple[type[FinnUnit], ...]] = {
    "main": (
        thresholding.ThresholdingRtl,
        thresholding.ChannelwiseHls,
        window_hls.WindowHls,
        streams.AddStreams,
        streams.StreamingEltwise,
        concat.ConcatMain,
        pooling.StreamingMaxPool,
        resampling.PaddingHls,
        resampling.UpsampleMain,
        resampling.DownSampler,
        links.FifoMain,
    ),
    "dev": (
        thresholding.ThresholdingRtlDev,
        streams.ElementwiseBinary,
        streams.Requant,
        concat.ConcatDev,
        resampling.UpsampleDev,
        links.FifoDev,
    ),
}


@cache
def _classes(version: Version) -> dict[str, type[FinnUnit]]:
    if version not in get_args(Version):
        raise ConfigError(f"found FINN version {version!r}", expected="one of " + ", ".join(get_args(Version)))
    return {op_type: cls for cls in (*_COMMON, *_ONLY[version]) for op_type in cls.op_types}


def supported_op_types(version: Version) -> tuple[str, ...]:
    """FINN's names of the node kinds this version has, HLS and RTL apart, sorted."""
    return tuple(sorted(_classes(version)))


def finn_unit(op_type: str, attributes: Mapping[str, Any], version: Version = "main") -> FinnUnit:
    """The node as an object whose properties are FINN's estimates; see :func:`finn_node`."""
    classes = _classes(version)
    if op_type not in classes:
        near = difflib.get_close_matches(str(op_type), classes, n=3, cutoff=0.5)
        raise ConfigError(
            f"found op type {op_type!r}",
            where=f"FINN {version}",
            expected="one of " + ", ".join(sorted(classes)),
            remedy=f"did you mean {' or '.join(near)}?" if near else "",
        )
    return classes[op_type](Attributes(op_type, attributes))


def finn_node(op_type: str, attributes: Mapping[str, Any], part: str | Part, version: Version = "main") -> FinnNode:
    """Resources, cycles and stream widths of one FINN node, equal to what FINN prints.

    Args:
        op_type: FINN's name with its implementation, for instance ``MVAU_hls``.
        attributes: FINN's node attributes; those that FINN defaults may be left out, unknown ones are ignored. Numbers
            and lists may be NumPy's, or text as in a JSON or YAML file.
        part: FPGA part, board or YAML file; FINN looks at its DSP block only.
        version: ``main`` (v0.10.1 line) or ``dev`` (April 2026).

    Returns:
        The estimate.

    Raises:
        ConfigError: An unknown kind or version, or an attribute that is missing or has a value FINN refuses.
        FoldingError: PE or SIMD does not divide what it must.
        PartError: No such part.

    Example:
        >>> node = finn_node("MVAU_rtl", {"MW": 72, "MH": 32, "PE": 4, "SIMD": 8, "inputDataType": "INT8",
        ...     "weightDataType": "INT4", "outputDataType": "INT14", "noActivation": 1}, "xczu7ev-ffvc1156-2-e")
        >>> node.lut, node.bram18, node.dsp, node.cycles
        (0, 4, 8, 72)
    """
    return finn_unit(op_type, attributes, version).estimate(part)
