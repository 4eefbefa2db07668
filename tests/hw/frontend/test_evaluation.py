"""Dataflow graphs compute the very integers that the QONNX executor computes, unit by unit."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracle_data import ORACLE

from brevitas_a2q import _ir as ir
from brevitas_a2q._ir.layers import DOT_PRODUCTS
from brevitas_a2q._ir.network import Network
from brevitas_a2q.hw._frontend import build_graph
from brevitas_a2q.hw._ir import (
    ChannelwiseOp,
    Concat,
    DepthToSpace,
    GlobalAccPool,
    Graph,
    MulStreams,
    Mvau,
    PixelPadding,
    Pool,
    SelectChannels,
    Thresholding,
    Vvau,
)

NETWORKS = ["ResNet18", "MobileNetV2", "Residual", "UNet", "Espcn", "NearestUpsampler", "Shuffled", "Speech", "Zoo"]
MODELS = ["cnv_w4a4", "mobilenet_w4a4_a2q12", "resnet_w4a4", "tfc_w4a4"]


def executed(path: Path, network: Network, x: np.ndarray) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # qonnx's, about its own imports
        from qonnx.core.modelwrapper import ModelWrapper
        from qonnx.core.onnx_exec import execute_onnx
        from qonnx.transformation.infer_shapes import InferShapes
    model = ModelWrapper(str(path)).transform(InferShapes())
    context: dict[str, Any] = execute_onnx(model, {network.inputs[0]: x}, return_full_exec_context=True)
    return context


def codes(network: Network, tensor: str, values: np.ndarray) -> np.ndarray:
    found = network.tensors[tensor].codes
    assert found is not None
    integers = values[0] / np.broadcast_to(found.scale, values.shape)[0]
    assert np.abs(integers - np.round(integers)).max() < 0.1  # float32 sums of the executor, far from the next integer
    return np.round(integers).astype(np.int64)


def within_ranges(network: Network, context: dict[str, Any]) -> int:
    """Check every tensor of the executor against the range that analysis gave it; the number of tensors."""
    count = 0
    for name, tensor in network.tensors.items():
        if tensor.codes is None or tensor.value is not None or context.get(name) is None:
            continue
        values = codes(network, name, context[name])
        lo, hi = (np.broadcast_to(end, tensor.shape)[0] for end in (tensor.codes.lo, tensor.codes.hi))
        assert (lo <= values).all(), name
        assert (values <= hi).all(), name
        count += 1
    return count


def compared(
    path: Path, network: Network, graph: Graph, run: Callable[..., Any], as_images: Callable[..., Any], seed: int
) -> int:
    """Compare every unit that ends in a quantizer, and every matrix unit that does not; the number of integers."""
    shape = network.tensors[network.inputs[0]].shape
    x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    context = executed(path, network, x)
    first = network.nodes[0]
    assert within_ranges(network, context) >= 4
    outputs = run(graph, as_images(codes(network, first.output, context[first.output])))
    nodes = {node.name: node for node in network.nodes}
    count = 0
    for unit in graph.units:
        node = nodes[unit.source[-1]]
        expected = context.get(node.output)
        if network.tensors[node.output].codes is None or unit.kind not in (
            "MVAU",
            "VVAU",
            "Thresholding",
            "AddStreams",
        ):
            continue
        if node.op in DOT_PRODUCTS and expected is None:
            continue  # a bias of its own follows: the file has no tensor of the bare sums
        desired, found = as_images(codes(network, node.output, expected)), outputs[unit.name]
        if found.shape != desired.shape:  # a pool that the file has in front of the quantizer is built behind it
            found = next(outputs[reader.name] for reader in graph.units if unit.name in reader.inputs)
        if node.op in DOT_PRODUCTS:  # bare sums: mirrored in the channels whose function falls
            desired = desired * np.where((found == desired).all(axis=(0, 1)), 1, -1)
        np.testing.assert_array_equal(found, desired, unit.name)
        count += outputs[unit.name].size
    return count


@pytest.mark.parametrize("standalone", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_plain_brevitas(
    name: str, standalone: bool, exported: Callable[..., Path], run: Any, as_images: Any
) -> None:
    path = exported(name)
    network = ir.read(path)
    graph = build_graph(network, standalone_thresholds=standalone)
    assert compared(path, network, graph, run, as_images, seed=int(standalone)) > 50


@pytest.mark.parametrize("model", MODELS)
def test_reference_networks(model: str, run: Any, as_images: Any) -> None:
    path = ORACLE / f"models/{model}.onnx"
    network = ir.read(path)
    assert compared(path, network, build_graph(network), run, as_images, 0) > 100


def test_scales_without_a_common_step_are_aligned_in_fixed_point_and_the_graph_warns(
    exported: Callable[..., Path], run: Any, as_images: Any
) -> None:
    path = exported("UnalignedResidual")
    network = ir.read(path)
    graph = build_graph(network)
    nodes = {node.name: node for node in network.nodes}
    assert [nodes[warning.split(":")[0]].op for warning in graph.warnings] == ["Add", "Sub"]
    assert all("fixed point" in warning for warning in graph.warnings)
    x = np.random.default_rng(0).standard_normal(network.tensors[network.inputs[0]].shape).astype(np.float32)
    context = executed(path, network, x)
    first = network.nodes[0].output
    outputs = run(graph, as_images(codes(network, first, context[first])))
    (unit,) = (unit for unit in graph.units if isinstance(unit, Thresholding) and nodes[unit.inputs[0]].op == "Sub")
    quantized = nodes[unit.source[-1]].output
    off = np.abs(outputs[unit.name] - as_images(codes(network, quantized, context[quantized])))
    assert off.max() <= 1
    assert (off > 0).mean() < 0.1


def kinds(graph: Graph) -> set[type]:
    return {type(unit) for unit in graph.units}


@pytest.mark.torch28
def test_both_exporters_of_brevitas_give_the_same_units(exported: Callable[..., Path]) -> None:
    graphs = [build_graph(ir.read(exported("UNet", dynamo=dynamo))) for dynamo in (False, True)]
    assert [type(unit) for unit in graphs[0].units] == [type(unit) for unit in graphs[1].units]
    for one, other in zip(graphs[0].units, graphs[1].units, strict=True):
        if isinstance(one, Mvau):
            assert (one.weights == other.weights).all()
            assert (one.thresholds is None) == (other.thresholds is None)
            assert one.thresholds is None or (one.thresholds == other.thresholds).all()


def test_every_network_has_the_units_it_is_there_for(exported: Callable[..., Path]) -> None:
    def of(name: str) -> set[type]:
        return kinds(build_graph(ir.read(exported(name))))

    assert {Pool, GlobalAccPool} <= of("ResNet18")
    assert {Vvau, Pool} <= of("MobileNetV2")
    assert {PixelPadding, Concat} <= of("UNet")
    assert DepthToSpace in of("Espcn")
    assert {MulStreams, SelectChannels} <= of("Shuffled")
    assert ChannelwiseOp not in of("ResNet18")
