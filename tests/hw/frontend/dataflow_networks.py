"""Networks of the shapes people build, in plain Brevitas."""

from __future__ import annotations

from typing import Any

import brevitas.nn as qnn
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


class Shuffled(nn.Module):
    """Channels split, one half convolved, joined and shuffled; a squeeze-and-excitation gate of integers behind it."""

    shape = (3, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(signed(8), *conv_bn(3, 8, 3, padding=1), relu())
        self.branch, self.shared = nn.Sequential(*conv_bn(4, 4, 1)), relu()
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), signed(6), *conv_bn(8, 4, 1), relu())
        self.excite = nn.Sequential(*conv_bn(4, 8, 1), qnn.QuantSigmoid(bit_width=5, return_quant_tensor=True))
        self.scaled = signed(5)
        self.last = nn.Sequential(*conv_bn(8, 6, 3, groups=2), relu())

    def forward(self, x: Tensor) -> Any:
        x = self.stem(x)
        first, second = (self.shared(part) for part in (x.value[:, :4], x.value[:, 4:]))
        joined = torch.cat([first, self.shared(self.branch(second))], 1)
        batch, channels, height, width = joined.value.shape
        mixed = joined.value.view(batch, 2, channels // 2, height, width).transpose(1, 2)
        features = mixed.reshape(batch, channels, height, width)
        gate = self.excite(self.squeeze(features))
        return self.last(self.scaled(features * gate.value))


NETWORKS = {
    net.__name__: net
    for net in (
        ResNet18,
        MobileNetV2,
        Residual,
        UnalignedResidual,
        UNet,
        Espcn,
        NearestUpsampler,
        Shuffled,
        Speech,
        Zoo,
    )
}
