"""Networks exported by plain Brevitas, and an interpreter for dataflow graphs."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from brevitas_a2q.hw._ir import (
    AddStreams,
    ChannelwiseOp,
    Concat,
    DepthToSpace,
    DownSampler,
    DuplicateStreams,
    GlobalAccPool,
    Graph,
    LabelSelect,
    MaxPool,
    MulStreams,
    Mvau,
    Padding,
    PixelPadding,
    Pool,
    SelectChannels,
    SlidingWindow,
    Thresholding,
    Unit,
    Upsample,
    Vvau,
)

sys.path.insert(0, str(Path(__file__).parent))
from dataflow_networks import NETWORKS


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Path of a calibrated network of :data:`NETWORKS`, some of its batch norms' slopes negative."""
    folder, paths = tmp_path_factory.mktemp("networks"), dict[str, Path]()

    def export(name: str, *, dynamo: bool = False) -> Path:
        key = f"{name}-{dynamo}"
        if key not in paths:
            torch.manual_seed(1)
            net = NETWORKS[name]()
            net.train()
            for _ in range(3):
                net(torch.randn(4, *net.shape))
            for module in net.modules():
                if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                    nn.init.uniform_(module.weight, 0.5, 1.5)
                    module.weight.data[::3] *= -1
                    nn.init.uniform_(module.bias, -0.5, 0.5)
            net.eval()
            paths[key] = folder / f"{key}.onnx"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Brevitas' and torch's, about themselves
                from brevitas.export import export_qonnx

                export_qonnx(net, torch.randn(1, *net.shape), export_path=str(paths[key]), dynamo=dynamo)
        return paths[key]

    return export


def images(x: np.ndarray) -> np.ndarray:
    """(channels, height[, width]) or (channels,) to (height, width, channels)."""
    return np.moveaxis(x.reshape(*x.shape, *(1,) * (3 - x.ndim)), 0, -1)


@pytest.fixture(scope="session")
def run() -> Callable[[Graph, np.ndarray], dict[str, np.ndarray]]:
    """Executes a graph on integers: every unit's output, as (height, width, channels)."""

    def execute(graph: Graph, x: np.ndarray) -> dict[str, np.ndarray]:
        values = {"": x}
        for unit in graph.units:
            values[unit.name] = STEPS[type(unit)](unit, *(values[name] for name in unit.inputs))
            output = values[unit.name]
            assert output.shape[-1] == unit.channels or isinstance(unit, SlidingWindow | LabelSelect), unit.name
            assert output.shape[0] * output.shape[1] == unit.pixels, unit.name
            assert output.min() >= unit.output_type.range.lo, unit.name
            assert output.max() <= unit.output_type.range.hi, unit.name
        return values

    return execute


def thresholded(unit: Any, sums: np.ndarray) -> np.ndarray:
    if unit.thresholds is None:
        return sums
    count = (sums[..., None] >= unit.thresholds).sum(axis=-1)
    return 2 * count - 1 if unit.output_type.name == "BIPOLAR" else count + unit.activation_bias


def windows(unit: SlidingWindow, x: np.ndarray) -> np.ndarray:
    (kh, kw), (sh, sw), (dh, dw), (oh, ow) = unit.kernel, unit.stride, unit.dilation, unit.output_dim
    assert x.shape[:2] == unit.input_dim
    taps = [
        x[i * dh : i * dh + (oh - 1) * sh + 1 : sh, j * dw : j * dw + (ow - 1) * sw + 1 : sw]
        for i in range(kh)
        for j in range(kw)
    ]
    return np.stack(taps, axis=2)  # (oh, ow, taps, channels)


def mvau(unit: Mvau, x: np.ndarray) -> np.ndarray:
    if x.ndim == 3 and x.shape[-1] != unit.matrix_width * unit.groups:
        x = x.reshape(1, 1, -1)  # a flattened image
    taps = x if x.ndim == 4 else x[:, :, None]
    grouped = np.stack(np.split(taps, unit.groups, axis=-1))  # (groups, h, w, taps, channels / groups)
    vectors = grouped.reshape(*grouped.shape[:3], -1)
    rows = unit.weights.reshape(unit.groups, -1, unit.matrix_width)
    sums = np.concatenate([v @ r.T for v, r in zip(vectors, rows, strict=True)], axis=-1)
    assert unit.accumulator_range[0] <= sums.min() <= sums.max() <= unit.accumulator_range[1]
    assert unit.analysed_range[0] <= sums.min() <= sums.max() <= unit.analysed_range[1]
    return thresholded(unit, sums)


def vvau(unit: Vvau, x: np.ndarray) -> np.ndarray:
    taps = x if x.ndim == 4 else x[:, :, None]
    return thresholded(unit, np.einsum("hwtc,ct->hwc", taps, unit.weights))


def pixel_padding(unit: PixelPadding, x: np.ndarray) -> np.ndarray:
    (h, w), (sh, sw) = unit.input_dim, unit.stride
    spread = np.zeros(((h - 1) * sh + 1, (w - 1) * sw + 1, x.shape[-1]), np.int64)
    spread[::sh, ::sw] = x
    return spread


def max_pool(unit: MaxPool, x: np.ndarray) -> np.ndarray:
    (h, w), (kh, kw) = unit.input_dim, unit.kernel
    return x.reshape(h // kh, kh, w // kw, kw, -1).max(axis=(1, 3))


def depth_to_space(unit: DepthToSpace, x: np.ndarray) -> np.ndarray:
    (h, w), b = unit.input_dim, unit.block_size
    return x.reshape(h, w, -1, b, b).transpose(0, 3, 1, 4, 2).reshape(h * b, w * b, -1)


STEPS: dict[type[Unit], Callable[..., np.ndarray]] = {
    AddStreams: lambda u, a, b: a + b,
    ChannelwiseOp: lambda u, x: x * u.parameters,
    Concat: lambda u, *xs: np.concatenate(xs, axis=-1),
    DepthToSpace: depth_to_space,
    DownSampler: lambda u, x: x[:: u.stride[0], :: u.stride[1]],
    DuplicateStreams: lambda u, x: x,
    GlobalAccPool: lambda u, x: x.sum(axis=(0, 1), keepdims=True),
    LabelSelect: lambda u, x: np.argsort(-x, axis=-1, kind="stable")[..., : u.k],
    MaxPool: max_pool,
    MulStreams: lambda u, a, b: a * b,
    Mvau: mvau,
    Padding: lambda u, x: np.pad(x, ((u.pads[0], u.pads[2]), (u.pads[1], u.pads[3]), (0, 0))),
    PixelPadding: pixel_padding,
    Pool: lambda u, x: x.max(axis=2) if u.function == "max" else x.sum(axis=2),
    SelectChannels: lambda u, x: x[..., list(u.selected)],
    SlidingWindow: windows,
    Thresholding: thresholded,
    Upsample: lambda u, x: x.repeat(u.scale[0], axis=0).repeat(u.scale[1], axis=1),
    Vvau: vvau,
}


@pytest.fixture(scope="session")
def as_images() -> Callable[[np.ndarray], np.ndarray]:
    """See :func:`images`."""
    return images
