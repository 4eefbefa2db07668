"""What every kind of unit answers, with the answers of an elementwise one.

A kind is one file of this package: its fields, how it may be folded, how wide its words are, the types that follow from
its inputs', its cycles and when it needs which pixel, what it is built of, and the names of its memories. Sizes are per
image (batch 1); ``pixels`` are output positions (height times width) that one image passes through the unit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, ClassVar, Final, Literal, TypeAlias

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.errors import ConfigError, FoldingError
from brevitas_a2q.hw._units.finn_node import REMEDY, Node, Version
from brevitas_a2q.hw._units.flow import Flow, evenly
from brevitas_a2q.hw._units.folding import Folding, MemoryStyle
from brevitas_a2q.hw._units.runs import Runs

if TYPE_CHECKING:
    from typing_extensions import Self

    from brevitas_a2q.hw._cost.synthesis.bill import Bill
    from brevitas_a2q.hw._devices.part import Part

__all__ = ["WIDEST_HLS_WORD", "Memory", "Unit", "covering", "divisors"]

WIDEST_HLS_WORD: Final = 8191  # bits of Vitis HLS' ap_uint; FINN: MAX_ALLOWED_AP_INT_W in util/basic.py

MemoryField: TypeAlias = Literal["ram_style", "ram_style_thresholds"]


@dataclass(frozen=True)
class Memory:
    """A memory of a unit whose style a folding chooses."""

    fields: tuple[MemoryField, ...]  # of a folding, that say where it goes
    key: int | None  # foldings of the same key have the same memory; None where every folding has another one
    initialised: bool  # by the bitstream, which no UltraRAM before Versal can be

    def styles(self, part: Part) -> tuple[MemoryStyle, ...]:
        """Where it may go on a part (FINN: URAM weights must be writable at run time on UltraScale)."""
        ultra = part.uram and (not self.initialised or part.family == "Versal")
        return ("distributed", "block", "ultra") if ultra else ("distributed", "block")


@dataclass(frozen=True, eq=False, kw_only=True)
class Unit:
    """One streaming unit; ``inputs`` names the units it reads, ``""`` being the network's input."""

    kind: ClassVar[str] = "Unit"
    in_hls: ClassVar[bool] = False  # whether FINN has it in HLS only
    bursts: ClassVar[bool] = False  # whether it reads or writes some pixels of an image faster than others
    whole_pixel: ClassVar[bool] = False  # whether FINN streams all channels of a pixel at a time, whatever the folding

    name: str
    inputs: tuple[str, ...]
    input_type: IntType
    output_type: IntType
    pixels: int
    channels: int  # channels of the output stream
    source: tuple[str, ...] = ()  # ONNX node names it was made from

    # How it may be folded.

    @property
    def pe_limit(self) -> int:
        """What PE must divide."""
        return 1

    @property
    def simd_limit(self) -> int:
        """What SIMD must divide."""
        return 1

    def check(self, folding: Folding) -> None:
        """Raise :class:`FoldingError` where PE or SIMD does not divide what it must."""
        for what, value, limit in (("PE", folding.pe, self.pe_limit), ("SIMD", folding.simd, self.simd_limit)):
            if value < 1 or limit % value:
                near = min(divisors(limit), key=lambda d: (abs(d - value), d))
                raise FoldingError(
                    f"found {what} = {value}",
                    where=f"{self.kind} {self.name}",
                    expected=f"a divisor of {limit}",
                    remedy=f"the nearest is {near}",
                )

    def foldings(self, part: Part, unrolled: bool = False) -> Iterator[Folding]:
        """Legal foldings that differ in parallelism or multipliers, not in memory styles.

        Where FINN builds the kind in HLS, words of its streams have at most ``WIDEST_HLS_WORD`` bits; a kind that
        streams whole pixels has one folding, however wide.

        Args:
            part: Part in force.
            unrolled: Whether units of constant weights, which FINN does not have, are among them.
        """
        for pe, simd in product(divisors(self.pe_limit), divisors(self.simd_limit)):
            folding = Folding(pe, simd)
            if not self.in_hls or self.widest_word(folding) <= WIDEST_HLS_WORD or pe == simd == 1:
                yield folding

    def widest_word(self, folding: Folding) -> int:
        """Bits of the widest word among its streams."""
        bits = self.input_type.bit_width
        read = [self.input_elements(folding, port) * bits for port in range(max(1, len(self.inputs)))]
        return max(*read, self.output_elements(folding) * self.output_type.bit_width)

    # Its streams.

    def input_elements(self, folding: Folding, port: int = 0) -> int:
        """Elements in one word that the unit reads."""
        return self.output_elements(folding)

    def output_elements(self, folding: Folding) -> int:
        """Elements in one word that the unit writes."""
        if self.whole_pixel:
            return self.channels
        return folding.simd if self.simd_limit > 1 else folding.pe

    @property
    def elements_per_pixel(self) -> int:
        """Elements that one pixel has when it leaves the unit; a window has those of all its pixels."""
        return self.channels

    def input_pixels(self, written: int) -> int:
        """Pixels per image on its input, where its producer writes so many."""
        return written

    @property
    def input_shape(self) -> tuple[int, int]:
        """Pixels and channels per image that a stream must have for this unit to be its only reader."""
        return self.pixels, self.channels

    # Its types.

    def retyped(self, inputs: Sequence[IntType]) -> Self:
        """The unit with the types that its producers' give it; its output holds every value its inputs can have.

        Args:
            inputs: Type of each input.
        """
        found = covering(inputs)
        return replace(self, input_type=found, output_type=found)

    # Its time.

    def cycles(self, folding: Folding) -> int:
        """Cycles from the first to the last word of one image, at one word per cycle and without stalls.

        Where not derived in a comment these are FINN's ``get_exp_cycles``, which count words of the folded stream.
        """
        return self.pixels * (self.channels // self.output_elements(folding))

    def need(self, inputs: int) -> Runs:
        """Last input pixel that each output pixel needs; it never falls."""
        return evenly(self.pixels, inputs)

    def flow(self, folding: Folding, cycles: int, inputs: int) -> Flow:
        """How the folded unit turns pixels into pixels.

        Args:
            folding: Its folding.
            cycles: Cycles per image, from its cost.
            inputs: Pixels per image on its input, see :meth:`input_pixels`.
        """
        interval = cycles / self.pixels
        paces = Runs.constant(interval, self.pixels)
        return Flow(inputs, self.need(inputs), paces, cycles / inputs, 0.0, interval, reach=0)

    def latency(self, folding: Folding) -> int:
        """Registers between the last input word and the output word that needs it, in our own RTL at 200 MHz."""
        return 1

    # Its nodes in FINN.

    def finn(self, vectors: list[int], version: Version) -> list[Node]:
        """Op types and attributes of its FINN nodes: PE and SIMD are 1, but SIMD of windows and padding all channels.

        Args:
            vectors: FINN's ``numInputVectors`` of its output.
            version: FINN branch.

        Raises:
            ConfigError: The branch has no such kind, or not of this shape.
        """
        expected = f"a kind that FINN {version} has"
        raise ConfigError(f"found a {self.kind}", where=self.name, expected=expected, remedy=REMEDY)

    # Its cost.

    def bill(self, folding: Folding, part: Part) -> Bill:
        """What the folded unit is built of.

        Args:
            folding: A legal folding; not checked again here, a search calls this often.
            part: Decides where memories may go and what a DSP block does.

        Raises:
            PartError: If the folding asks for UltraRAM on a part without it.
        """
        raise NotImplementedError

    def memories(self, folding: Folding) -> tuple[Memory, ...]:
        """Its memories whose style a folding chooses."""
        return ()


@cache
def divisors(number: int) -> tuple[int, ...]:
    """Divisors in ascending order.

    Example:
        >>> divisors(12)
        (1, 2, 3, 4, 6, 12)
    """
    return tuple(d for d in range(1, number + 1) if number % d == 0)


def covering(types: Sequence[IntType]) -> IntType:
    """The smallest type that holds all of some types.

    Example:
        >>> covering([IntType("UINT4"), IntType("INT3")]).name
        'INT5'
    """
    from brevitas_a2q.bounds import IntRange

    if all(t == types[0] for t in types):
        return types[0]
    ranges = [t.range for t in types]
    return IntType.smallest(IntRange(min(r.lo for r in ranges), max(r.hi for r in ranges)))
