"""Hand-made dataflow graphs."""

from __future__ import annotations

import numpy as np

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.bounds import exact_range
from brevitas_a2q.hw._ir import (
    AddStreams,
    DuplicateStreams,
    Graph,
    LabelSelect,
    MaxPool,
    Mvau,
    Padding,
    SlidingWindow,
    Unit,
    Vvau,
)

UINT4, UINT8, INT4 = IntType("UINT4"), IntType("UINT8"), IntType("INT4")


def weights_of(rows: int, products: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-7, 8, (rows, products))


def sum_range(weights: np.ndarray, inputs: IntType) -> tuple[int, int]:
    ends = [exact_range(int(r[r > 0].sum()), int(-r[r < 0].sum()), inputs.range) for r in weights]
    return min(e.lo for e in ends), max(e.hi for e in ends)


def thresholds_of(channels: int, low: int, high: int, steps: int = 15) -> np.ndarray:
    return np.tile(np.linspace(low // 2, high // 2, steps).astype(np.int64), (channels, 1))


class Builder:
    """Adds units one behind the other."""

    def __init__(self, channels: int, size: tuple[int, int], input_type: IntType = UINT8) -> None:
        self.units: list[Unit] = []
        self.last, self.channels, self.size, self.type = "", channels, size, input_type

    def add(self, unit: Unit) -> Builder:
        self.units.append(unit)
        self.last, self.channels, self.type = unit.name, unit.channels, unit.output_type
        return self

    def common(self, name: str, pixels: int | None = None) -> dict:
        return {
            "name": name,
            "inputs": (self.last,),
            "input_type": self.type,
            "output_type": self.type,
            "pixels": self.size[0] * self.size[1] if pixels is None else pixels,
            "channels": self.channels,
        }

    def pad(self, name: str, by: int = 1) -> Builder:
        before = self.size
        self.size = (before[0] + 2 * by, before[1] + 2 * by)
        return self.add(Padding(**self.common(name), input_dim=before, pads=(by, by, by, by)))

    def window(self, name: str, kernel: int, stride: int = 1, depthwise: bool = False, groups: int = 1) -> Builder:
        before = self.size
        self.size = tuple((s - kernel) // stride + 1 for s in before)
        return self.add(
            SlidingWindow(
                **self.common(name),
                input_dim=before,
                output_dim=self.size,
                kernel=(kernel, kernel),
                stride=(stride, stride),
                dilation=(1, 1),
                depthwise=depthwise,
                groups=groups,
            )
        )

    def mvau(self, name: str, outputs: int, products: int, *, last: bool = False, seed: int = 0) -> Builder:
        weights = weights_of(outputs, products, seed)
        low, high = sum_range(weights, self.type)
        accumulator = IntType.of(max(abs(low), abs(high)).bit_length() + 1, True)
        common = {**self.common(name), "channels": outputs, "output_type": accumulator if last else UINT4}
        return self.add(
            Mvau(
                **common,
                weight_type=INT4,
                weights=weights,
                accumulator_type=accumulator,
                accumulator_range=(low, high),
                trained_accumulator_bit_width=None,
                thresholds=None if last else thresholds_of(outputs, low, high),
            )
        )

    def vvau(self, name: str, kernel: int, seed: int = 0) -> Builder:
        weights = weights_of(self.channels, kernel * kernel, seed)
        low, high = sum_range(weights, self.type)
        return self.add(
            Vvau(
                **{**self.common(name), "output_type": UINT4},
                weight_type=INT4,
                weights=weights,
                accumulator_type=IntType.of(max(abs(low), abs(high)).bit_length() + 1, True),
                accumulator_range=(low, high),
                trained_accumulator_bit_width=None,
                thresholds=thresholds_of(self.channels, low, high),
                kernel=(kernel, kernel),
                output_dim=self.size,
            )
        )

    def max_pool(self, name: str, kernel: int = 2) -> Builder:
        before = self.size
        self.size = tuple(s // kernel for s in before)
        return self.add(MaxPool(**self.common(name), input_dim=before, kernel=(kernel, kernel)))

    def conv(
        self, name: str, outputs: int, kernel: int = 3, *, stride: int = 1, pad: int = 1, seed: int = 0
    ) -> Builder:
        products = self.channels * kernel * kernel
        if pad:
            self.pad(f"{name}_pad", pad)
        return self.window(f"{name}_window", kernel, stride).mvau(name, outputs, products, seed=seed)

    def dense(self, name: str, outputs: int, *, last: bool = False) -> Builder:
        products, self.size = self.channels * self.size[0] * self.size[1], (1, 1)
        return self.mvau(name, outputs, products, last=last)

    def graph(self, name: str = "network") -> Graph:
        return Graph(name, tuple(self.units))


def small_cnn() -> Graph:
    b = Builder(1, (8, 8)).conv("conv1", 8).conv("conv2", 16, seed=1).max_pool("pool").conv("conv3", 16, seed=2)
    b.dense("fc", 10, last=True)
    select = {**b.common("top"), "channels": 1, "output_type": UINT4}
    return b.add(LabelSelect(**select, labels=10)).graph("small_cnn")


def depthwise_net() -> Graph:
    b = Builder(3, (12, 12)).conv("conv1", 8, stride=2)
    b.pad("dw_pad").window("dw_window", 3, depthwise=True).vvau("dw", 3).mvau("pw", 16, 8, seed=3)
    return b.dense("fc", 10, last=True).graph("depthwise_net")


def residual_net() -> Graph:
    b = Builder(4, (8, 8)).conv("stem", 8)
    b.add(DuplicateStreams(**b.common("fork"), copies=2))
    b.conv("body1", 8, seed=1).conv("body2", 8, seed=2)
    join = AddStreams(**{**b.common("join"), "inputs": ("fork", "body2"), "output_type": IntType("UINT5")})
    b.add(join)
    return b.conv("tail", 4, seed=4).graph("residual_net")


def deep_net(blocks: int) -> Graph:
    """``blocks`` convolutions of growing width, three units each."""
    b = Builder(3, (32, 32))
    for i in range(blocks):
        halve = i in (blocks // 4, blocks // 2, 3 * blocks // 4)
        width = 16 << sum(i >= at for at in (blocks // 4, blocks // 2, 3 * blocks // 4))
        b.conv(f"conv{i}", width, stride=2 if halve else 1, seed=i)
    return b.graph("deep_net")
