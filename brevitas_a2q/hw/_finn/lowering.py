"""A dataflow graph as a branch of FINN has it: kinds that it lacks as the kinds that it makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import gcd
from typing import Any

from brevitas_a2q.hw._finn.unit import Version
from brevitas_a2q.hw._ir import Concat, DownSampler, Graph, MaxPool, Pool, SlidingWindow, Unit

__all__ = ["lowered"]


def lowered(graph: Graph, version: Version) -> Graph:
    """The graph in kinds of this branch: dev has no streaming max pool and no subsampler.

    A max pool becomes a depthwise window and a Pool, a subsampler a window of one pixel; a concatenation
    takes its inputs one behind the other, in words that divide the channels of each.
    """
    if version == "main":
        return graph
    return replace(graph, units=tuple(found for unit in graph.units for found in _of_dev(unit)))


def _of_dev(unit: Unit) -> Iterator[Unit]:
    if isinstance(unit, MaxPool):
        window = f"{unit.name}/window"
        yield _window(unit, window, unit.pooled_dim, unit.kernel, unit.kernel, depthwise=True)
        common = {**_common(unit), "inputs": (window,)}
        yield Pool(**common, output_dim=unit.pooled_dim, kernel=unit.kernel, function="max")
    elif isinstance(unit, DownSampler):
        yield _window(unit, unit.name, unit.sampled_dim, (1, 1), unit.stride, depthwise=False)
    elif isinstance(unit, Concat):
        yield replace(unit, word=gcd(*unit.input_channels))
    else:
        yield unit


def _window(
    unit: MaxPool | DownSampler,
    name: str,
    output_dim: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    *,
    depthwise: bool,
) -> SlidingWindow:
    return SlidingWindow(
        **{**_common(unit), "name": name, "output_type": unit.input_type},
        input_dim=unit.input_dim,
        output_dim=output_dim,
        kernel=kernel,
        stride=stride,
        dilation=(1, 1),
        depthwise=depthwise,
    )


def _common(unit: Unit) -> dict[str, Any]:
    return {
        "name": unit.name,
        "inputs": unit.inputs,
        "input_type": unit.input_type,
        "output_type": unit.output_type,
        "pixels": unit.pixels,
        "channels": unit.channels,
        "source": unit.source,
    }
