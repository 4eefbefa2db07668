"""What simulations of models and of files share: settings, the step of one layer, and the counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from brevitas_a2q._ir.dot_product import DotProductLayer
from brevitas_a2q.bounds import MAX_ACCUMULATOR_BITS
from brevitas_a2q.errors import A2QError
from brevitas_a2q.verify._accumulate import Accumulators, Order, Overflow, accumulate
from brevitas_a2q.verify._products import Products

__all__ = ["Settings", "Simulation", "Tally", "ZeroPoint"]

ZeroPoint: TypeAlias = Literal["subtracted", "raw"]


@dataclass(frozen=True)
class Simulation:
    """Outputs of a network whose accumulators have limits, and how often they mattered.

    ``outputs, overflows = simulate(...)`` works too.
    """

    outputs: Any  # of a model: what it returns; of a file: an array, or one per output name
    overflows: dict[str, int]  # layer -> count; what counts depends on the mode, see verify.accumulate
    additions: int  # products (and biases) added in all layers
    dot_products: dict[str, int]  # layer -> outputs computed

    def __iter__(self) -> Iterator[Any]:
        return iter((self.outputs, self.overflows))

    @property
    def overflow_rate(self) -> float:
        """Overflows per dot product, over all layers."""
        return sum(self.overflows.values()) / max(1, sum(self.dot_products.values()))


@dataclass(frozen=True)
class Settings:
    """How every layer adds; None for what a layer has of its own. A mapping gives widths to the layers it names."""

    accumulator_bit_width: int | Mapping[str, int] | None = None
    overflow: Overflow = "wrap"
    order: Order = "forward"
    tile: int | None = None
    seed: int = 0
    zero_point: ZeroPoint | None = None

    def __post_init__(self) -> None:
        if self.zero_point not in (None, "subtracted", "raw"):
            raise A2QError(f"found zero_point {self.zero_point!r}", expected="'subtracted' or 'raw'")
        widths = self.accumulator_bit_width
        for width in widths.values() if isinstance(widths, Mapping) else (widths,):
            Accumulators(width, self.overflow, self.order, self.seed, self.tile)

    def datapath(self, layer: DotProductLayer) -> str:
        """What a layer does with a zero-point."""
        return self.zero_point or layer.zero_point

    def of(self, layer: DotProductLayer) -> Accumulators:
        """The accumulators of one layer."""
        widths, tile, outer = self.accumulator_bit_width, self.tile, None
        own = layer.accumulator_bit_width
        own = None if own is not None and own > MAX_ACCUMULATOR_BITS else own  # wider than any sum here
        width = widths.get(layer.name, own) if isinstance(widths, Mapping) else own if widths is None else widths
        if tile is None:
            tile, outer = layer.tile, layer.outer_accumulator_bit_width
        return Accumulators(width, self.overflow, self.order, self.seed, tile, outer)


@dataclass
class Tally:
    """Adds up layers as they run."""

    settings: Settings
    overflows: dict[str, int] = field(default_factory=dict)
    dot_products: dict[str, int] = field(default_factory=dict)
    additions: int = 0

    def sums(
        self,
        layer: DotProductLayer,
        products: Products,
        codes: Tensor,
        bias: Tensor | None,
        zero_point: Tensor | None = None,
    ) -> Tensor:
        """The sums of one layer, as its accumulators compute them.

        Args:
            layer: Its name, width and tiles.
            products: Its geometry.
            codes: Inputs less zero-point.  # shape: (batch, in_channels, *spatial)
            bias: int64 at the scale of the sums.  # shape: (out_channels,)
            zero_point: Of the inputs, where their codes are to be multiplied as they are.  # shape: broadcasts to codes
        """
        with torch.no_grad():
            correction: Tensor | int = 0
            used, multiplied = products, codes
            if zero_point is not None and self.settings.datapath(layer) == "raw":
                used, multiplied, correction = _raw(products, codes, zero_point)
            sums, count = accumulate(used, multiplied, bias, self.settings.of(layer))
            if not isinstance(correction, int):
                sums = sums.double() - correction.double()
        self.overflows[layer.name] = self.overflows.get(layer.name, 0) + count
        self.dot_products[layer.name] = self.dot_products.get(layer.name, 0) + sums.numel()
        self.additions += products.additions(codes) + (sums.numel() if bias is not None else 0)
        return sums

    def result(self, outputs: Any) -> Simulation:
        """The counts so far, with these outputs.

        Raises:
            A2QError: A width was given for a layer that did not run.
        """
        widths = self.settings.accumulator_bit_width
        unknown = set(widths) - set(self.overflows) if isinstance(widths, Mapping) else set()
        if unknown:
            raise A2QError(f"found a width for {min(unknown)!r}", expected=f"names among {', '.join(self.overflows)}")
        return Simulation(outputs, self.overflows, self.additions, self.dot_products)


def _raw(products: Products, codes: Tensor, zero_point: Tensor) -> tuple[Products, Tensor, Tensor]:
    """The products of codes that keep their zero-point; and what their sums have too much, exactly.

    Padding with the value 0 is the code of the zero-point; between the pixels of a transposed convolution is nothing.
    """
    if products.padding and not products.spread:
        codes = products.prepared(codes)
        products = replace(products, padding=((0, 0),) * len(products.padding))
    points = zero_point.to(codes.dtype).expand(codes.shape)
    heaviest = int(products.weights.flatten(1).abs().sum(1).max())
    largest = heaviest * max(1, int(zero_point.abs().max()))
    return products, codes + points, products.sums(products.prepared(points[:1]), largest)
