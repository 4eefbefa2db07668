"""The network's input: the integers that the accelerator reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.hw._cost.synthesis.bill import Bill
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._units.base import Unit
from brevitas_a2q.hw._units.folding import Folding

__all__ = ["Input"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Input(Unit):
    """Where the stream of the image comes from: its shape and type; its reader says how wide its words are."""

    kind: ClassVar[str] = "Input"
    name: str = ""
    inputs: tuple[str, ...] = ()
    channel_axis: int = 1  # of the tensor in the file
    steps: int = 0  # thresholds of the quantizer that makes these integers of a real image; 0: integers arrive

    @classmethod
    def of(cls, pixels: int, channels: int, dtype: IntType, channel_axis: int = 1) -> Input:
        """An image of so many pixels and channels."""
        return cls(input_type=dtype, output_type=dtype, pixels=pixels, channels=channels, channel_axis=channel_axis)

    def retyped(self, inputs: Sequence[IntType]) -> Input:
        return self

    def bill(self, folding: Folding, part: Part) -> Bill:
        """Nothing: it is outside of the accelerator."""
        return Bill()
