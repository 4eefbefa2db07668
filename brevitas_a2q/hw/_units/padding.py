"""Zero padding around an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Final

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.hw._cost.synthesis.bill import Bill, counter_bits
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._units.base import Unit
from brevitas_a2q.hw._units.finn import spatial_attributes
from brevitas_a2q.hw._units.finn_node import Node, Version
from brevitas_a2q.hw._units.flow import surrounded
from brevitas_a2q.hw._units.folding import Folding
from brevitas_a2q.hw._units.runs import Runs

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Padding", "padded_type", "padding_bill"]

_TERNARY: Final = IntType("INT2")  # what holds -1, 0 and 1


@dataclass(frozen=True, eq=False, kw_only=True)
class Padding(Unit):
    """Zero padding around an image; ``pads`` is (top, left, bottom, right)."""

    kind: ClassVar[str] = "Padding"
    bursts: ClassVar[bool] = True
    input_dim: tuple[int, int]
    pads: tuple[int, int, int, int]

    @property
    def padded_dim(self) -> tuple[int, int]:
        """(height, width) after padding."""
        top, left, bottom, right = self.pads
        return self.input_dim[0] + top + bottom, self.input_dim[1] + left + right

    @property
    def simd_limit(self) -> int:
        return self.channels

    def input_pixels(self, written: int) -> int:
        return self.input_dim[0] * self.input_dim[1]

    @property
    def input_shape(self) -> tuple[int, int]:
        return self.input_dim[0] * self.input_dim[1], self.channels

    def retyped(self, inputs: Sequence[IntType]) -> Self:
        found = super().retyped(inputs)
        return replace(found, output_type=padded_type(found.input_type))

    def need(self, inputs: int) -> Runs:
        """The pixels read so far; -1 above the first one, where only zeros are written."""
        return surrounded(self.input_dim, self.pads)

    @property
    def _inside(self) -> int:
        """Bits that are compared with the borders of the inner image."""
        (top, left, bottom, right), (height, width) = self.pads, self.padded_dim
        return counter_bits(height) * ((top > 0) + (bottom > 0)) + counter_bits(width) * ((left > 0) + (right > 0))

    def finn(self, vectors: list[int], version: Version) -> list[Node]:
        sizes = {"ImgDim": list(self.input_dim), "Padding": list(self.pads)}
        return [("FMPadding", {**spatial_attributes(self), **sizes})]

    def bill(self, folding: Folding, part: Part) -> Bill:
        """Counters over the padded image, and zeros outside the inner one (by the output register's reset)."""
        return padding_bill(self, folding, self._inside, *self.padded_dim)


def padded_type(kind: IntType) -> IntType:
    """The type of what is zeros too: integers of -1 and 1 become wider.

    Example:
        >>> padded_type(IntType("BIPOLAR")).name, padded_type(IntType("UINT4")).name
        ('INT2', 'UINT4')
    """
    return _TERNARY if kind.name == "BIPOLAR" else kind


def padding_bill(unit: Unit, folding: Folding, inner: int, *limits: int, between: int = 0) -> Bill:
    """Counters over the padded image; zeros come from the reset of the output register.

    Args:
        unit: What pads.
        folding: Its folding.
        inner: Bits of counters that say where the inner image is.
        limits: What its counters count up to, the one over the words of a pixel excepted.
        between: Axes that have zeros between pixels.
    """
    bill = Bill()
    bill.counters(*limits, unit.channels // folding.simd)
    bill.circuit("padding", {"control.inner": inner, "control.between": between, "control.each": 1})
    return bill
