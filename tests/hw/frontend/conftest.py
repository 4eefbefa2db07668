"""Networks of the shapes people build, exported by plain Brevitas, and an interpreter for dataflow graphs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from brevitas.quant import (
    Int8ActPerTensorFixedPoint,
    Int8ActPerTensorFloat,
    Int8WeightPerTensorFloat,
    Int32Bias,
    ShiftedUint8ActPerTensorFloat,
    ShiftedUint8WeightPerTensorFloat,
    SignedBinaryActPerTensorConst,
    Uint8ActPerTensorFloat,
)
from torch import Tensor, nn

from brevitas_a2q.hw.ir import (
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
    Mvau,
    Padding,
    PixelPadding,
    Pool,
    SlidingWindow,
    Thresholding,
    Unit,
    Upsample,
    Vvau,
)

WEIGHTS: dict[str, Any] = {"weight_bit_width": 4, "bias": False}


def relu() -> nn.Module:
    return qnn.QuantReLU(bit_width=4, return_quant_tensor=True)


def signed(bits: int = 4) -> nn.Module:
    return qnn.QuantIdentity(act_quant=Int8ActPerTensorFloat, bit_width=bits, return_quant_tensor=True)


def conv_bn(inputs: int, outputs: int, kernel: int, **options: Any) -> list[nn.Module]:
    return [qnn.QuantConv2d(inputs, outputs, kernel, **WEIGHTS, **options), nn.BatchNorm2d(outputs)]


class BasicBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *conv_bn(inputs, outputs, 3, stride=stride, padding=1), relu(), *conv_bn(outputs, outputs, 3, padding=1)
        )
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Sequential() if same else nn.Sequential(*conv_bn(inputs, outputs, 1, stride=stride))
        self.shared, self.relu = signed(5), relu()

    def forward(self, x: Any) -> Any:
        return self.relu(self.shared(self.body(x)) + self.shared(self.shortcut(x)))


class ResNet18(nn.Module):
    """ResNet18 with narrow layers: 7x7 stem at stride 2, overlapping max pool, four stages, global average."""

    shape = (3, 32, 32)

    def __init__(self) -> None:
        super().__init__()
        widths = (4, 6, 8, 10)
        blocks: list[nn.Module] = []
        for stage, width in enumerate(widths):
            before = widths[max(0, stage - 1)]
            blocks += [BasicBlock(before, width, 1 if stage == 0 else 2), BasicBlock(width, width, 1)]
        self.body = nn.Sequential(
            signed(8), *conv_bn(3, 4, 7, stride=2, padding=3), relu(), nn.MaxPool2d(3, 2, 1), *blocks
        )
        self.pool, self.requant = nn.AdaptiveAvgPool2d(1), signed(6)
        self.fc = qnn.QuantLinear(10, 5, weight_bit_width=4, bias=True)

    def forward(self, x: Tensor) -> Any:
        return self.fc(torch.flatten(self.requant(self.pool(self.body(x))), 1))


class InvertedResidual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, shared: nn.Module) -> None:
        super().__init__()
        self.shared, self.residual = shared, stride == 1 and inputs == outputs
        self.body = nn.Sequential(
            *conv_bn(inputs, 2 * inputs, 1),
            relu(),
            *conv_bn(2 * inputs, 2 * inputs, 3, stride=stride, padding=1, groups=2 * inputs),
            relu(),
            *conv_bn(2 * inputs, outputs, 1),
            shared,
        )

    def forward(self, x: Any) -> Any:
        return self.shared(x + self.body(x)) if self.residual else self.body(x)


class MobileNetV2(nn.Module):
    """Inverted residuals with signed linear bottlenecks, all of one shared scale."""

    shape = (3, 16, 16)

    def __init__(self) -> None:
        super().__init__()
        shared = signed(5)
        self.body = nn.Sequential(
            signed(8),
            *conv_bn(3, 4, 3, stride=2, padding=1),
            shared,
            InvertedResidual(4, 4, 1, shared),
            InvertedResidual(4, 6, 2, shared),
            InvertedResidual(6, 6, 1, shared),
            *conv_bn(6, 8, 1),
            relu(),
            nn.AvgPool2d(2, 2),
            relu(),
            nn.Flatten(),
            qnn.QuantLinear(32, 5, **WEIGHTS),
        )

    def forward(self, x: Tensor) -> Any:
        return self.body(x)


class Residual(nn.Module):
    """A sum and a difference of streams with quantizers, and so scales, of their own: powers of two apart."""

    shape = (3, 8, 8)
    act_quant: Any = Int8ActPerTensorFixedPoint

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(self.act(8), *conv_bn(3, 4, 3, padding=1), self.act(4))
        self.left = nn.Sequential(*conv_bn(4, 4, 3, padding=1), self.act(5))
        self.right = nn.Sequential(*conv_bn(4, 4, 1), self.act(3))
        self.relu, self.fc = relu(), qnn.QuantConv2d(4, 2, 1, **WEIGHTS)

    def act(self, bits: int) -> nn.Module:
        return qnn.QuantIdentity(act_quant=self.act_quant, bit_width=bits, return_quant_tensor=True)

    def forward(self, x: Tensor) -> Any:
        stem = self.stem(x)
        total = self.left(stem).value + self.right(stem).value
        return self.fc(self.relu(total - stem.value))


class UnalignedResidual(Residual):
    """The same with scales whose ratio is no small one."""

    act_quant = Int8ActPerTensorFloat


class UNet(nn.Module):
    """Two levels, transposed convolutions upward, skip connections of a shared scale."""

    shape = (1, 16, 16)

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(signed(8), *conv_bn(1, 4, 3, padding=1), relu())
        self.down = nn.Sequential(nn.MaxPool2d(2), *conv_bn(4, 6, 3, padding=1), relu())
        up = qnn.QuantConvTranspose2d(6, 4, 2, stride=2, **WEIGHTS)
        self.up = nn.Sequential(up, nn.BatchNorm2d(4))
        self.shared = qnn.QuantIdentity(act_quant=Uint8ActPerTensorFloat, bit_width=4, return_quant_tensor=True)
        self.last = nn.Sequential(*conv_bn(8, 4, 3, padding=1), relu(), qnn.QuantConv2d(4, 2, 1, **WEIGHTS))

    def forward(self, x: Tensor) -> Any:
        skip = self.first(x)
        up = self.up(self.down(skip))
        return self.last(torch.cat([self.shared(up), self.shared(skip)], dim=1))


class Espcn(nn.Module):
    """Super resolution by pixel shuffle; weights of one scale and a quantized bias."""

    shape = (1, 10, 12)

    def __init__(self) -> None:
        super().__init__()
        options = {"weight_bit_width": 4, "weight_quant": Int8WeightPerTensorFloat, "bias_quant": Int32Bias}
        self.body = nn.Sequential(
            signed(8),
            qnn.QuantConv2d(1, 6, 5, padding=2, **options),
            relu(),
            qnn.QuantConv2d(6, 4, 3, padding=1, **options),
            relu(),
            qnn.QuantConv2d(4, 4, 3, padding=1, **options),
            signed(8),
            nn.PixelShuffle(2),
        )

    def forward(self, x: Tensor) -> Any:
        return self.body(x)


class NearestUpsampler(nn.Module):
    """Super resolution by nearest-neighbour interpolation, dilated and rectangular convolutions."""

    shape = (2, 6, 8)

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            signed(8),
            *conv_bn(2, 4, 3, padding=2, dilation=2),
            relu(),
            nn.Upsample(scale_factor=2),
            *conv_bn(4, 4, (1, 3), padding=(0, 1)),
            nn.MaxPool2d(2),
            relu(),
            *conv_bn(4, 4, 3, groups=2),
            signed(4),
            qnn.QuantConvTranspose2d(4, 3, 3, stride=2, padding=1, output_padding=1, **WEIGHTS),
        )

    def forward(self, x: Tensor) -> Any:
        return self.body(x)


class Speech(nn.Module):
    """One-dimensional convolutions over time."""

    shape = (3, 20)

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            signed(8),
            qnn.QuantConv1d(3, 4, 5, stride=2, padding=2, **WEIGHTS),
            nn.BatchNorm1d(4),
            relu(),
            qnn.QuantConv1d(4, 4, 3, groups=4, **WEIGHTS),
            relu(),
            nn.Flatten(),
            qnn.QuantLinear(32, 4, weight_bit_width=4, bias=True),
        )

    def forward(self, x: Tensor) -> Any:
        return self.body(x)


class Zoo(nn.Module):
    """Quantizers of every sort: zero-points, one bit, a scale per channel, sigmoid, leaky slopes, unsigned weights."""

    shape = (3, 12, 12)

    def __init__(self) -> None:
        super().__init__()
        per_channel = {"per_channel_broadcastable_shape": (1, 4, 1, 1), "scaling_stats_permute_dims": (1, 0, 2, 3)}
        self.body = nn.Sequential(
            qnn.QuantIdentity(act_quant=ShiftedUint8ActPerTensorFloat),
            *conv_bn(3, 4, 3, weight_quant=ShiftedUint8WeightPerTensorFloat),
            qnn.QuantReLU(act_quant=ShiftedUint8ActPerTensorFloat, bit_width=4),
            *conv_bn(4, 4, 3, padding=1),
            qnn.QuantSigmoid(bit_width=4, return_quant_tensor=True),
            *conv_bn(4, 4, 3),
            qnn.QuantIdentity(act_quant=SignedBinaryActPerTensorConst, return_quant_tensor=True),
            *conv_bn(4, 4, 1),
            qnn.QuantReLU(bit_width=4, scaling_per_output_channel=True, return_quant_tensor=True, **per_channel),
            *conv_bn(4, 4, 3, groups=4),
            nn.LeakyReLU(0.1),
            signed(4),
            qnn.TruncAvgPool2d(2, 2, bit_width=3, return_quant_tensor=True),
            qnn.QuantConv2d(4, 2, 1, **WEIGHTS),
        )

    def forward(self, x: Tensor) -> Any:
        return self.body(x)


NETWORKS = {
    net.__name__: net
    for net in (ResNet18, MobileNetV2, Residual, UnalignedResidual, UNet, Espcn, NearestUpsampler, Speech, Zoo)
}


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
    Mvau: mvau,
    Padding: lambda u, x: np.pad(x, ((u.pads[0], u.pads[2]), (u.pads[1], u.pads[3]), (0, 0))),
    PixelPadding: pixel_padding,
    Pool: lambda u, x: x.max(axis=2) if u.function == "max" else x.sum(axis=2),
    SlidingWindow: windows,
    Thresholding: thresholded,
    Upsample: lambda u, x: x.repeat(u.scale[0], axis=0).repeat(u.scale[1], axis=1),
    Vvau: vvau,
}


@pytest.fixture(scope="session")
def as_images() -> Callable[[np.ndarray], np.ndarray]:
    """See :func:`images`."""
    return images
