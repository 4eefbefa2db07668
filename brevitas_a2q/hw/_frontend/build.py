"""The walk over a network that builds its dataflow graph.

Rules:

1. The quantizer of the network's input, and what comes before it, is cut off: the accelerator starts at its integers,
   as FINN's does.
2. Elementwise operations are held back until a quantizer turns them into thresholds; pools and copies met on the way
   are built behind the thresholds.
3. Convolutions become padding, a sliding window (not for a 1x1 kernel at stride 1) and a matrix unit.
4. Thresholds join the matrix unit in front of them unless ``standalone_thresholds`` is set or others read its sums.
5. A channel whose function falls has its weights negated; where that cannot be (no weights in front, or a weight that
   has no negative in its type) a ChannelwiseOp multiplies by -1.
6. A unit with several readers is followed by a DuplicateStreams.
7. Streams of different scales are multiplied by small integers before they are added, which is exact wherever the
   ratio of the scales allows it, and a warning of the graph where it does not.
8. Products of two streams, and channels that are sliced or shuffled, are units. What else a quantizer rounds is an
   island, with the sums of real values that it reads: priced as comparisons if it is a function of one integer, else
   only named.
9. Padding of -1 and 1 writes a type that holds its zeros.
10. What follows the last unit (scales, biases, softmax) is left to software, and the graph's notes say so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from brevitas_a2q._ir.elementwise import ELEMENTWISE
from brevitas_a2q._ir.layers import DOT_PRODUCTS
from brevitas_a2q._ir.network import OPAQUE, Network, Node
from brevitas_a2q._ir.reader import read_network
from brevitas_a2q.errors import OnnxFileError
from brevitas_a2q.hw._frontend import adds, matrix, moves, pools, products, sums
from brevitas_a2q.hw._frontend.context import Context
from brevitas_a2q.hw._frontend.forks import with_forks
from brevitas_a2q.hw._frontend.islands import island
from brevitas_a2q.hw._frontend.padded import with_zeros
from brevitas_a2q.hw._frontend.rearranged import is_selection
from brevitas_a2q.hw._frontend.stream import REAL_SUMS, Broken, Stream
from brevitas_a2q.hw._ir import Graph

__all__ = ["build_graph", "read_graph"]

_QUANTIZERS: Final = ("Quant", "BipolarQuant", "Trunc", "MultiThreshold")

Handler = Callable[[Context, Node], "Stream | tuple[Stream, ...]"]

_HANDLERS: Final[Mapping[str, Handler]] = {
    **dict.fromkeys(DOT_PRODUCTS, matrix.dot_product),
    **dict.fromkeys(_QUANTIZERS, sums.quantizer),
    **dict.fromkeys(("MaxPool", "Upsample", "Reshape", "Transpose"), moves.move),
    "DepthToSpace": pools.depth_to_space,
    "AveragePool": pools.average_pool,
    "GlobalAveragePool": pools.global_average_pool,
    "Pad": pools.pad,
    "Concat": sums.concat,
    "TopK": sums.label_select,
    "ArgMax": sums.label_select,
}

_MOST_UNITS: Final = 4096  # which no device holds, and which take a minute to fold


def read_graph(
    path: str | Path, *, standalone_thresholds: bool = False, input_range: tuple[float, float] | None = None
) -> Graph:
    """The dataflow graph of a QONNX file.

    Args:
        path: The file.
        standalone_thresholds: Whether thresholds are units of their own (FINN's ``standalone_thresholds``).
        input_range: Declared range of the real-valued input, see :func:`brevitas_a2q._ir.read`.

    Raises:
        OnnxFileError: Naming the file or the node that has no place in an accelerator, and a remedy.
    """
    network = read_network(path, input_range=input_range)
    return build_graph(network, name=Path(path).stem, standalone_thresholds=standalone_thresholds)


def build_graph(network: Network, *, name: str = "network", standalone_thresholds: bool = False) -> Graph:
    """The dataflow graph of a network that is already in memory; see :func:`read_graph`."""
    if len(network.inputs) != 1:
        raise OnnxFileError(
            f"found {len(network.inputs)} inputs: {', '.join(network.inputs)}", where=network.file, expected="one"
        )
    context = Context(network, standalone_thresholds)
    for node in network.nodes:
        if context.in_front(node) and node.op not in (*DOT_PRODUCTS, *_QUANTIZERS):
            context.notes.append(f"input: left to software: {node.name}")
        else:
            context.place(node, _build(context, node))
    notes = [*context.notes, *_left_to_software(context)]
    image = context.image
    if not context.units or image is None:
        raise OnnxFileError("holds nothing for an accelerator", where=network.file, expected="quantized layers")
    units = with_zeros(with_forks(tuple(context.units.values()), image))
    if len(units) > _MOST_UNITS:
        raise OnnxFileError(
            f"takes {len(units)} units",
            where=network.file,
            expected=f"at most {_MOST_UNITS}",
            remedy="split the network",
        )
    return Graph(name, units, tuple(notes), tuple(context.warnings), image)


def _build(context: Context, node: Node) -> Stream | Broken | tuple[Stream, ...]:
    """The stream of a node's output; an error is kept for later unless integers are computed from the node."""
    broken = max(context.broken(node), key=lambda found: found.island, default=None)
    if broken is not None:
        if node.op in _QUANTIZERS and broken.island:
            return island(context, node)
        if node.op in (*DOT_PRODUCTS, *_QUANTIZERS):
            raise broken.error
        # A real sum by itself lacks a quantizer; one that a norm reads belongs to the norm's island.
        return replace(broken, island=True) if node.op == OPAQUE and broken.node.op in REAL_SUMS else broken
    try:
        return _handler(node, context)(context, node)
    except OnnxFileError as error:
        if node.op in (*DOT_PRODUCTS, *_QUANTIZERS):
            raise
        return Broken(error, node, island=node.op == OPAQUE)


def _handler(node: Node, context: Context) -> Handler:
    if is_selection(node):
        return moves.select
    if node.op == OPAQUE and node.attributes["op"] == "Mul" and len(context.stream_inputs(node)) == 2:
        if products.of_one_stream(context, node):
            raise node.error("multiplies two functions of one stream", expected="a quantizer behind each")
        return products.product
    if node.op in ("Add", "Sub") and len(context.stream_inputs(node)) == 2:
        return adds.two_streams
    if node.op in ELEMENTWISE:
        return sums.elementwise
    handler = _HANDLERS.get(node.op)
    if handler is None:
        reason = node.attributes.get("reason")  # such as which form of an operator that has a place in another
        raise node.error(
            "has no place in an accelerator" + (f" ({reason})" if reason else ""),
            expected=f"one of {', '.join(sorted({*_HANDLERS, *ELEMENTWISE} - {node.file_op}))}",
            remedy="quantize and export the network without it",
        )
    return handler


def _left_to_software(context: Context) -> list[str]:
    notes = []
    for output in context.network.outputs:
        stream = context.streams.get(output)
        if isinstance(stream, Broken):
            notes.append(
                f"output {output}: node {stream.node.name} and what follows is left to software: {stream.error}"
            )
        elif stream is not None:
            try:
                stream = moves.build_moves(context, stream)
            except OnnxFileError as error:
                notes.append(f"output {output}: left to software: {error}")
                continue
            if stream.chain:
                names = ", ".join(node.name for node in stream.chain)
                notes.append(f"output {output}: left to software: {names}")
    return notes
