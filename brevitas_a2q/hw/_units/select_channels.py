"""Some of the channels of a stream, in any order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from brevitas_a2q.hw._cost.synthesis.bill import Bill
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._units.base import Unit
from brevitas_a2q.hw._units.folding import Folding

__all__ = ["SelectChannels"]


@dataclass(frozen=True, eq=False, kw_only=True)
class SelectChannels(Unit):
    """Channels of every pixel, by number: a slice, a part of a split, a channel shuffle."""

    kind: ClassVar[str] = "SelectChannels"
    in_hls: ClassVar[bool] = True
    whole_pixel: ClassVar[bool] = True
    selected: tuple[int, ...]  # of the input's channels, in the output's order
    input_channels: int

    def input_elements(self, folding: Folding, port: int = 0) -> int:
        return self.input_channels

    @property
    def input_shape(self) -> tuple[int, int]:
        return self.pixels, self.input_channels

    def bill(self, folding: Folding, part: Part) -> Bill:
        """All channels of a pixel at once: wires and a handshake, as in :class:`~brevitas_a2q.hw._ir.Concat`."""
        bill = Bill()
        bill.exact("handshake", 1)
        return bill
