"""Files written by hand to break a certificate, executed node by node by onnxruntime and qonnx' own operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from qonnx.custom_op.registry import getCustomOp

from brevitas_a2q import certify
from brevitas_a2q.errors import OnnxFileError

Build = Callable[[Any], Any]
SHAPE = (1, 4, 4, 4)
_OPTIONS = onnxruntime.SessionOptions()
_OPTIONS.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
_OPTIONS.intra_op_num_threads = 1
_OPTIONS.log_severity_level = 4


def executor(model: Any, wanted: str) -> Callable[[np.ndarray], np.ndarray]:
    """The value of one tensor for an input; sessions are kept."""
    constants = {c.name: numpy_helper.to_array(c) for c in model.graph.initializer}
    sessions: dict[int, Any] = {}

    def run(x: np.ndarray) -> np.ndarray:
        context = {**constants, "x": x}
        for index, node in enumerate(model.graph.node):
            if node.domain:
                with np.errstate(all="ignore"):
                    getCustomOp(node, onnx_opset_version=1).execute_node(context, None)
            else:
                names = list(dict.fromkeys(name for name in node.input if name))
                if index not in sessions:
                    sessions[index] = _session(node, {name: np.asarray(context[name]) for name in names})
                outputs = sessions[index].run(None, {name: np.asarray(context[name]) for name in names})
                context.update(zip(node.output, outputs, strict=True))
            if wanted in node.output:
                break
        return np.asarray(context[wanted])

    return run


def _session(node: Any, given: dict[str, np.ndarray]) -> Any:
    kinds = {name: helper.np_dtype_to_tensor_dtype(value.dtype) for name, value in given.items()}
    inputs = [helper.make_tensor_value_info(name, kind, None) for name, kind in kinds.items()]
    graph = helper.make_graph([node], "g", inputs, [helper.make_empty_tensor_value_info(name) for name in node.output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return onnxruntime.InferenceSession(model.SerializeToString(), _OPTIONS, providers=["CPUExecutionProvider"])


def _f(b: Any, *values: Any) -> Any:
    return b.constant(np.float32(values if len(values) > 1 else values[0]))


def _i(b: Any, *values: int) -> Any:
    return b.constant(np.int64(values))


def _d(b: Any, value: Any) -> Any:
    return b.constant(np.float64(value))


def _double(b: Any, *factors: float) -> Any:
    x = b.node("Cast", "x", to=TensorProto.DOUBLE)
    for factor in factors:
        x = b.node("Mul", x, b.constant(np.float64(factor)))
    return b.quant(b.node("Cast", x, to=TensorProto.FLOAT), bits=8, signed=1)


def _linear(b: Any, point: int, low: float, high: float) -> Any:
    scale, zero = _f(b, 0.5), b.constant(np.uint8(point))
    x = b.node("Clip", "x", _f(b, low), _f(b, high))
    return b.node("DequantizeLinear", b.node("QuantizeLinear", x, scale, zero), scale, zero)


def _pool(b: Any, **attributes: Any) -> Any:
    return b.quant(b.node("AveragePool", b.quant("x", bits=3), **attributes), bits=8)


CASES: dict[str, Build] = {
    "plain": lambda b: b.quant("x"),
    **{f"rounding {m}": lambda b, m=m: b.quant("x", signed=1, zero_point=3, rounding_mode=m) for m in ("UP", "DOWN")},
    **{f"half {m}": lambda b, m=m: b.quant("x", signed=1, rounding_mode=m) for m in ("HALF_UP", "HALF_DOWN")},
    "rounding up and down": lambda b: b.quant(b.quant("x", rounding_mode="CEIL"), 0.75, rounding_mode="FLOOR"),
    "a huge zero-point": lambda b: b.quant("x", zero_point=1e6),
    "a negative scale": lambda b: b.quant("x", scale=-0.5, signed=1),
    "twenty-five bits": lambda b: b.quant("x", bits=25, signed=1),
    "codes of a Quant wider than its own": lambda b: b.quant(b.quant("x"), scale=0.25, bits=8),
    "a scale of the smallest numbers": lambda b: b.quant(
        b.node("Mul", "x", _f(b, 1e-44)), scale=1e-44, bits=8, signed=1
    ),
    "doubles beyond single precision": lambda b: _double(b, 1e200, 1e-200),
    "doubles below single precision": lambda b: _double(b, 1e-200, 1e200),
    "doubles that end infinite": lambda b: _double(b, 1e300),
    "QuantizeLinear, zero-point 1": lambda b: _linear(b, 1, -0.75, 0.75),
    "QuantizeLinear, zero-point 3": lambda b: _linear(b, 3, -0.75, 0.75),
    "QuantizeLinear, zero-point 4": lambda b: _linear(b, 4, -1.25, 1.75),
    "QuantizeLinear that saturates": lambda b: _linear(b, 7, -50, 500),
    "an average beyond the edge": lambda b: _pool(b, kernel_shape=[2, 2], strides=[3, 3], ceil_mode=1),
    "an average with padding": lambda b: _pool(b, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1),
    "an average without": lambda b: _pool(b, kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    "an average, the same lower": lambda b: _pool(b, kernel_shape=[3, 3], strides=[3, 3], auto_pad="SAME_LOWER"),
    "local response": lambda b: b.quant(b.node("LRN", "x", size=3), bits=8, signed=1),
    "running sums": lambda b: b.quant(b.node("CumSum", b.quant("x", bits=3), _i(b, 1)), bits=8),
    "indices from behind": lambda b: b.node("Gather", b.quant("x"), _i(b, -1, -2, 0, 3), axis=1),
    "NaN chooses": lambda b: b.quant(b.node("Where", b.node("IsNaN", b.node("Log", "x")), _f(b, 50), _f(b, 0)), bits=8),
    "remainders": lambda b: b.quant(b.node("Mod", "x", _f(b, 3), fmod=1), bits=8, signed=1),
    "reciprocals": lambda b: b.quant(b.node("Reciprocal", "x"), bits=8, signed=1),
    "a cast that wraps": lambda b: b.quant(b.node("Cast", b.node("Cast", "x", to=TensorProto.INT8), to=1), 1.0, 8, 1),
    "a cast to half precision": lambda b: b.quant(b.node("Cast", b.node("Cast", "x", to=10), to=1), 1.0, 16, 1),
    "padding with a value": lambda b: b.node("Pad", b.quant("x"), _i(b, 0, 0, 1, 1, 0, 0, 1, 1), _f(b, 50)),
    "padding with the edge": lambda b: b.node("Pad", b.quant("x"), _i(b, 0, 0, 1, 1, 0, 0, 1, 1), mode="edge"),
    "cropping": lambda b: b.node("Pad", b.quant("x"), _i(b, 0, 0, -1, 1, 0, 0, 1, -1)),
    "backwards": lambda b: b.node("Slice", b.quant("x"), _i(b, 10), _i(b, -(2**63)), _i(b, 1), _i(b, -1)),
    "half as large": lambda b: b.node("Resize", b.quant("x"), "", _f(b, 1, 1, 0.5, 0.5)),
    "cubic": lambda b: b.quant(b.node("Resize", b.quant("x"), "", _f(b, 1, 1, 2, 2), mode="cubic"), 0.5, 8, 1),
    "infinite less infinite": lambda b: b.quant(b.node("Sub", w := b.node("Mul", "x", _f(b, 3e38)), w), 0.5, 8, 1),
    "zero times infinite": lambda b: b.quant(b.node("Mul", b.node("Exp", "x"), _f(b, 0)), 0.5, 8, 1),
    "a sum that cancels": lambda b: b.quant(b.node("Sub", b.node("Add", "x", _f(b, 3e7)), _f(b, 3e7)), 0.5, 8, 1),
    "a maximum of itself": lambda b: b.node("Max", q := b.quant("x", signed=1), b.node("Neg", q)),
    "four of a quantizer": lambda b: b.node("Add", q := b.node("Add", w := b.quant("x"), w), q),
    "a slope of its own": lambda b: b.quant(b.node("PRelu", "x", _f(b, -2)), 0.5, 8, 1),
    "a step of the sign": lambda b: b.quant(b.node("Sign", b.node("Sub", "x", b.node("Round", "x"))), 0.5, 8, 1),
}
CASES |= {
    "a root of an integer": lambda b: b.quant(
        b.node("Mul", b.quant("x", bits=3), b.node("Cast", b.node("Pow", _i(b, 4), _f(b, 0.5)), to=1)), bits=8
    ),
    "wrapped around": lambda b: b.node("Pad", b.quant("x"), _i(b, 0, 0, 1, 1, 0, 0, 1, 1), mode="wrap"),
    "padding with a double": lambda b: b.quant(
        b.node("Cast", b.node("Pad", b.node("Cast", "x", to=11), _i(b, 0, 0, 1, 1, 0, 0, 1, 1), _d(b, 3.2)), to=1),
        bits=8,
    ),
}
# The step of the layer's inputs, where it is not a half.
STEPS = {
    "codes of a Quant wider than its own": 0.25,
    "rounding up and down": 0.75,
    "a scale of the smallest numbers": 1e-44,
}
STEPS |= dict.fromkeys(("a cast that wraps", "a cast to half precision"), 1.0)


def inputs() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    flat = [np.full(SHAPE, v) for v in (0, 1, -1, 0.25, 0.75, -0.75, 1.75, 1e3, -1e3, 3e38, -3e38)]
    return flat + [rng.normal(0, 10.0**k, SHAPE) for k in (-1, 0, 1, 6)] + [rng.choice([-9e3, 0, 0.75], SHAPE)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES)
def test_nothing_leaves_what_is_certified(case: str, builder: Callable[..., Any]) -> None:
    b = builder(shape=SHAPE)
    read = CASES[case](b)
    b.node("Conv", read, b.weights(np.ones((2, 4, 1, 1))))
    [layer] = certify(b.save()).layers
    run, step = executor(b.model(read), read), np.float64(np.float32(STEPS.get(case, 0.5)))
    low = high = 0.0
    for x in inputs():
        codes = run(np.float32(x)).astype(np.float64) / step
        if np.isfinite(codes).all():
            low, high = min(low, float(codes.min())), max(high, float(codes.max()))
    assert layer.input_range.lower - 0.01 <= low <= high <= layer.input_range.upper + 0.01
    assert low < high or case in ("zero times infinite", "infinite less infinite")


def _quant(b: Any, x: Any, scale: Any) -> Any:
    attributes = {"signed": 0, "narrow": 0, "rounding_mode": "ROUND"}
    return b.node("Quant", x, scale, _f(b, 0), _f(b, 4), domain="qonnx.custom_op.general", **attributes)


def _limits(b: Any, low: float, high: float) -> Any:
    return b.node("Clip", "x", _f(b, low), _f(b, high))


def _thresholds(b: Any, x: Any, limits: Any) -> Any:
    settings = {"out_dtype": "INT3", "out_scale": 0.5, "out_bias": -1.5}
    return b.node("MultiThreshold", x, b.constant(limits), domain="qonnx.custom_op.general", **settings)


def _wrapped(b: Any) -> Any:
    both = b.node("Concat", b.quant("x", bits=2), b.quant("x", bits=6), axis=1)
    return b.node(
        "Slice", b.node("Pad", both, _i(b, 0, -4, 0, 0, 0, 4, 0, 0), mode="wrap"), *(_i(b, n) for n in (4, 8, 1))
    )


# What executors compute in another precision or in another order than is followed here.
OTHERWISE: dict[str, Build] = {
    "a scale between numbers of single precision": lambda b: _quant(b, _limits(b, 0, 0.25), _d(b, 0.1 - 1e-10)),
    "thresholds between numbers of single precision": lambda b: _thresholds(
        b, _limits(b, 2.5, 2.5), np.float64([[2.5000000001, 9]])
    ),
    "thresholds of large integers": lambda b: _thresholds(b, _limits(b, 2**24, 2**24), np.int64([[2**24 + 1, 2**30]])),
    "wrapped around and cropped": _wrapped,
}


@pytest.mark.parametrize("case", OTHERWISE)
def test_what_is_computed_otherwise_is_not_covered(case: str, builder: Callable[..., Any]) -> None:
    b = builder(shape=SHAPE)
    b.node("Conv", OTHERWISE[case](b), b.weights(np.ones((2, 4, 1, 1))))
    with pytest.raises(OnnxFileError, match="holds no quantized layer whose inputs are integers"):
        certify(b.save())


@pytest.mark.parametrize(
    ("weight", "scale"), [(np.float64(0.31250000001), np.float32(0.125)), (np.float16(0.3), np.float16(0.12))]
)
def test_weights_that_are_other_integers_in_their_precision(
    weight: Any, scale: Any, builder: Callable[..., Any]
) -> None:
    b = builder(shape=SHAPE)
    constant = b.constant(np.full((2, 4, 1, 1), weight, np.result_type(weight)))
    b.node("Conv", b.quant("x"), _quant(b, constant, b.constant(scale)))
    with pytest.raises(OnnxFileError, match="constants that are other integers in float"):
        certify(b.save())
