"""Channels of several streams behind each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from brevitas_a2q.hw._cost.synthesis.bill import Bill
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._units.base import Unit
from brevitas_a2q.hw._units.finn_node import Node, Version
from brevitas_a2q.hw._units.folding import Folding

__all__ = ["Concat"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Concat(Unit):
    """Channel concatenation; ``input_channels`` in input order.

    Args:
        word: Elements that it moves at a time, as many of each input; 0 for all channels of all inputs at once.
    """

    kind: ClassVar[str] = "Concat"
    in_hls: ClassVar[bool] = True
    whole_pixel: ClassVar[bool] = True
    input_channels: tuple[int, ...]
    word: int = 0

    def input_elements(self, folding: Folding, port: int = 0) -> int:
        return self.word or self.input_channels[port]

    def output_elements(self, folding: Folding) -> int:
        return self.word or self.channels

    @property
    def input_shape(self) -> tuple[int, int]:
        return self.pixels, self.input_channels[0]

    def finn(self, vectors: list[int], version: Version) -> list[Node]:
        channels, kind = list(self.input_channels), self.input_type.name
        found: dict[str, Any] = {"numInputVectors": vectors}
        if version == "main":
            return [("StreamingConcat", {**found, "ElemsPerStream": channels, "inputDataType": kind})]
        types = [kind] * len(channels)
        return [
            (
                "StreamingConcat",
                {**found, "SIMD": self.word or 1, "ChannelsPerStream": channels, "inputDataTypes": types},
            )
        ]

    def bill(self, folding: Folding, part: Part) -> Bill:
        """All inputs at once, as wide as their channels: wires, and two functions of handshake that see every input.

        With the output's two signals a function of up to 6 inputs is one LUT, each further LUT brings 5 more, and two
        functions of the same 5 inputs share one.
        """
        bill = Bill()
        signals = len(self.input_channels) + 2
        bill.exact("handshake", 1 if signals <= 5 else 2 * -(-(signals - 1) // 5))
        return bill
