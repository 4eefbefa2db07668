"""Random models: quantizers, layers with accumulators, and what people put between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import brevitas.nn as qnn
import numpy as np
import torch
from brevitas.quant import (
    Int8Bias,
    Int8WeightPerChannelFloat,
    Int8WeightPerTensorFloat,
    Int16Bias,
    Int32Bias,
    ShiftedUint8ActPerTensorFloat,
    SignedBinaryActPerTensorConst,
)
from torch import Tensor, nn

from benchmarks.adversary.models.operations import KEPT, LOST, OPERATIONS, PARTS, RARE, plain, steps
from brevitas_a2q.quant import _quantizers as quantizers

__all__ = ["Block", "RandomNet", "put", "random_net", "random_operations", "random_quantizer"]


def random_operations(rng: np.random.Generator, quantized: bool) -> list[str]:
    """Names of up to two operations; few of those after which nothing is an integer, or that read values."""
    if not quantized and rng.random() < 0.08:
        return [str(rng.choice([*LOST, *RARE]))]
    ordinary = [name for name in OPERATIONS if name not in LOST and name not in RARE]
    return [str(name) for name in rng.choice(list(KEPT) if quantized else ordinary, int(rng.integers(0, 3)))]


def put(block: Block, names: list[str]) -> None:
    """Put operations between quantizer and layer; no method, as a trace looks at all that methods name."""
    block.names, block.operations = names, [OPERATIONS[name] for name in names]


@dataclass(frozen=True)
class Call:
    """One call of a layer: its input and the step of that, and the weights and the bias that were made for it."""

    x: Any
    step: float | None
    weight: Any
    bias: Any


class Record:
    """What a block's layer met in the last run. Nothing that the model computes with, so it is where no trace looks."""

    __slots__ = ("biases", "calls", "weights")

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.weights: list[Any] = []
        self.biases: list[Any] = []


class Block(nn.Module):
    """A quantizer, some operations, a layer; perhaps the same layer again on something else."""

    def __init__(self, rng: np.random.Generator, channels: int, shared: Block | None = None) -> None:
        super().__init__()
        self.act = random_quantizer(rng)
        self.layer, self.outputs = (shared.layer, shared.outputs) if shared else _layer(rng, channels)
        self.quantized = self.layer.bias is not None
        put(self, random_operations(rng, self.quantized))
        self.part: nn.Module = nn.Identity()
        self.part_name = ""
        if not self.quantized and rng.random() < 0.04:
            self.part_name = str(rng.choice(list(PARTS)))
            self.part = PARTS[self.part_name]()
        self.again = str(rng.choice(["", "doubled", "requantized"], p=[0.8, 0.1, 0.1]))
        self.other = random_quantizer(rng) if self.again == "requantized" else None
        self.record = Record()
        self.layer.weight_quant.register_forward_hook(lambda module, args, made: self.record.weights.append(made))
        self.layer.bias_quant.register_forward_hook(lambda module, args, made: self.record.biases.append(made))

    @property
    def kinds(self) -> list[str]:
        """What it is made of, for the statistics."""
        proxy = self.layer.weight_quant
        method = type(proxy.tensor_quant).__name__
        tiled = ["tiles"] * (getattr(proxy, "accumulator_tile", None) is not None)
        more = ["integer bias"] * (self.layer.bias is not None) + [f"again, {self.again}"] * bool(self.again)
        part = [self.part_name] * bool(self.part_name)
        return [*self.names, type(self.layer).__name__, method, type(self.act).__name__, *tiled, *more, *part]

    def forward(self, x: Tensor) -> Tensor:
        source, x = x, self.act(x)
        step = float(x.scale.detach())
        for operation in self.operations:
            x = operation(x)
        x = self.part(x)
        made = steps(self.names, step)
        y, calls = self._called(x, made)
        if self.again == "doubled":
            more, again = self._called(x + x if self.quantized else plain(x) + plain(x), made)
            y, calls = y + more, calls + again
        elif self.other is not None:
            x = self.other(source * 0.7 - 0.1)
            more, again = self._called(x, float(x.scale.detach()))
            y = y + more if y.shape == more.shape else y + more.mean()
            calls = calls + again
        self.record.calls = calls
        return y

    def _called(self, x: Any, step: float | None) -> tuple[Tensor, list[Call]]:
        """The layer's output, and what it computed it from; the model may run inside of itself to learn its ranges."""
        deep = isinstance(self.layer, qnn.QuantConv3d)
        x = plain(x).unsqueeze(2) if deep else x
        y = plain(self.layer(x))
        y = y.squeeze(2) if deep else y
        kept = self.record
        call = Call(x, step, kept.weights[-1], kept.biases[-1] if kept.biases else None)
        kept.weights.clear()
        kept.biases.clear()
        return y, [call]


class RandomNet(nn.Module):
    """Blocks one after the other, with a residual sum here and there, and perhaps one layer in two of them."""

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__()
        self.channels = int(rng.choice([4, 8]))
        blocks, channels = list[Block](), self.channels
        for _ in range(int(rng.integers(1, 4))):
            earlier = next((b for b in blocks if _inputs(b) == channels), None)
            shared = earlier if earlier is not None and rng.random() < 0.25 else None
            blocks.append(Block(rng, channels, shared))
            channels = blocks[-1].outputs
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            y = block(x)
            x = x + y if y.shape == x.shape else y
        return x


def _inputs(block: Block) -> int:
    return int(block.layer.in_channels)


def random_net(seed: int) -> tuple[RandomNet, tuple[int, ...], np.random.Generator]:
    """A model, the shape of its input, and what is left of the random numbers."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    net = RandomNet(rng)
    side = int(rng.integers(4, 8))
    return net, (1, net.channels, side, side), rng


def random_quantizer(rng: np.random.Generator) -> Any:
    """An activation quantizer of any kind."""
    kind, bits = rng.integers(0, 6), int(rng.integers(1, 7))
    common: dict[str, Any] = {"return_quant_tensor": True}
    if kind <= 1:
        return qnn.QuantReLU(bit_width=bits, **common)
    if kind <= 3:
        return qnn.QuantIdentity(bit_width=max(bits, 2), narrow_range=bool(kind == 3), **common)
    if kind == 4:
        return qnn.QuantIdentity(act_quant=ShiftedUint8ActPerTensorFloat, bit_width=max(bits, 2), **common)
    return qnn.QuantIdentity(act_quant=SignedBinaryActPerTensorConst, **common)


def _weights(rng: np.random.Generator) -> dict[str, Any]:
    method = str(rng.choice(["A2Q", "A2QPlus", "ProjectedA2Q", "none"]))
    if method == "none":  # Brevitas' own: certificates are of them, too
        return {"weight_quant": Int8WeightPerTensorFloat if rng.random() < 0.5 else Int8WeightPerChannelFloat}
    grain = str(rng.choice(["PerChannelFloat", "PerTensorFloat", "PerChannelFixedPoint"]))
    settings: dict[str, Any] = {"weight_accumulator_bit_width": int(rng.integers(6, 20))}
    if rng.random() < 0.15:
        settings["weight_accumulator_zero_point"] = str(rng.choice(["raw", "subtracted"]))
    return {"weight_quant": getattr(quantizers, f"Int8{method}Weight{grain}"), **settings}


def _layer(rng: np.random.Generator, channels: int) -> tuple[Any, int]:
    bias = (None, Int8Bias, Int16Bias, Int32Bias)[int(rng.choice(4, p=[0.7, 0.1, 0.1, 0.1]))]
    settings: dict[str, Any] = {
        **_weights(rng),
        "weight_bit_width": int(rng.integers(2, 8)),
        "bias": bias is not None,
        "bias_quant": bias,
    }
    if bias is None and "weight_accumulator_bit_width" in settings and rng.random() < 0.2:
        settings["weight_accumulator_tile"] = int(rng.integers(3, 12))
    outputs = int(rng.choice([4, 8]))
    kind, stride = rng.integers(0, 4), int(rng.integers(1, 3))
    if bias is None and rng.random() < 0.1:
        size = (1, 3, 3)
        return qnn.QuantConv3d(channels, outputs, size, (1, stride, stride), (0, 1, 1), **settings), outputs
    if kind == 0:
        groups = channels
        layer: Any = qnn.QuantConv2d(channels, channels, 3, stride, 1, groups=groups, **settings)
        return layer, channels
    if kind == 1:
        return qnn.QuantConvTranspose2d(channels, outputs, 2 + int(rng.integers(0, 2)), stride=2, **settings), outputs
    return qnn.QuantConv2d(
        channels, outputs, int(rng.choice([1, 3])), stride, padding=int(rng.integers(0, 2)), **settings
    ), outputs
