"""Float islands: what lies between integers and the next quantizer and has no unit, priced or named.

A function of one integer (SiLU, GELU, Mish, x * hardsigmoid(x)) is looked at on its whole range: as many comparisons
tell its values apart as its integers have steps, up and down. Anything else (normalisation, bilinear resizing, padding
with other than zeros) is a unit without a price. Either way a warning of the graph names the nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from brevitas_a2q._ir.network import Node
from brevitas_a2q.hw._frontend.context import Context
from brevitas_a2q.hw._frontend.evaluation import computed, is_elementwise
from brevitas_a2q.hw._frontend.stream import REAL_SUMS, Broken, Stream
from brevitas_a2q.hw._frontend.thresholds import ends_of
from brevitas_a2q.hw._ir import Island, Thresholding

__all__ = ["island"]

_POINTS: Final = 1 << 12  # of the range at which a function is looked at
_MOST_STEPS: Final = 1 << 12


@dataclass(frozen=True, eq=False)
class _Found:
    """The nodes in front of a quantizer, in the network's order, and the integers they start from."""

    nodes: tuple[Node, ...]
    sources: tuple[Stream, ...]
    moved: bool  # whether pools or reshapes are among them


def island(context: Context, node: Node) -> Stream:
    """The integers of a quantizer behind real arithmetic.

    Raises:
        OnnxFileError: What cannot even be named: it has no integers to start from, or several of different sizes.
    """
    found = _walk(context, node)
    output = context.network.tensors[node.output]
    assert output.codes is not None
    stream = Stream("", output, _channel_axis(found, node.inputs[0], len(output.shape)))
    if len({source.pixels for source in found.sources}) > 1:
        raise node.error(
            f"quantizes what is computed from streams of different sizes ({_names(found.nodes)})",
            expected="one size, or an operator that has a unit",
        )
    fields: dict[str, Any] = {
        "name": node.name,
        "inputs": tuple(source.unit for source in found.sources),
        "input_type": context.wire(found.sources[0]),
        "output_type": output.codes.integer_type,
        "pixels": stream.pixels,
        "channels": stream.channels,
        "source": (*(n.name for n in found.nodes), node.name),
    }
    table = _comparisons(context, node, found)
    if table is None:
        said = "real arithmetic without a unit: its place in the stream is counted, its cost is not"
        context.warnings.append(f"{node.name}: {_names(found.nodes)}: {said}")
        unit = context.add(Island(**fields))
    else:
        said = f"costed as {table.shape[1]} comparisons for each channel, which no unit of ours makes"
        context.warnings.append(f"{node.name}: {_names(found.nodes)}: {said}")
        unit = context.add(Island(**fields, stand_in=Thresholding(**fields, thresholds=table)))
    return replace(stream, unit=unit)


def _channel_axis(found: _Found, end: str, rank: int) -> int:
    """Where transposes have taken the channels of what the island reads, at the tensor that is quantized."""
    if len(found.sources[0].start.shape) != rank:
        return 1
    axes = {source.start.name: source.channel_axis for source in found.sources}
    for node in found.nodes:
        axis = next((axes[name] for name in node.inputs if name in axes), found.sources[0].channel_axis)
        if node.op == "Transpose" and axis < len(node.attributes["perm"]):
            axis = node.attributes["perm"].index(axis)
        axes[node.output] = axis
    return axes.get(end, found.sources[0].channel_axis)


def _names(nodes: Sequence[Node]) -> str:
    names = [node.name for node in nodes]
    return ", ".join(names if len(names) < 5 else (*names[:2], "...", names[-1]))


def _walk(context: Context, quantizer: Node) -> _Found:
    network, nodes, sources = context.network, dict[str, Node](), dict[tuple[str, str], Stream]()
    moved = False
    waiting = [quantizer.inputs[0]]
    while waiting:
        name = waiting.pop()
        stream = context.streams.get(name)
        if isinstance(stream, Stream):
            moved = moved or bool(stream.moves) or stream.places is not None
            nodes.update((n.name, n) for n in (*stream.chain, *stream.moves))
            sources.setdefault((stream.unit, stream.start.name), stream)
            continue
        producer = network.producer(name)
        if stream is None or producer is None:
            raise quantizer.error("reads the network's real-valued input", expected="a quantizer in front")
        if isinstance(stream, Broken) and not (stream.island or stream.node.op in REAL_SUMS):
            raise stream.error
        if producer.name not in nodes:
            nodes[producer.name] = producer
            waiting.extend(context.stream_inputs(producer))
    ordered = tuple(node for node in network.nodes if node.name in nodes)
    return _Found(ordered, tuple(sources.values()), moved)


def _comparisons(context: Context, quantizer: Node, found: _Found) -> Any:
    """Integers at which the quantizer's integer changes, once for each step; None for no function of one integer.

    Shape: (channels, most steps of a channel); what a channel has less lies above its range.
    """
    if len(found.sources) > 1 or found.moved or not all(is_elementwise(node) for node in found.nodes):
        return None
    (source,) = found.sources
    lo, hi = (int(end) for end in (ends_of(source)[0].min(), ends_of(source)[1].max()))
    points = np.unique(np.linspace(lo, hi, min(_POINTS, hi - lo + 1)).round().astype(np.int64))
    rank, axis, channels = len(source.start.shape), source.channel_axis, source.channels
    inputs = (name for node in found.nodes for name in node.inputs if name)
    constants = (context.network.tensors[name].value for name in inputs)
    if not all(_varies_by_channel(c, rank, axis) for c in (source.codes.scale, *constants) if c is not None):
        return None
    column = points.reshape(-1, *(1,) * (rank - 1))
    spread = np.broadcast_to(column, tuple(channels if d == axis else n for d, n in enumerate(column.shape)))
    values = {source.start.name: np.asarray(spread * source.codes.scale, np.float32)}
    for node in found.nodes:
        values[node.output] = computed(context.network, node, values)[0]
    codes = quantizer.attributes["quantizer"].integers(values[quantizer.inputs[0]])
    if codes.size != spread.size:
        return None
    steps = np.abs(np.diff(codes.reshape(len(points), channels), axis=0))
    most = int(steps.sum(axis=0).max(initial=0))
    if not 0 < most <= _MOST_STEPS:
        return None
    table = np.full((channels, most), hi + 1, np.int64)
    for channel, counts in enumerate(steps.T):
        table[channel, : int(counts.sum())] = np.repeat(points[1:], counts)
    return table


def _varies_by_channel(constant: Any, rank: int, axis: int) -> bool:
    """Whether a constant beside a stream of this rank is the same all along every other axis."""
    shape = np.shape(constant)
    return all(n == 1 or d + rank - len(shape) == axis for d, n in enumerate(shape))
