"""Random models: quantizers, layers with accumulators, and what people put between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import brevitas.nn as qnn
import numpy as np
import torch
import torch.nn.functional as F
from brevitas.quant import (
    Int8Bias,
    Int16Bias,
    Int32Bias,
    ShiftedUint8ActPerTensorFloat,
    SignedBinaryActPerTensorConst,
)
from torch import Tensor, nn

from brevitas_a2q.quant import _quantizers as quantizers

__all__ = ["OPERATIONS", "RandomNet", "random_net"]

Operation = Callable[[Any], Any]


def _plain(x: Any) -> Tensor:
    return x.value if hasattr(x, "value") else x


def _changed(x: Any, change: Callable[[Tensor], Any]) -> Any:
    value = _plain(x)
    value = value if value.requires_grad is False else value.clone()
    change(value)
    return value


def _half(x: Tensor) -> Tensor:
    """Some channels, as a view; gradients do not go through those of chunk."""
    return x[:, : x.shape[1] // 2] if torch.is_grad_enabled() else x.chunk(2, 1)[0]


OPERATIONS: dict[str, Operation] = {
    "nothing": lambda x: x,
    "plain": _plain,
    "max pool": lambda x: F.max_pool2d(_plain(x), 2),
    "average pool": lambda x: F.avg_pool2d(_plain(x), 2),
    "padded average pool": lambda x: F.avg_pool2d(_plain(x), 3, 1, 1),
    "sum pool": lambda x: F.avg_pool2d(_plain(x), 2, divisor_override=1),
    "quantized average pool": lambda x: F.avg_pool2d(x, 2, 2, 0, False, True, None),
    "relu": lambda x: F.relu(_plain(x)),
    "twice": lambda x: x + x,
    "negative": lambda x: -x,
    "magnitude": lambda x: abs(x),
    "plain negative": lambda x: -_plain(x),
    "difference": lambda x: _plain(x) - _plain(x).flip(1),
    "maximum": lambda x: torch.maximum(_plain(x), _plain(x).roll(1, 1)),
    "flip": lambda x: _plain(x).flip(2),
    "transpose": lambda x: _plain(x).transpose(2, 3),
    "joined with negative": lambda x: torch.cat([_plain(x)[:, ::2], -_plain(x)[:, 1::2]], 1),
    "pad": lambda x: F.pad(_plain(x), (1, 0, 0, 1)),
    "reflected pad": lambda x: F.pad(_plain(x), (1, 1, 1, 1), mode="reflect"),
    "nearest": lambda x: F.interpolate(_plain(x), scale_factor=2.0),
    "doubled in place": lambda x: _changed(x, lambda v: _half(v).mul_(2)),
    "relu in place": lambda x: _changed(x, lambda v: v[:, :, 1:].relu_()),
    "zeros in place": lambda x: _changed(x, lambda v: v.select(2, 0).zero_()),
    "added out": lambda x: torch.add(*(_plain(x).detach(),) * 2, out=torch.empty_like(_plain(x))),
    "halved": lambda x: _plain(x) * 0.5,
    "shuffled": lambda x: F.pixel_unshuffle(F.pixel_shuffle(_plain(x), 2), 2) if _plain(x).shape[1] % 4 == 0 else x,
    "stacked": lambda x: torch.stack([_plain(x), _plain(x)], 1).flatten(1, 2)[:, ::2],
    "dropout": lambda x: F.dropout(_plain(x), 0.5, False),
    "attention": lambda x: torch.einsum("bchw,bcwk->bchk", _plain(x), _plain(x).transpose(2, 3)),
    "sigmoid": lambda x: torch.sigmoid(_plain(x)),
    "leaky": lambda x: F.leaky_relu(_plain(x), 0.1),
    "shifted": lambda x: _plain(x) + 0.3,
}


# What the step of values becomes; None where they are no multiples of one any more. It stays where nothing is said.
STEPS: dict[str, float | None] = {
    "average pool": 1 / 4,
    "padded average pool": 1 / 9,
    "quantized average pool": 1 / 4,
    "halved": 0.5,
    **dict.fromkeys(("attention", "sigmoid", "leaky", "shifted")),
}


_KEPT = ("nothing", "twice", "negative", "magnitude", "quantized average pool")  # a QuantTensor stays one
_LOST = tuple(name for name, factor in STEPS.items() if factor is None)


def _names(rng: np.random.Generator, quantized: bool) -> list[str]:
    """Up to two operations; few of those after which nothing is an integer."""
    names = list(_KEPT) if quantized else [name for name in OPERATIONS if name not in _LOST]
    chosen = [str(name) for name in rng.choice(names, int(rng.integers(0, 3)))]
    return [str(rng.choice(_LOST))] if not quantized and rng.random() < 0.02 else chosen


@dataclass(frozen=True)
class Call:
    """One call of a layer: its input, and the weights and the bias that were made for it."""

    x: Any
    weight: Any
    bias: Any


class Block(nn.Module):
    """A quantizer, some operations, a layer; perhaps the same layer again on something else."""

    def __init__(self, rng: np.random.Generator, channels: int) -> None:
        super().__init__()
        self.act = _quantizer(rng)
        self.layer, self.outputs = _layer(rng, channels)
        self.names = _names(rng, quantized=self.layer.bias is not None)
        self.again = bool(rng.random() < 0.15)
        self.calls: list[Call] = []
        self.step: float | None = None  # of what was seen
        self._weights: list[Any] = []
        self._biases: list[Any] = []
        self.layer.weight_quant.register_forward_hook(lambda module, args, made: self._weights.append(made))
        self.layer.bias_quant.register_forward_hook(lambda module, args, made: self._biases.append(made))

    @property
    def kinds(self) -> list[str]:
        """What it is made of, for the statistics."""
        method = type(self.layer.weight_quant.tensor_quant).__name__
        tiled = ["tiles"] * (self.layer.weight_quant.accumulator_tile is not None)
        biased = ["integer bias"] * (self.layer.bias is not None)
        return [*self.names, type(self.layer).__name__, method, type(self.act).__name__, *tiled, *biased]

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(x)
        step: Any = float(x.scale.detach())
        for name in self.names:
            x = OPERATIONS[name](x)
            factor = STEPS.get(name, 1.0)
            step = None if step is None or factor is None else step * factor
        y, calls = self._called(x)
        if self.again:
            more, again = self._called(x + x if self.layer.bias is not None else _plain(x) + _plain(x))
            y, calls = y + more, calls + again
        self.step, self.calls = step, calls
        return y

    def _called(self, x: Any) -> tuple[Tensor, list[Call]]:
        """The layer's output, and what it computed it from; the model may run inside of itself to learn its ranges."""
        y = _plain(self.layer(x))
        call = Call(x, self._weights[-1], self._biases[-1] if self._biases else None)
        self._weights, self._biases = [], []
        return y, [call]


class RandomNet(nn.Module):
    """Blocks one after the other, with a residual sum here and there."""

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__()
        self.channels = int(rng.choice([4, 8]))
        blocks, channels = [], self.channels
        for _ in range(int(rng.integers(1, 4))):
            blocks.append(Block(rng, channels))
            channels = blocks[-1].outputs
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            y = block(x)
            x = x + y if y.shape == x.shape else y
        return x


def random_net(seed: int) -> tuple[RandomNet, tuple[int, ...], np.random.Generator]:
    """A model, the shape of its input, and what is left of the random numbers."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    net = RandomNet(rng)
    side = int(rng.integers(4, 8))
    return net, (1, net.channels, side, side), rng


def _quantizer(rng: np.random.Generator) -> Any:
    kind, bits = rng.integers(0, 6), int(rng.integers(1, 7))
    common: dict[str, Any] = {"return_quant_tensor": True}
    if kind <= 1:
        return qnn.QuantReLU(bit_width=bits, **common)
    if kind <= 3:
        return qnn.QuantIdentity(bit_width=max(bits, 2), narrow_range=bool(kind == 3), **common)
    if kind == 4:
        return qnn.QuantIdentity(act_quant=ShiftedUint8ActPerTensorFloat, bit_width=max(bits, 2), **common)
    return qnn.QuantIdentity(act_quant=SignedBinaryActPerTensorConst, **common)


def _layer(rng: np.random.Generator, channels: int) -> tuple[Any, int]:
    method = str(rng.choice(["A2Q", "A2QPlus", "ProjectedA2Q"]))
    grain = str(rng.choice(["PerChannelFloat", "PerTensorFloat", "PerChannelFixedPoint"]))
    bias = (None, Int8Bias, Int16Bias, Int32Bias)[int(rng.choice(4, p=[0.7, 0.1, 0.1, 0.1]))]
    settings: dict[str, Any] = {
        "weight_quant": getattr(quantizers, f"Int8{method}Weight{grain}"),
        "weight_bit_width": int(rng.integers(2, 8)),
        "weight_accumulator_bit_width": int(rng.integers(6, 20)),
        "bias": bias is not None,
        "bias_quant": bias,
    }
    if bias is None and rng.random() < 0.2:
        settings["weight_accumulator_tile"] = int(rng.integers(3, 12))
    outputs = int(rng.choice([4, 8]))
    kind, stride = rng.integers(0, 4), int(rng.integers(1, 3))
    if kind == 0:
        groups = channels
        layer: Any = qnn.QuantConv2d(channels, channels, 3, stride, 1, groups=groups, **settings)
        return layer, channels
    if kind == 1:
        return qnn.QuantConvTranspose2d(channels, outputs, 2 + int(rng.integers(0, 2)), stride=2, **settings), outputs
    return qnn.QuantConv2d(
        channels, outputs, int(rng.choice([1, 3])), stride, padding=int(rng.integers(0, 2)), **settings
    ), outputs
