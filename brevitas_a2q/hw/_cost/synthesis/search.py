"""Thresholds as our RTL finds them: a binary search whose stages read ever deeper memories, or all compared at once.

Stage s of B compares the value with one of ``2^s`` thresholds a channel, read from a memory of ``channels * 2^s``
words. Thresholds are stored less one, so that ``x > t - 1`` replaces ``x >= t`` and the values themselves decide their
width T. Values that are wider are clipped to T bits first where that saves more comparator bits than it takes; so
thresholds cost what their values need, whatever the accumulator's width. Channels whose thresholds are the same share
one row.

Two thresholds a channel are compared at once: a search takes two comparisons as well, and the memory of its second
stage holds a word for nothing. With three and more a search has fewer comparators.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from brevitas_a2q._ir.dot_product import IntArray
from brevitas_a2q.bounds import IntRange, required_bit_width
from brevitas_a2q.hw._cost.synthesis.bill import Bill
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._memory import place_memory, rom_luts
from brevitas_a2q.hw._rom import stored_luts
from brevitas_a2q.hw._units.folding import MemoryStyle

__all__ = ["SearchTable", "threshold_bill"]

_AT_ONCE = 2  # thresholds that are compared at once
_FEW_WORDS, _ABSORBED_WORDS = 4, 8  # of a memory whose address takes no more than two or three inputs of what compares
_DEPTHS = ("1", "2", "4", "8", "read")  # words of memories that merge with what reads them, and of others
_SHORT = 8  # bits that are compared in the fewest LUTs, two a LUT; wider ones in a tree, which is quicker
_MOST_COMPARED = 1 << 20  # bits of a table whose columns are held against each other


class SearchTable:
    """The memories of a unit's searches.

    Args:
        table: Thresholds, shape (channels or 1, steps); any order along steps.
        values: What is compared with them.

    Attributes:
        steps: Thresholds of a channel.
        constant: Whether there are none: a quantizer of one code, whose only stage finds nothing.
        bits: Bits that count the thresholds, which is the number of stages.
        width: T, bits of a stored threshold.
        compared: Bits of what it is compared with.
        stored: Thresholds less one in rising order, up to ``2^bits - 1`` of them; shape (channels or 1, 2^bits - 1).
    """

    def __init__(self, table: IntArray, values: IntRange) -> None:
        steps = table.shape[1]
        self.steps = steps
        self.constant = steps == 0
        self.bits = max(1, steps.bit_length())
        # A value x reaches t where x > t - 1; below the lowest value nothing changes, nor above the highest.
        rising = np.clip(np.sort(table, axis=1) - 1, values.lo - 1, values.hi)
        if (rising == rising[:1]).all():
            rising = rising[:1]
        lowest, highest = int(rising.min(initial=0)), int(rising.max(initial=0))
        given = required_bit_width(values.lo, values.hi)
        kept = required_bit_width(lowest, highest + 1)  # one value lies above all thresholds
        self.given, never = given, values.hi
        if (given - kept) * self.bits > kept // 2 + 2:
            self.compared, never = kept, (1 << (kept - 1)) - 1
        else:
            self.compared = max(given, required_bit_width(lowest, highest))
        unused = np.full((len(rising), (1 << self.bits) - 1 - steps), never, np.int64)
        self.stored = np.concatenate([rising, unused], axis=1)
        self.width = required_bit_width(int(self.stored.min(initial=0)), int(self.stored.max(initial=0)))
        self._luts: dict[tuple[int, bool], int] = {}

    def words(self, channels: int, pe: int) -> int:
        """Channels that one lane searches in turn; 1 also where all have the same thresholds."""
        return 1 if len(self.stored) == 1 else channels // pe

    def parallel(self, *, block: bool) -> bool:
        """Whether all thresholds of a channel are compared at once; ``block``: whether they are in block RAM."""
        return not block and self.steps == _AT_ONCE

    def latency(self, *, block: bool) -> int:
        """Cycles from a value to its code; ``block``: whether thresholds are in block RAM, which is read first."""
        cycles: int = 1 if self.parallel(block=block) else self.bits * (1 + block)
        return cycles

    def rows(self, pe: int) -> IntArray:
        """Thresholds of a channel as one word of each lane; shape: (lanes, words, steps)."""
        return self._lanes(pe)[:, :, : self.steps]

    def memories(self, pe: int) -> Iterator[IntArray]:
        """Contents of the memories of each stage; shape: (lanes, words, 1)."""
        lanes = self._lanes(pe)
        for stage in range(self.bits):
            codes = np.arange(1 << stage)
            places = (codes << (self.bits - stage)) + (1 << (self.bits - stage - 1)) - 1
            yield lanes[:, :, places].reshape(pe, -1, 1)

    def _lanes(self, pe: int) -> IntArray:
        """Channel c is lane c % pe, word c // pe; shape: (lanes, words, 2^bits - 1)."""
        if len(self.stored) == 1:
            lanes: IntArray = np.repeat(self.stored[None], pe, 0)
        else:
            lanes = self.stored.reshape(-1, pe, self.stored.shape[1]).swapaxes(0, 1)
        return lanes

    def luts(self, channels: int, pe: int, *, parallel: bool = False) -> int:
        """LUTs of memories of more words than what reads them absorbs; of searches, or of what compares at once."""
        key = (pe, parallel)
        if key not in self._luts:
            self._luts[key] = sum(
                contents if isinstance(contents, int) else stored_luts(contents, self.width)
                for words, contents in self._contents(channels, pe, parallel)
                if words > _ABSORBED_WORDS
            )
        return self._luts[key]

    def _contents(self, channels: int, pe: int, parallel: bool) -> Iterator[tuple[int, IntArray | int]]:
        """The words of each memory and what they hold, or their LUTs where that is too much to look at."""
        words = self.words(channels, pe)
        depths = [words] if parallel else [words << stage for stage in range(self.bits)]
        if self.stored.size * self.width <= _MOST_COMPARED:
            yield from zip(depths, [self.rows(pe)] if parallel else self.memories(pe), strict=True)
        else:
            for depth in depths:
                yield depth, pe * rom_luts(depth, self.width * (self.steps if parallel else 1))


def threshold_bill(table: SearchTable, channels: int, pe: int, part: Part, style: MemoryStyle) -> Bill:
    """What the thresholds of ``pe`` lanes take: comparators, their memories, and what clips values."""
    bill = Bill()
    if table.constant:  # nothing is compared
        return bill
    fold, width = table.words(channels, pe), table.compared
    deepest = place_memory(fold << (table.bits - 1), table.width, style, part).style
    block = deepest != "distributed"
    clipped = table.given - width if table.given > width else 0
    # A value that is compared once, in few bits, is not clipped: the bits above decide beside its comparison.
    cut = clipped and (table.steps > 1 or width > _SHORT)
    clipping = {"clipping.bits": width if cut else 0, "clipping.above": clipped}
    if table.parallel(block=block):
        depth = _depth(fold)
        comparators = {f"comparators.{words}": table.steps * width * (words == depth) for words in _DEPTHS}
        comparators["comparators.tree"] = table.steps * max(0, width - _SHORT) * (depth == "read")
        bill.circuit("comparison", {**comparators, **clipping}, pe)
        bill.exact("threshold memory", table.luts(channels, pe, parallel=True))
        return bill
    amounts = {"constant": 0, "few": 0, "absorbed": 0, "read": 0, "tree": 0}
    for stage in range(table.bits):
        kind = _reading(fold << stage, block)
        amounts[kind] += width
        amounts["tree"] += max(0, width - _SHORT) if kind == "read" else 0
    comparators = {f"comparators.{kind}": amount for kind, amount in amounts.items()}
    bill.circuit("search", {**comparators, **clipping, "pipeline.each": 1}, pe)
    if block:
        for stage in range(table.bits):
            bill.memory("threshold memory", place_memory(fold << stage, table.width, "block", part), pe)
    else:
        bill.exact("threshold memory", table.luts(channels, pe))
    return bill


def _reading(words: int, block: bool) -> str:
    """How a comparison gets at its threshold, by the words of its memory."""
    if words == 1:
        return "constant"
    if block or words > _ABSORBED_WORDS:
        return "read"
    return "few" if words <= _FEW_WORDS else "absorbed"


def _depth(words: int) -> str:
    """The same where a word holds all thresholds of a channel."""
    return next((depth for depth in _DEPTHS[:-1] if words <= int(depth)), _DEPTHS[-1])
