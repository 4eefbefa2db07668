"""Operations that a random file is made of: each takes a graph and a stream (NCHW) and gives one, or None."""

from __future__ import annotations

from typing import Any

import numpy as np

from .graph import QONNX, Graph, Stream, after

SCALES = (1.0, 0.5, 0.1, 0.333, 3.7, 17.0, 1e-3, 2.0**-20, 1e4)
# Functions of one tensor, and the first opset that has them.
UNARY = {
    **dict.fromkeys(("Relu", "Neg", "Abs", "Identity"), 7),
    **dict.fromkeys(("Sigmoid", "Tanh", "HardSigmoid", "LeakyRelu", "Elu", "Selu", "Softplus", "Softsign", "Exp"), 7),
    **dict.fromkeys(("Floor", "Ceil", "Sqrt", "Log"), 7),
    **dict.fromkeys(("Sign", "Erf"), 9),
    "Round": 11,
    "HardSwish": 14,
    "Mish": 18,
    "Gelu": 20,
}
MODES = ("ROUND", "ROUND", "ROUND", "FLOOR", "CEIL", "ROUND_TO_ZERO", "HALF_UP", "HALF_DOWN", "UP", "DOWN")


def column(g: Graph, x: Stream, draw: Any, chance: float = 0.5) -> np.ndarray:
    """One number, or one per channel."""
    if len(x.shape) >= 2 and g.rng.random() < chance:
        return np.float32(draw((1, x.shape[1], *(1,) * (len(x.shape) - 2))))
    return np.float32(draw(()))


def quantize(g: Graph, x: Stream, per_channel: float = 0.3) -> Stream:
    rng = g.rng
    scale = column(g, x, lambda n: rng.choice(SCALES, n) * rng.uniform(0.5, 1.5), per_channel)
    zero = column(g, x, lambda n: rng.choice([0, 0, 0, 0, 1, 3, 7, -2, 128], n).astype(np.float32), 0.2)
    if rng.random() < 0.08:
        return after(x, g.op("BipolarQuant", x.name, g.f32(scale), domain=QONNX), step=scale)
    bits, signed, narrow = int(rng.integers(1, 9)), int(rng.integers(2)), int(rng.integers(2))
    mode = str(rng.choice(MODES))
    mode = "DOWN" if mode == "ROUND_TO_ZERO" and g.opset < 11 else mode  # qonnx, which alone executes those, has DOWN
    return after(x, g.quant(x.name, scale, zero, bits, signed, narrow, mode), step=scale)


def threshold(g: Graph, x: Stream) -> Stream | None:
    rng = g.rng
    if len(x.shape) > 4:
        return None
    rows = int(rng.choice([1, x.shape[1]]))
    values = np.sort(rng.normal(0, 10 ** rng.uniform(-1, 3), (rows, int(rng.integers(1, 8)))), axis=1)
    scale = np.float32(rng.choice([1.0, 0.5, 2.0, 0.1]))
    bias = 0.0 if scale == np.float32(0.1) else float(scale * np.float32(rng.integers(-4, 1)))
    layout = {} if len(x.shape) in (2, 4) else {"data_layout": "NCW"}
    a = {"out_dtype": "UINT4", "out_scale": float(scale), "out_bias": bias, **layout}
    name = g.op("MultiThreshold", x.name, g.f32(values), domain=QONNX, **a)
    g.nodes[-1].doc_string = str(len(x.shape))  # for who writes it out in ONNX
    return after(x, name, step=scale)


def truncate(g: Graph, x: Stream) -> Stream | None:
    if x.step is None or np.size(x.step) > 1:
        return None
    drop = int(g.rng.integers(0, 4))
    values = g.f32(np.ravel(x.step)[0]), g.f32(0.0), g.f32(8.0), g.f32(8.0 - drop)
    mode = str(g.rng.choice(["FLOOR", "ROUND", "CEIL"]))
    return after(x, g.op("Trunc", x.name, *values, domain=QONNX, rounding_mode=mode))


def unary(g: Graph, x: Stream) -> Stream:
    names = [name for name, first in UNARY.items() if first <= g.opset]
    kind = str(g.rng.choice([*names, "Relu", "Relu", "Neg", "Abs", "Identity"]))
    options = {"LeakyRelu": {"alpha": float(g.rng.choice([0.1, 0.5, -0.3, 0.0]))}}.get(kind, {})
    keeps = kind in ("Relu", "Neg", "Abs", "Identity")
    return after(x, g.op(kind, x.name, **options), step="same" if keeps else None)


def clip(g: Graph, x: Stream) -> Stream:
    low = float(g.rng.choice([0.0, -1.0, -2.5, -6.0]))
    high = low + float(g.rng.choice([1.0, 6.0, 7.3]))
    if g.opset >= 11:
        return after(x, g.op("Clip", x.name, g.f32(low), g.f32(high)), step=None)
    return after(x, g.op("Clip", x.name, min=low, max=high), step=None)


def prelu(g: Graph, x: Stream) -> Stream:
    slope = g.rng.choice(np.float32([0.1, 0.25, -0.5, 0.0, 2.0]), (x.shape[1], *(1,) * (len(x.shape) - 2)))
    return after(x, g.op("PRelu", x.name, g.f32(slope)), step=None)


def constant(g: Graph, x: Stream) -> Stream:
    rng, op = g.rng, str(g.rng.choice(["Add", "Sub", "Mul", "Div"]))
    step = 1.0 if x.step is None else float(np.ravel(x.step)[0])
    if op in ("Add", "Sub"):
        draws = [0.1, -3.0, step * 3, -step, 1e6, step * 2**24, step * 2**23 + step / 2, 3e38, 1e-38]
        value = column(g, x, lambda n: rng.choice(draws, n))
        order = (x.name, g.f32(value)) if rng.random() < 0.8 else (g.f32(value), x.name)
        return after(x, g.op(op, *order), step=None)
    value = column(
        g, x, lambda n: rng.choice([2.0, -1.0, 0.3, -0.7, 1e-4, 33.0, 1e30, 1e-30] + [0.0] * (op == "Mul"), n)
    )
    known = x.step is not None and np.all(value != 0)
    step = (x.step * value if op == "Mul" else x.step / value) if known else None
    return after(x, g.op(op, x.name, g.f32(value)), step=None if step is None else np.float64(step))


def there_and_back(g: Graph, x: Stream) -> Stream:
    step = 1.0 if x.step is None else float(np.ravel(x.step)[0])
    value = g.f32(g.rng.choice([1e6, step * 2**24, step * 2**22, 12345.678]))
    return after(x, g.op("Sub", g.op("Add", x.name, value), value), step=None)


def norm(g: Graph, x: Stream) -> Stream:
    rng, c = g.rng, x.shape[1]
    gamma, beta = rng.choice([1.0, -0.5, 0.01, 30.0], c), rng.normal(0, 1, c)
    mean, var = rng.choice([0.0, 1.0, -7.0, 1e4, 1e6], c), rng.choice([1.0, 0.01, 100.0, 1e-4], c)
    return after(x, g.op("BatchNormalization", x.name, *map(g.f32, (gamma, beta, mean, var)), epsilon=1e-5), step=None)


def _window(g: Graph, x: Stream, rank: int) -> dict[str, Any]:
    rng, size = g.rng, x.shape[2:]
    kernel = [int(rng.integers(1, 4)) for _ in range(rank)]
    pads = [int(rng.integers(0, k)) for k in kernel] + [int(rng.integers(0, k)) for k in kernel]
    kernel = [min(k, n + pads[d] + pads[d + rank]) for d, (k, n) in enumerate(zip(kernel, size, strict=True))]
    pads = [min(p, kernel[d % rank] - 1) for d, p in enumerate(pads)]
    kernel = [min(k, n + pads[d] + pads[d + rank]) for d, (k, n) in enumerate(zip(kernel, size, strict=True))]
    return {"kernel_shape": kernel, "strides": [int(rng.integers(1, 3)) for _ in range(rank)], "pads": pads}


def _starts_inside(x: Stream, a: dict[str, Any]) -> bool:
    """Whether onnx' shape inference and onnxruntime agree on the number of windows where it is rounded up."""
    rank = len(a["kernel_shape"])
    for d, n in enumerate(x.shape[2:]):
        free = n + a["pads"][d] + a["pads"][d + rank] - a["kernel_shape"][d]
        if -(-free // a["strides"][d]) * a["strides"][d] >= n + a["pads"][d]:
            return False
    return True


def pool(g: Graph, x: Stream) -> Stream | None:
    rng, rank = g.rng, len(x.shape) - 2
    if rank < 1:
        return None
    op = str(rng.choice(["MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"]))
    if op.startswith("Global"):
        shape = (*x.shape[:2], *(1,) * rank)
        step = None if op == "GlobalAveragePool" else "same"
        return after(x, g.op(op, x.name), shape, step)
    a = _window(g, x, rank)
    if any(p >= k for p, k in zip(a["pads"], a["kernel_shape"] * 2, strict=True)):
        return None
    if op == "AveragePool":
        a["count_include_pad"] = int(rng.integers(2))
    if g.opset >= 10 and rng.random() < 0.3 and _starts_inside(x, a):
        a["ceil_mode"] = 1
    return after(x, g.op(op, x.name, **a), None or _unknown(x), "same" if op == "MaxPool" else None)


def _unknown(x: Stream) -> tuple[int, ...]:
    return (-1,) * len(x.shape)


def pad(g: Graph, x: Stream) -> Stream:
    rng, rank = g.rng, len(x.shape)
    pads = [0] * (2 * rank)
    for _ in range(int(rng.integers(1, 3))):
        pads[int(rng.integers(1, rank)) + rank * int(rng.integers(2))] = int(rng.integers(-1, 3))
    pads = [max(p, 0) if x.shape[d % rank] < 3 else p for d, p in enumerate(pads)]
    mode = str(rng.choice(["constant", "constant", "constant", "edge", "reflect"]))
    if mode == "reflect":
        pads = [max(0, min(p, x.shape[d % rank] - 1)) for d, p in enumerate(pads)]
    value = float(rng.choice([0.0, 0.0, 1.0, -2.3, 0.1 if x.step is None else float(np.ravel(x.step)[0]) * 3]))
    shape = [n + pads[d] + pads[d + rank] for d, n in enumerate(x.shape)]
    one = x.step is None or np.size(x.step) == 1
    step = "same" if x.step is None or (one and (value == 0 or mode != "constant")) else None
    if g.opset >= 11:
        return after(x, g.op("Pad", x.name, g.i64(pads), g.f32(value), mode=mode), shape, step)
    return after(x, g.op("Pad", x.name, pads=pads, mode=mode, value=value), shape, step)


def move(g: Graph, x: Stream) -> Stream | None:
    rng, rank = g.rng, len(x.shape)
    plain = "same" if x.step is None or np.size(x.step) == 1 else None
    kind = int(rng.integers(7))
    if kind == 0:
        perm = [0, *(1 + rng.permutation(rank - 1)).tolist()]
        return after(x, g.op("Transpose", x.name, perm=perm), [x.shape[p] for p in perm], plain)
    if kind == 1 and g.opset >= 10:
        axis = int(rng.integers(1, rank))
        size = x.shape[axis]
        start, step = int(rng.integers(size)), int(rng.choice([1, 1, 2, -1]))
        end = int(rng.choice([2**31 - 1, size])) if step > 0 else -(2**31)
        count = len(range(size)[slice(start, None if step < 0 else end, step)])
        shape = [count if d == axis else n for d, n in enumerate(x.shape)]
        return after(x, g.op("Slice", x.name, *map(g.i64, ([start], [end], [axis], [step]))), shape, plain)
    if kind == 2:
        axis = int(rng.integers(1, rank))
        places = rng.integers(-x.shape[axis], x.shape[axis], int(rng.integers(1, 4)))
        shape = [len(places) if d == axis else n for d, n in enumerate(x.shape)]
        return after(x, g.op("Gather", x.name, g.i64(places), axis=axis), shape, plain)
    if kind == 3 and rank == 4 and x.shape[1] % 4 == 0:
        mode = {"mode": str(rng.choice(["DCR", "CRD"]))} if g.opset >= 11 else {}
        n, c, h, w = x.shape
        return after(x, g.op("DepthToSpace", x.name, blocksize=2, **mode), (n, c // 4, 2 * h, 2 * w), plain)
    if kind == 4 and rank == 4 and x.shape[2] % 2 == 0 and x.shape[3] % 2 == 0:
        n, c, h, w = x.shape
        return after(x, g.op("SpaceToDepth", x.name, blocksize=2), (n, 4 * c, h // 2, w // 2), plain)
    if kind == 5 and rank == 4:
        n, c, h, w = x.shape
        shape = (n, h, c, w) if rng.random() < 0.5 else (n, c, w, h)
        return after(x, g.op("Reshape", x.name, g.i64((0, *shape[1:]))), shape, plain)
    if kind == 6:
        repeats = [1, *(int(v) for v in rng.integers(1, 3, rank - 1))]
        return after(
            x, g.op("Tile", x.name, g.i64(repeats)), [n * m for n, m in zip(x.shape, repeats, strict=True)], plain
        )
    return None


def resize(g: Graph, x: Stream) -> Stream | None:
    rng = g.rng
    if len(x.shape) != 4 or g.opset < 11:
        return None
    scales = [1.0, 1.0, float(rng.choice([1.0, 2.0, 3.0, 1.5, 0.6])), float(rng.choice([1.0, 2.0, 2.5]))]
    mode = str(rng.choice(["nearest", "nearest", "linear", "cubic"]))
    where = str(rng.choice(["asymmetric", "half_pixel", "align_corners", "pytorch_half_pixel"]))
    rounding = {"nearest_mode": str(rng.choice(["floor", "round_prefer_floor", "ceil"]))} if mode == "nearest" else {}
    name = g.op("Resize", x.name, "", g.f32(scales), mode=mode, coordinate_transformation_mode=where, **rounding)
    plain = "same" if mode == "nearest" and (x.step is None or np.size(x.step) == 1) else None
    return after(x, name, _unknown(x), plain)


def reduce(g: Graph, x: Stream) -> Stream | None:
    if len(x.shape) < 3:
        return None
    op = str(g.rng.choice(["ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum"]))
    axes = list(range(2, len(x.shape))) if g.rng.random() < 0.5 else [1]
    late = g.opset >= (13 if op == "ReduceSum" else 18)
    name = g.op(op, x.name, g.i64(axes), keepdims=1) if late else g.op(op, x.name, axes=axes, keepdims=1)
    plain = op in ("ReduceMax", "ReduceMin") and (x.step is None or np.size(x.step) == 1)
    return after(x, name, [1 if d in axes else n for d, n in enumerate(x.shape)], "same" if plain else None)


def join(g: Graph, x: Stream, y: Stream) -> Stream | None:
    """Two streams become one."""
    rng = g.rng
    op = str(rng.choice(["Add", "Sub", "Mul", "Max", "Min", "Concat", "Where"]))
    same = x.step is not None and y.step is not None and np.size(x.step) == np.size(y.step) == 1 and x.step == y.step
    if op == "Concat" and len(x.shape) == len(y.shape) and x.shape[0] == y.shape[0] and x.shape[2:] == y.shape[2:]:
        shape = (x.shape[0], x.shape[1] + y.shape[1], *x.shape[2:])
        return after(x, g.op("Concat", x.name, y.name, axis=1), shape, "same" if same else None)
    if x.shape != y.shape or op == "Concat":
        return None
    if op == "Where":
        if g.opset < 9:
            return None
        chosen = g.op("Where", g.op("Greater", x.name, g.f32(0.5)), x.name, y.name)
        return after(x, chosen, step="same" if same else None)
    if op == "Mul":
        return after(x, g.op(op, x.name, y.name), step=None)
    return after(x, g.op(op, x.name, y.name), step="same" if same else None)


def limit(g: Graph, x: Stream) -> Stream:
    """The larger or smaller of a stream and constants."""
    one = 1.0 if x.step is None else float(np.ravel(x.step)[0])
    value = column(g, x, lambda n: g.rng.choice([0.0, one, -2 * one, 0.37, 5.0], n))
    return after(x, g.op(str(g.rng.choice(["Max", "Min"])), x.name, g.f32(value)), step=None)


def power(g: Graph, x: Stream) -> Stream:
    return after(x, g.op("Pow", x.name, g.f32(g.rng.choice([2.0, 3.0, 0.5, 1.0]))), step=None)


def dropout(g: Graph, x: Stream) -> Stream:
    if g.opset < 12:
        return after(x, g.op("Dropout", x.name, ratio=0.3))
    training = g.rng.random() < 0.5
    name = g.op("Dropout", x.name, g.f32(0.3), g.constant(np.asarray(training)), seed=7)
    return after(x, name, step=None if training else "same")


def cast(g: Graph, x: Stream) -> Stream:
    """To another type and back."""
    kind = int(g.rng.choice([1, 11, 6, 7]))  # float, double, int32, int64
    name = g.op("Cast", g.op("Cast", x.name, to=kind), to=1)
    return after(x, name, step="same" if kind == 1 else None)


def part(g: Graph, x: Stream) -> Stream | None:
    """One of two parts of a split."""
    axis = int(g.rng.integers(1, len(x.shape)))
    size = x.shape[axis]
    if size < 2:
        return None
    first = int(g.rng.integers(1, size))
    if g.opset >= 13:
        names = g.op("Split", x.name, g.i64([first, size - first]), outputs=2, axis=axis)
    else:
        names = g.op("Split", x.name, outputs=2, axis=axis, split=[first, size - first])
    index = int(g.rng.integers(2))
    shape = [(first, size - first)[index] if d == axis else n for d, n in enumerate(x.shape)]
    plain = "same" if x.step is None or np.size(x.step) == 1 else None
    return after(x, names[index], shape, plain)


def rank(g: Graph, x: Stream) -> Stream | None:
    """Another number of axes."""
    plain = "same" if x.step is None or np.size(x.step) == 1 else None
    thin = [d for d in range(2, len(x.shape)) if x.shape[d] == 1]
    if thin and g.rng.random() < 0.7:
        axes = {"axes": thin[:1]} if g.opset < 13 else {}
        name = g.op("Squeeze", x.name, *([] if axes else [g.i64(thin[:1])]), **axes)
        return after(x, name, [n for d, n in enumerate(x.shape) if d != thin[0]], plain)
    if len(x.shape) == 3:
        axes = {"axes": [2]} if g.opset < 13 else {}
        name = g.op("Unsqueeze", x.name, *([] if axes else [g.i64([2])]), **axes)
        return after(x, name, (*x.shape[:2], 1, x.shape[2]), plain)
    if len(x.shape) == 4 and g.rng.random() < 0.3:
        return after(x, g.op("Flatten", x.name, axis=1), (1, int(np.prod(x.shape[1:]))), plain)
    return None


def expand(g: Graph, x: Stream) -> Stream | None:
    if 1 not in x.shape[1:]:
        return None
    shape = [1, *(int(g.rng.integers(1, 4)) if n == 1 else n for n in x.shape[1:])]
    plain = "same" if x.step is None or np.size(x.step) == 1 else None
    return after(x, g.op("Expand", x.name, g.i64(shape)), shape, plain)


def softmax(g: Graph, x: Stream) -> Stream:
    kind = str(g.rng.choice(["Softmax", "LogSoftmax"]))
    return after(x, g.op(kind, x.name, axis=int(g.rng.integers(1, len(x.shape)))), step=None)


def upsample(g: Graph, x: Stream) -> Stream | None:
    if g.opset != 9 or len(x.shape) != 4:
        return None
    n, c, h, w = x.shape
    name = g.op("Upsample", x.name, g.f32([1, 1, 2, 3]), mode="nearest")
    return after(x, name, (n, c, 2 * h, 3 * w), "same" if x.step is None or np.size(x.step) == 1 else None)


def unstated(g: Graph, x: Stream) -> Stream | None:
    """Products of integer types, and sums by indices: operators that make layers of their own, which no rule states."""
    rng, c = g.rng, x.shape[1]
    kind = str(rng.choice(["ConvInteger", "MatMulInteger", "QLinearConv", "Einsum", "CumSum"]))
    if kind == "Einsum" and len(x.shape) == 4 and g.opset >= 12:
        matrix = g.f32(rng.choice([-1.0, 0.5, 2.0], (c, c)))
        return after(x, g.op("Einsum", x.name, matrix, equation="nchw,cd->ndhw"), step=None)
    if kind == "CumSum" and g.opset >= 11:
        return after(x, g.op("CumSum", x.name, g.constant(np.asarray(1))), step=None)
    if len(x.shape) != 4 or g.opset < 10:
        return None
    scale, point = g.f32(rng.choice([0.5, 0.1, 1.0])), g.constant(np.asarray(rng.integers(0, 9), np.uint8))
    codes = g.op("QuantizeLinear", x.name, scale, point)
    one, zero = g.f32(0.25), g.constant(np.asarray(0, np.int8))
    if kind == "ConvInteger":
        weights = g.constant(rng.integers(-7, 8, (c, c, 1, 1)).astype(np.int8))
        return after(x, g.op("Cast", g.op(kind, codes, weights, point, zero), to=1), step=None)
    if kind == "MatMulInteger":
        weights = g.constant(rng.integers(-7, 8, (x.shape[3], x.shape[3])).astype(np.int8))
        return after(x, g.op("Cast", g.op(kind, codes, weights, point, zero), to=1), step=None)
    if kind == "QLinearConv":
        weights = g.constant(rng.integers(-7, 8, (c, c, 1, 1)).astype(np.int8))
        made = g.op(kind, codes, scale, point, weights, one, zero, one, point)
        return after(x, g.op("DequantizeLinear", made, one, point), step=None)
    return None


OPERATIONS = (
    (quantize, 7), (threshold, 1), (truncate, 1), (unary, 4), (clip, 1), (prelu, 1), (constant, 4),
    (there_and_back, 1), (norm, 2), (pool, 3), (pad, 3), (move, 4), (resize, 1), (reduce, 1), (limit, 1), (power, 0.3),
    (dropout, 0.7), (cast, 0.5), (part, 1), (rank, 1), (expand, 0.7), (softmax, 0.3), (upsample, 1),
    (unstated, 0.7),
)  # fmt: skip
