"""A random file: operations of the table in any order, branches and forks, and layers wherever integers arrive."""

from __future__ import annotations

from typing import Any

import numpy as np

from .graph import Graph, Layer, Stream, after
from .operations import OPERATIONS, join, quantize

__all__ = ["Case", "generate"]

_OPSETS = (9, 11, 13, 13, 17, 18, 21)


class Case:
    """One file, its layers as they were meant, and shapes that only execution tells."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        rng = np.random.default_rng(seed)
        shape = (1, int(rng.integers(1, 5)), int(rng.integers(1, 6)), int(rng.integers(1, 6)))
        self.graph = Graph(rng, int(rng.choice(_OPSETS)), shape)
        self.outputs: list[Stream] = []


def generate(seed: int) -> Case:
    """The case of a seed."""
    case = Case(seed)
    g, rng = case.graph, case.graph.rng
    weights = np.array([weight for _, weight in OPERATIONS], float)
    streams = [quantize(g, Stream("x", g.shape)) if rng.random() < 0.8 else Stream("x", g.shape)]
    for _ in range(int(rng.integers(2, 9))):
        x = streams[int(rng.integers(len(streams)))] if rng.random() < 0.25 else streams[-1]
        if rng.random() < 0.15 and len(streams) > 1:
            y = streams[int(rng.integers(len(streams)))]
            made = join(g, x, y)
            kind = "join"
        elif rng.random() < 0.2:
            made, kind = layer(g, x), "layer"
        else:
            operation = OPERATIONS[int(rng.choice(len(OPERATIONS), p=weights / weights.sum()))][0]
            made, kind = operation(g, x), operation.__name__
        if made is not None:
            g.used.append(kind)
            made = resolved(g, made)
            if made is None:
                break
            streams.append(made)
    final = layer(g, streams[-1])
    if final is None:
        final = layer(g, quantize(g, streams[-1], 0.0))
    case.outputs = [final if final is not None else streams[-1]]
    return case


def resolved(g: Graph, x: Stream) -> Stream | None:
    """The stream with its shape, where only inference knows it; None for a tensor that is empty or large."""
    if -1 in x.shape:
        import onnx

        model = onnx.shape_inference.infer_shapes(_ideal(g, x))
        found = {v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim) for v in (*model.graph.value_info, *model.graph.output)}
        x = after(x, x.name, found.get(x.name, (0,)))
    return x if min(x.shape) > 0 and np.prod(x.shape) <= 600 else None


def _ideal(g: Graph, x: Stream) -> Any:
    """The graph with every quantizer an Identity, for shape inference; the last output's shape is left open."""
    from onnx import TensorProto, helper

    nodes = [helper.make_node("Identity", [n.input[0]], list(n.output)) if n.domain else n for n in g.nodes]
    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, list(g.shape))
    out = helper.make_tensor_value_info(x.name, TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [source], [out], g.constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", g.opset)], ir_version=8)


def layer(g: Graph, x: Stream) -> Stream | None:
    """A layer on a stream; None where its author knows no step of the stream."""
    rng = g.rng
    if x.step is None or len(x.shape) not in (2, 3, 4):
        return None
    per_channel = np.size(x.step) > 1
    bits = int(rng.integers(2, 6))
    top = 2 ** (bits - 1) - 1
    kind = "MatMul" if len(x.shape) < 3 or (rng.random() < 0.25 and not per_channel) else str(rng.choice(["Conv", "Conv", "Conv", "ConvTranspose"]))
    if kind == "MatMul":
        if per_channel:
            return None
        shape: tuple[int, ...] = (x.shape[-1], int(rng.integers(1, 4)))
        a: dict[str, Any] = {}
        scale = np.float32(rng.choice([1.0, 0.1, 0.25], (1, shape[1])))
    else:
        rank, c = len(x.shape) - 2, x.shape[1]
        groups = c if per_channel else int(rng.choice([d for d in range(1, c + 1) if c % d == 0]))
        kernel = [int(rng.integers(1, 4)) for _ in range(rank)]
        pads = [int(rng.integers(0, 2)) for _ in range(2 * rank)]
        a = {"group": groups, "strides": [int(rng.integers(1, 3)) for _ in range(rank)], "pads": pads}
        a["dilations"] = [int(rng.integers(1, 3)) for _ in range(rank)]
        kernel = [
            k if x.shape[2 + d] + pads[d] + pads[d + rank] > a["dilations"][d] * (k - 1) else 1 for d, k in enumerate(kernel)
        ]
        each = int(rng.integers(1, 3))
        if kind == "Conv":
            shape = (groups * each, c // groups, *kernel)
            scale = np.float32(rng.choice([1.0, 0.1, 0.25], (shape[0], *(1,) * (rank + 1))))
        else:
            a["pads"] = [0] * (2 * rank)
            shape = (c, each, *kernel)
            scale = np.float32(rng.choice([1.0, 0.1]))
    q = rng.integers(-top, top + 1, shape)
    weights = g.quant(g.f32(q * scale), scale, 0.0, float(bits), 1, int(rng.integers(2)), "ROUND")
    name = f"n{len(g.nodes)}"
    out = g.op(kind, x.name, weights, **a)
    g.layers.append(Layer(name, kind, x, q, a, None))
    g.targets[name] = int(rng.integers(4, 14))
    g.nodes[-1].metadata_props.add(key="a2q.accumulator_bit_width", value=str(g.targets[name]))
    if kind == "MatMul":
        return after(x, out, (*x.shape[:-1], shape[1]), None)
    return resolved(g, after(x, out, (-1,) * len(x.shape), None))
