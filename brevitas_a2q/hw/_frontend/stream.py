"""A tensor of the network as the hardware sees it: the integers that leave a unit, and what is still to be done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from brevitas_a2q._ir.dot_product import IntArray
from brevitas_a2q._ir.network import Node
from brevitas_a2q._ir.tensor import Codes, Tensor
from brevitas_a2q.errors import OnnxFileError

__all__ = ["REAL_SUMS", "Broken", "Stream", "check_bipolar"]

REAL_SUMS = ("Add", "Sub")  # of two streams: islands where a norm reads them, else a quantizer is missing


@dataclass(frozen=True, eq=False)
class Stream:
    """Integers ``v`` of ``start`` leave ``unit``; ``chain`` and then ``moves`` turn them into the tensor.

    ``chain`` holds elementwise operations: they wait for the quantizer with which they become thresholds. ``moves``
    are pools and copies met meanwhile: thresholds commute with them, so they are built behind the thresholds, on the
    narrow side, as FINN's streamlining also arranges it.
    """

    unit: str  # "": the accelerator's input
    start: Tensor
    channel_axis: int
    chain: tuple[Node, ...] = ()
    moves: tuple[Node, ...] = ()
    chain_before_moves: int = 0  # how many of the chain came before the first move
    image: tuple[int, ...] | None = None  # (channels, height, width) of a flattened image, channels-last on the wire
    places: IntArray | None = None  # which element of ``start`` stands where, while a shuffle is half done

    @property
    def codes(self) -> Codes:
        """The integers on the wire."""
        assert self.start.codes is not None
        return self.start.codes

    @property
    def channels(self) -> int:
        """Channels of the integers on the wire."""
        return self.start.shape[self.channel_axis]

    @property
    def pixels(self) -> int:
        """Positions per image, each of all channels."""
        return prod(self.start.shape[1:]) // self.channels

    def then(self, node: Node) -> Stream:
        """The stream after one more elementwise operation."""
        early = self.chain_before_moves if self.moves else len(self.chain) + 1
        return replace(self, chain=(*self.chain, node), chain_before_moves=early)


@dataclass(frozen=True, eq=False)
class Broken:
    """What cannot be built, and why; harmless where only the network's output reads it.

    ``island`` says that it is real arithmetic without a unit, which a quantizer behind it makes integers of again.
    """

    error: OnnxFileError
    node: Node
    island: bool = False


def check_bipolar(codes: Codes, where: str) -> None:
    """Raise where one bit stands for other integers than -1 and 1, as behind a zero-point.

    Raises:
        OnnxFileError: With the integers found.
    """
    ends = tuple(int(end.min()) for end in codes.type_range())
    if codes.dtype.name == "BIPOLAR" and ends != (-1, 1):
        found = f"found integers {ends[0]} and {ends[1]} of one bit"
        raise OnnxFileError(found, where=where, expected="-1 and 1, no zero-point")
