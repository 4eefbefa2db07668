"""The rules of the front end, one small file each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brevitas_a2q._ir.metadata import ACCUMULATOR_BIT_WIDTH
from brevitas_a2q.errors import OnnxFileError, RtlError
from brevitas_a2q.hw._devices import find_part
from brevitas_a2q.hw._estimation import estimate_graph
from brevitas_a2q.hw._frontend import read_graph
from brevitas_a2q.hw._ir import (
    AddStreams,
    ChannelwiseOp,
    Concat,
    DuplicateStreams,
    Island,
    LabelSelect,
    MaxPool,
    Mvau,
    SlidingWindow,
    Thresholding,
    Vvau,
)
from brevitas_a2q.rtl._build import build

Build = Callable[..., Any]
ONES = np.ones((3, 2, 1, 1))


def kinds(path: Path, **options: Any) -> list[type]:
    return [type(unit) for unit in read_graph(path, **options).units]


def column(*values: float) -> Any:
    return np.float32(values).reshape(1, -1, 1, 1)


def layer(b: Any, x: str, weights: Any = ONES, scale: float = 1.0, **attributes: Any) -> str:
    name: str = b.node("Conv", x, b.weights(weights, scale), **attributes)
    return name


def test_thresholds_are_fused_or_on_their_own(builder: Build) -> None:
    b = builder()
    b.quant(layer(b, b.quant("x")))
    path = b.save()
    assert kinds(path) == [Mvau]
    assert kinds(path, standalone_thresholds=True) == [Mvau, Thresholding]


@pytest.mark.parametrize("seed", range(4))
def test_thresholds_equal_the_function_for_every_integer(builder: Build, seed: int) -> None:
    """Counted thresholds against the float32 chain itself, over the whole range of sums."""
    rng = np.random.default_rng(seed)
    b = builder()
    weights = rng.integers(-7, 8, (3, 2, 1, 1))
    x = layer(b, b.quant("x", 0.37), weights, 0.113)
    norm = [b.constant(rng.uniform(-2, 2, 3).astype(np.float32)) for _ in range(3)]
    x = b.node("BatchNormalization", x, *norm, b.constant(rng.uniform(0.1, 2, 3).astype(np.float32)), epsilon=1e-5)
    b.quant(b.node("Relu", x), 0.21, 4, 0)
    (unit,) = read_graph(b.save()).units
    assert isinstance(unit, Mvau)
    gamma, beta, mean, variance = (np.frombuffer(c.raw_data, np.float32) for c in b.constants[-7:-3])
    slope = gamma * (1 / np.sqrt(variance + np.float32(1e-5)))
    offset = beta - mean * slope
    step = np.float64(np.float32(0.37)) * np.float64(np.float32(0.113))
    for channel in range(3):
        turned = -1 if (unit.weights[channel] == -weights[channel, :, 0, 0]).all() and slope[channel] < 0 else 1
        for v in range(unit.accumulator_range[0], unit.accumulator_range[1] + 1):
            y = np.maximum(np.float32(turned * v * step) * slope[channel] + offset[channel], 0)
            expected = int(np.round(np.clip(y / np.float32(0.21), 0, 15)))
            reached = (unit.thresholds[channel] <= v).sum()
            plus = np.maximum(unit.weights[channel], 0).sum() * 15
            minus = np.minimum(unit.weights[channel], 0).sum() * 15
            if minus <= v <= plus:
                assert reached == expected, (channel, v)


def test_a_negative_slope_turns_the_weights(builder: Build) -> None:
    b = builder()
    x = b.node("Mul", layer(b, b.quant("x")), b.constant(column(0.5, -0.5, 0.5)))
    b.quant(x, 0.5, 4, 1)
    (unit,) = read_graph(b.save()).units
    assert isinstance(unit, Mvau)
    assert unit.weights.tolist() == [[1, 1], [-1, -1], [1, 1]]
    assert unit.accumulator_range == (-30, 30)


def test_a_negative_slope_without_weights_in_front(builder: Build) -> None:
    b = builder()
    total = b.node("Add", b.quant("x", 0.5, 4, 1), b.quant("x", 0.5, 4, 1))
    x = b.quant(b.node("Mul", total, b.constant(column(1, -1))), 1.0, 4, 1)
    layer(b, x)
    graph = read_graph(b.save())
    assert [type(unit) for unit in graph.units[1:]] == [AddStreams, ChannelwiseOp, Thresholding, Mvau]
    sign = graph.units[2]
    assert isinstance(sign, ChannelwiseOp)
    assert sign.parameters is not None
    assert sign.parameters.tolist() == [1, -1]
    assert sign.output_type.name == "INT6"  # INT4 plus INT4 is INT5, of whose -16 INT6 holds the negative


def test_weights_without_a_negative_in_their_type_are_not_turned(builder: Build) -> None:
    b = builder()
    x = b.node("Conv", b.quant("x"), b.weights(np.full((3, 2, 1, 1), -8), narrow=0))
    b.quant(b.node("Mul", x, b.constant(np.float32(-1))), 1.0, 4, 1)
    assert kinds(b.save()) == [Mvau, ChannelwiseOp, Thresholding]


@pytest.mark.parametrize(("trained", "noted"), [("4", True), ("5", False)])
def test_a_turned_channel_that_no_longer_fits_is_noted(builder: Build, trained: str, noted: bool) -> None:
    b = builder()
    weights = np.array([-7, -1]).reshape(1, 2, 1, 1)  # -8 fits 4 bits, 8 does not
    x = b.node("Conv", b.quant("x", 1.0, 1), b.weights(weights), properties={ACCUMULATOR_BIT_WIDTH: trained})
    b.quant(b.node("Mul", x, b.constant(np.float32(-1))), 1.0, 4, 1)
    graph = read_graph(b.save())
    (unit,) = graph.units
    assert isinstance(unit, Mvau)
    assert unit.trained_accumulator_bit_width == int(trained)
    assert unit.accumulator_range == (0, 8)
    assert [f"fit {trained} bits" in note for note in graph.notes] == ([True] if noted else [])


def test_windows(builder: Build) -> None:
    for kernel, stride, expected in ((1, 1, []), (1, 2, ["DownSampler"]), (2, 1, ["SlidingWindow"])):
        b = builder()
        layer(b, b.quant("x"), np.ones((3, 2, kernel, kernel)), strides=[stride, stride])
        assert [unit.kind for unit in read_graph(b.save()).units] == [*expected, "MVAU"]


def test_depthwise_layers(builder: Build) -> None:
    b = builder()
    layer(b, b.quant("x"), np.ones((2, 1, 3, 3)), group=2, pads=[1, 1, 1, 1])
    graph = read_graph(b.save())
    assert [unit.kind for unit in graph.units] == ["Padding", "SlidingWindow", "VVAU"]
    assert isinstance(graph.units[1], SlidingWindow)
    assert graph.units[1].depthwise
    assert isinstance(graph.units[2], Vvau)
    assert graph.units[2].output_dim == (4, 4)


def test_forks(builder: Build) -> None:
    b = builder()
    x = b.quant("x", 1.0, 4, 0)
    outputs = [layer(b, x), layer(b, x)]
    graph = read_graph(b.save(*outputs))
    assert [type(unit) for unit in graph.units] == [DuplicateStreams, Mvau, Mvau]
    assert graph.units[0].inputs == ("",)
    same = builder()
    q = same.quant(layer(same, same.quant("x")))
    same.node("Add", q, q)
    assert kinds(same.save()) == [Mvau, DuplicateStreams, AddStreams]


def test_sums_read_twice_keep_their_thresholds_apart(builder: Build) -> None:
    b = builder()
    total = layer(b, b.quant("x"))
    outputs = [b.quant(total, 1.0), b.quant(total, 2.0)]
    assert kinds(b.save(*outputs)) == [Mvau, DuplicateStreams, Thresholding, Thresholding]


def test_bipolar_activations(builder: Build) -> None:
    b = builder()
    x = b.node("BipolarQuant", layer(b, b.quant("x")), b.constant(np.float32(0.5)), domain="qonnx.custom_op.general")
    layer(b, x, np.ones((2, 3, 1, 1)))
    graph = read_graph(b.save())
    first = graph.units[0]
    assert isinstance(first, Mvau)
    assert first.thresholds is not None
    assert (first.output_type.name, first.thresholds.shape, first.activation_bias) == ("BIPOLAR", (3, 1), 0)
    assert graph.units[1].input_type.name == "BIPOLAR"


def test_pools_wait_for_the_thresholds(builder: Build) -> None:
    b = builder()
    x = b.node("Mul", layer(b, b.quant("x")), b.constant(np.float32(0.3)))
    b.quant(b.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]), 0.25)
    graph = read_graph(b.save())
    assert [type(unit) for unit in graph.units] == [Mvau, MaxPool]
    assert graph.units[1].input_type.name == "UINT4"


def test_pools_of_channels_that_fall_or_stay(builder: Build) -> None:
    """A maximum of falling values is taken behind the thresholds, where they rise; of constant ones, anywhere."""
    b = builder()
    x = b.node("Mul", layer(b, b.quant("x")), b.constant(column(0.3, -0.3, -0.3)))
    x = b.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    b.quant(b.node("Add", x, b.constant(column(0, 4, -1))), 0.25)
    graph = read_graph(b.save())
    assert [type(unit) for unit in graph.units] == [Mvau, MaxPool]
    mvau = graph.units[0]
    assert isinstance(mvau, Mvau)
    assert mvau.weights[:, 0].tolist() == [1, -1, 1]  # the last channel is always 0


def test_a_relu_between_integers(builder: Build) -> None:
    b = builder()
    signed = b.quant(layer(b, b.quant("x")), 1.0, 4, 1)
    layer(b, b.node("Relu", signed), np.ones((2, 3, 1, 1)))
    graph = read_graph(b.save())
    assert [type(unit) for unit in graph.units] == [Mvau, Thresholding, Mvau]
    relu = graph.units[1]
    assert isinstance(relu, Thresholding)
    assert relu.output_type.name == "UINT3"
    assert relu.thresholds[0].tolist() == list(range(1, 8))


def test_labels(builder: Build) -> None:
    b = builder(shape=(1, 4))
    x = b.node("MatMul", b.quant("x"), b.weights(np.ones((4, 3))))
    b.node("TopK", x, b.constant(np.int64([2])), axis=-1, outputs=2)
    path = b.save(b.nodes[-1].output[1])
    graph = read_graph(path)
    assert [type(unit) for unit in graph.units] == [Mvau, LabelSelect]
    assert isinstance(graph.units[1], LabelSelect)
    assert (graph.units[1].labels, graph.units[1].k) == (3, 2)


def test_channels_of_different_scales_are_joined_before_thresholds(builder: Build) -> None:
    b = builder()
    x = b.quant("x")
    both = b.node("Concat", b.quant(layer(b, x), 0.5), b.quant(layer(b, x), 0.25, 5, 1), axis=1)
    layer(b, b.quant(both, 0.5, 4, 1), np.ones((2, 6, 1, 1)))
    graph = read_graph(b.save())
    assert [type(unit) for unit in graph.units] == [DuplicateStreams, Mvau, Mvau, Concat, Thresholding, Mvau]
    join, thresholds = graph.units[3:5]
    assert isinstance(join, Concat)
    assert isinstance(thresholds, Thresholding)
    assert (join.input_channels, join.output_type.name) == ((3, 3), "INT5")
    assert thresholds.thresholds[0, 8:11].tolist() == [1, 2, 3]
    assert thresholds.thresholds[3, 8:11].tolist() == [2, 3, 6]  # 0.25 * 3 is 1.5 steps, which rounds to 2


def sum_of(b: Any, op: str, first: float, second: float) -> Any:
    x = b.quant("x", 1.0)
    total = b.node(op, b.quant(layer(b, x), first), b.quant(layer(b, x), second, 5))
    layer(b, b.quant(total), np.ones((2, 3, 1, 1)))
    return read_graph(b.save())


@pytest.mark.parametrize(
    ("op", "first", "second", "factors", "total"),
    [
        ("Add", 0.5, 0.25, (2, 1), "UINT6"),
        ("Add", 0.75, 0.5, (3, 2), "UINT7"),
        ("Add", 2.0**-10, 2.0**-2, (1, 256), "UINT13"),
        ("Sub", 0.5, 0.5, (1, -1), "INT6"),
        ("Sub", 0.25, 0.5, (1, -2), "INT7"),
    ],
)
def test_streams_of_commensurable_scales_are_added_exactly(
    builder: Build, op: str, first: float, second: float, factors: tuple[int, int], total: str
) -> None:
    graph = sum_of(builder(), op, first, second)
    (adder,) = (unit for unit in graph.units if isinstance(unit, AddStreams))
    assert adder.output_type.name == total
    assert graph.warnings == ()
    for name, factor in zip(adder.inputs, factors, strict=True):
        unit = graph[name]
        assert isinstance(unit, Mvau if factor == 1 else ChannelwiseOp)
        if isinstance(unit, ChannelwiseOp):
            assert unit.parameters is not None
            assert unit.parameters.tolist() == [factor] * 3


def test_streams_of_other_scales_are_added_in_fixed_point_with_a_warning(builder: Build) -> None:
    graph = sum_of(builder(), "Add", 0.5, 0.3)
    assert len(graph.warnings) == 1
    assert "fixed point" in graph.warnings[0]
    assert graph.warnings[0].split(":")[0] in {node for unit in graph.units for node in unit.source}
    estimate = estimate_graph(graph, find_part("xczu7ev"))
    assert estimate.warnings == graph.warnings
    assert all(row.resources.lut > 0 for row in estimate.rows)


def test_scales_per_channel_are_aligned_per_channel(builder: Build) -> None:
    b = builder()
    x = b.quant("x", 1.0)
    sums = b.node("Conv", x, b.weights(ONES, np.float32([0.5, 1.0, 4.0]).reshape(3, 1, 1, 1)))
    layer(b, b.quant(b.node("Add", sums, b.quant(layer(b, x), 0.5))), np.ones((2, 3, 1, 1)))
    graph = read_graph(b.save())
    (unit,) = (unit for unit in graph.units if isinstance(unit, ChannelwiseOp))
    assert unit.parameters is not None
    assert unit.parameters.tolist() == [1, 2, 8]


def sums_too_wide_to_align(b: Any) -> None:
    wide = np.full((3, 2, 1, 1), 2**23)
    x = b.quant("x", 1.0, 16)
    sums = [b.node("Conv", x, b.weights(wide, scale, 25)) for scale in (0.5, 0.3)]
    layer(b, b.quant(b.node("Add", *sums)), np.ones((2, 3, 1, 1)))


def unquantized_sum(b: Any) -> None:
    x = b.quant("x", 1.0)
    y = b.node("Add", layer(b, x), b.constant(column(0.1, 0.2, 0.3)))
    layer(b, b.quant(b.node("Add", y, b.quant(layer(b, x)))), np.ones((2, 3, 1, 1)))


def no_unit(b: Any) -> None:
    b.quant(b.node("Softmax", layer(b, b.quant("x"))))


def second_quantizer(b: Any) -> None:
    b.node("Add", layer(b, b.quant("x", 0.5)), layer(b, b.quant("x", 0.25)))


def per_pixel(b: Any) -> None:
    b.quant(b.node("Mul", layer(b, b.quant("x")), b.constant(np.ones((1, 3, 4, 4), np.float32) + np.eye(4, dtype="f"))))


def edges(b: Any) -> None:
    layer(b, b.node("Pad", b.quant("x"), b.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1])), mode="edge"))


def signed_padding(b: Any) -> None:
    x = b.quant(layer(b, b.quant("x"), -ONES), 1.0, 4, 1)
    x = b.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    layer(b, x, np.ones((2, 3, 1, 1)))


def pool_of_what_falls(b: Any) -> None:
    x = b.node("Mul", layer(b, b.quant("x")), b.constant(np.float32(0.5)))
    x = b.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    b.quant(b.node("Mul", x, b.constant(np.float32(-1))), 1.0, 4, 1)


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (sums_too_wide_to_align, "62 bits"),
        (unquantized_sum, "real values"),
        (no_unit, "no place in an accelerator"),
        (edges, "(padding with other than zeros)"),
        (second_quantizer, "second time"),
        (per_pixel, "per channel"),
        (signed_padding, "can be negative"),
        (pool_of_what_falls, "below zero"),
    ],
)
def test_what_has_no_place_is_refused_by_name(builder: Build, make: Callable[[Any], None], found: str) -> None:
    b = builder()
    make(b)
    with pytest.raises(OnnxFileError, match=r"node n\d+ \(\w+\): .*expected") as caught:
        read_graph(b.save())
    assert found in str(caught.value)


def test_a_function_that_falls_and_rises_is_priced_by_its_steps(builder: Build) -> None:
    """x * sigmoid(x), and a quantizer: as many comparisons as its integers have steps, up and down."""
    b = builder()
    sums = layer(b, b.quant("x", 0.5, 4, 1), scale=0.5)
    b.quant(b.node("Mul", sums, b.node("Sigmoid", sums)), 0.125, 4, 1)
    graph = read_graph(b.save())
    island = graph.units[-1]
    assert isinstance(island, Island)
    assert island.stand_in is not None
    x = np.arange(2 * -8, 2 * 7 + 1, dtype=np.float32) * np.float32(0.25)
    steps = np.diff(np.clip(np.round(x / (1 + np.exp(-x)) / 0.125), -8, 7))
    assert steps.min() < 0
    assert island.stand_in.thresholds.shape[1] == int(np.abs(steps).sum())
    assert "no unit" in graph.warnings[0]
    assert estimate_graph(graph, find_part("ZCU104")).total.lut > 0


def test_a_normalisation_has_a_place_and_no_price(builder: Build, tmp_path: Path) -> None:
    b = builder()
    sums = layer(b, b.quant("x"))
    norm = b.node(
        "InstanceNormalization", sums, b.constant(np.ones(3, np.float32)), b.constant(np.zeros(3, np.float32))
    )
    layer(b, b.quant(norm, 0.125, 4, 1), np.ones((2, 3, 1, 1)))
    path = b.save()
    graph = read_graph(path)
    assert [type(unit) for unit in graph.units] == [Mvau, Island, Mvau]
    assert "real arithmetic without a unit" in graph.warnings[0]
    assert "its cost is not" in graph.warnings[0]
    with pytest.raises(RtlError, match="found a unit of kind Island"):
        build(path, tmp_path / "out", part="ZCU104")
