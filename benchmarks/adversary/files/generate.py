"""A random file: operations of the table in any order, branches and forks, and layers wherever integers arrive."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

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
        if rng.random() < 0.08:
            shape = (1, *(int(n) for n in rng.integers(1, 4, 4)))
        self.graph = Graph(rng, int(rng.choice(_OPSETS)), shape)
        self.outputs: list[Stream] = []


def generate(seed: int) -> Case:
    """The case of a seed."""
    case = Case(seed)
    g, rng = case.graph, case.graph.rng
    weights = np.array([weight for _, weight in OPERATIONS], float)
    weights /= weights.sum()
    streams = [quantize(g, Stream("x", g.shape)) if rng.random() < 0.8 else Stream("x", g.shape)]
    for _ in range(int(rng.integers(3, 14))):
        nodes, layers = len(g.nodes), len(g.layers)
        x = streams[int(rng.integers(len(streams)))] if rng.random() < 0.25 else streams[-1]
        if rng.random() < 0.15 and len(streams) > 1:
            y = streams[int(rng.integers(len(streams)))]
            made = join(g, x, y)
            kind = "join"
        elif rng.random() < 0.2:
            made, kind = layer(g, x), "layer"
        else:
            operation = OPERATIONS[int(rng.choice(len(OPERATIONS), p=weights))][0]
            made, kind = operation(g, x), operation.__name__
        if made is not None:
            g.used.append(kind)
            made = resolved(g, made, x)
        if made is None:
            del g.nodes[nodes:], g.layers[layers:]
        else:
            streams.append(made)
    nodes, layers = len(g.nodes), len(g.layers)
    final = layer(g, quantize(g, streams[-1], 0.0) if streams[-1].step is None else streams[-1])
    if final is None:
        del g.nodes[nodes:], g.layers[layers:]
    else:
        streams.append(final)
    read = {name for node in g.nodes for name in node.input}
    case.outputs = [stream for stream in streams if stream.name not in read]
    return case


def resolved(g: Graph, x: Stream, before: Stream) -> Stream | None:
    """The stream with its shape, where only inference knows it; None for a tensor that is empty or large."""
    if -1 in x.shape:
        x = after(x, x.name, _inferred(g, before))
    return x if min(x.shape) > 0 and np.prod(x.shape) <= 600 else None


def _inferred(g: Graph, before: Stream) -> tuple[int, ...]:
    """Shape of what the last node makes."""
    node = g.nodes[-1]
    shapes = {before.name: before.shape, **g.weight_shapes}
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shapes[n]) for n in node.input if n in shapes]
    kept = [c for c in g.constants if c.name in node.input]
    out = helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "g", inputs, [out], kept)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", g.opset)], ir_version=8)
    found = onnx.shape_inference.infer_shapes(model).graph.output[0].type.tensor_type.shape.dim
    return tuple(d.dim_value for d in found) or (0,)


def layer(g: Graph, x: Stream) -> Stream | None:
    """A layer on a stream; None where its author knows no step of the stream."""
    rng = g.rng
    if x.step is None or len(x.shape) not in (2, 3, 4, 5):
        return None
    per_channel = np.size(x.step) > 1
    bits = int(rng.integers(2, 6))
    top = 2 ** (bits - 1) - 1
    kind = str(rng.choice(["Conv", "Conv", "Conv", "ConvTranspose"]))
    if len(x.shape) < 3 or (rng.random() < 0.25 and not per_channel):
        kind = "MatMul"
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
            k if x.shape[2 + d] + pads[d] + pads[d + rank] > a["dilations"][d] * (k - 1) else 1
            for d, k in enumerate(kernel)
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
    if rng.random() < 0.1:
        factor = rng.choice(np.float32([0.5, 3.0, 0.3]))
        weights, scale = g.op("Mul", weights, g.f32(factor)), scale * factor
    g.weight_shapes[weights] = shape
    if kind == "MatMul" and len(x.shape) == 2 and rng.random() < 0.4:
        return gemm(g, x, weights, q, scale)
    if kind == "MatMul" and len(x.shape) > 2 and rng.random() < 0.2:
        weights = g.op("Reshape", weights, g.i64((1, *shape)))
    name = f"n{len(g.nodes)}"
    bias = None
    if kind == "Conv" and not per_channel and rng.random() < 0.3:
        bias = np.round(rng.normal(0, 10 ** rng.uniform(0, 3), shape[0]))
        a_bias = [g.f32(bias * float(np.ravel(x.step)[0]) * scale.reshape(-1).astype(np.float64))]
    out = g.op(kind, x.name, weights, *([] if bias is None else a_bias), **a)
    g.layers.append(Layer(name, kind, x, q, a, bias))
    g.targets[name] = int(rng.integers(4, 14))
    g.nodes[-1].metadata_props.add(key="a2q.accumulator_bit_width", value=str(g.targets[name]))
    if kind == "MatMul":
        return after(x, out, (*x.shape[:-1], shape[1]), None)
    return resolved(g, after(x, out, (-1,) * len(x.shape), None), x)


def gemm(g: Graph, x: Stream, weights: str, q: np.ndarray, scale: np.ndarray) -> Stream:
    """A matrix product with factors of its own, and perhaps with a bias, which is none of the sum's behind a factor."""
    rng, name = g.rng, f"n{len(g.nodes)}"
    alpha, beta = (float(rng.choice([1.0, 1.0, 0.5, -1.0, 0.3, 3.0])), float(rng.choice([1.0, 1.0, 2.0, -0.5])))
    bias = np.round(rng.normal(0, 100, q.shape[1])) if rng.random() < 0.5 else None
    a: dict[str, Any] = {"alpha": alpha, "beta": beta}
    if rng.random() < 0.5:
        weights, a["transB"] = g.op("Transpose", weights, perm=[1, 0]), 1
        name = f"n{len(g.nodes)}"
    step = float(np.ravel(x.step)[0]) * scale.reshape(-1).astype(np.float64)
    out = g.op("Gemm", x.name, weights, *([] if bias is None else [g.f32(bias * step / beta)]), **a)
    g.layers.append(Layer(name, "MatMul", x, q, {}, bias if alpha == 1 else None))
    g.targets[name] = int(rng.integers(4, 14))
    g.nodes[-1].metadata_props.add(key="a2q.accumulator_bit_width", value=str(g.targets[name]))
    return after(x, out, (*x.shape[:-1], q.shape[1]), None)
