"""A fixed slice of ``benchmarks/adversary.py files``, and what longer runs of it have found, by name."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))


def attack(seed: int, **options: Any) -> dict[str, Any]:
    from benchmarks.adversary.files.attack import attack

    return attack(seed, **options)


@pytest.mark.filterwarnings("ignore")
def test_no_execution_leaves_its_certificate() -> None:
    verdicts = [attack(seed, node_by_node=seed == 3) for seed in range(100)]
    outcomes = Counter(verdict["outcome"] for verdict in verdicts)
    assert [v["detail"] for v in verdicts if v["outcome"] in ("VIOLATION", "CRASH")] == []
    assert outcomes["certified"] > 85
    assert outcomes["refused"] <= 2  # of what can be executed
    assert sum(verdict["covered"] for verdict in verdicts) > 120
    reached = [verdict["tightest"] for verdict in verdicts if verdict["outcome"] == "certified"]
    assert sum(share >= 1 for share in reached) > len(reached) / 2  # the ends are not just far away


def where_of_float_values(g: Any, x: Any) -> Any:
    """Where's result is of the type of what it chooses, not of its condition."""
    return g.op("Where", g.op("Greater", x, g.f32(0.5)), x, g.op("Neg", x))


def negated(g: Any, x: Any) -> Any:
    """A negative scale leaves open which sign the integers have."""
    return g.op("Neg", x)


def difference(g: Any, x: Any) -> Any:
    """The difference of two streams, one of them reversed."""
    return g.op("Sub", x, g.op("Slice", x, g.i64([1]), g.i64([-3]), g.i64([1]), g.i64([-1])))


def root_of_negative_numbers(g: Any, x: Any) -> Any:
    """NaN, of which BipolarQuant makes -1."""
    return g.op("BipolarQuant", g.op("Sqrt", g.op("Clip", x, g.f32(-6.0), g.f32(-5.0))), g.f32(0.25), domain=QONNX)


def thresholds_of_nan(g: Any, x: Any) -> Any:
    """NaN is above no threshold, although a limited number of no sign would be above one."""
    nothing = g.op("Clip", g.op("Log", g.op("Sub", x, g.f32(20.0))), g.f32(3.0), g.f32(6.0))
    limits = g.f32([[1.0, 2.0]])
    return g.op(
        "MultiThreshold", nothing, limits, domain=QONNX, out_dtype="UINT2", out_scale=0.25, out_bias=0.0, doc_string="4"
    )


def sign_of_nan_below_zero(g: Any, x: Any) -> Any:
    """NaN is not below zero: an executor that asks that makes 1 of it, although all numbers are negative."""
    root = g.op("Sqrt", g.op("Clip", x, g.f32(-6.0), g.f32(-5.0)))
    return g.op("BipolarQuant", g.op("Clip", root, g.f32(-2.5), g.f32(-1.5)), g.f32(0.25), domain=QONNX)


def thresholds_above_all_but_nan(g: Any, x: Any) -> Any:
    """NaN is not below a threshold either."""
    nothing = g.op("Clip", g.op("Sqrt", g.op("Clip", x, g.f32(-6.0), g.f32(-5.0))), g.f32(-2.5), g.f32(-1.5))
    limits = g.f32([[2.0, 3.0]])
    return g.op(
        "MultiThreshold", nothing, limits, domain=QONNX, out_dtype="UINT2", out_scale=0.25, out_bias=0.0, doc_string="4"
    )


def infinity_interpolated(g: Any, x: Any) -> Any:
    """A weight of zero times infinity."""
    far = g.op("Mul", g.op("Add", x, g.f32(3e38)), g.f32(1e30))
    wide = g.op("Resize", far, "", g.f32([1, 1, 1, 2.5]), mode="linear", coordinate_transformation_mode="half_pixel")
    return g.op("BipolarQuant", wide, g.f32(0.25), domain=QONNX)


QONNX = "qonnx.custom_op.general"
FOUND = (
    where_of_float_values,
    negated,
    difference,
    root_of_negative_numbers,
    thresholds_of_nan,
    sign_of_nan_below_zero,
    thresholds_above_all_but_nan,
    infinity_interpolated,
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("biased", [False, True], ids=["", "with a bias"])
@pytest.mark.parametrize("operation", FOUND, ids=lambda f: f.__name__)
def test_what_was_found(operation: Any, biased: bool) -> None:
    from benchmarks.adversary.files.attack import judged
    from benchmarks.adversary.files.generate import Case
    from benchmarks.adversary.files.graph import Graph, Layer, Stream

    case = Case(0)
    case.graph = g = Graph(np.random.default_rng(0), 13, (1, 2, 3, 4))
    name = operation(g, g.quant("x", np.float32(0.25), np.float32(0), 4, 1, 0, "ROUND"))
    stream = Stream(name, g.shape, np.float32(0.25))
    weights = np.array([[3, -2], [1, 1], [-3, -3]]).reshape(3, 2, 1, 1)
    bias = np.array([2.0, -5.0, 0.0])
    quantized = g.quant(g.f32(weights * 0.5), np.float32(0.5), 0.0, 4.0, 1, 0, "ROUND")
    attributes = {"group": 1, "strides": [1, 1], "pads": [0, 0, 0, 0], "dilations": [1, 1]}
    out = g.op("Conv", name, quantized, *([g.f32(bias * 0.125)] if biased else []), **attributes)
    g.layers.append(Layer(g.nodes[-1].name, "Conv", stream, weights, attributes, bias if biased else None))
    case.outputs = [Stream(out, (1, 3, 3, 4))]
    verdict = judged(case, node_by_node=True)
    assert verdict["outcome"] == "certified", verdict["detail"]
    assert verdict["covered"] == 1
    assert verdict["inputs"] > 100
