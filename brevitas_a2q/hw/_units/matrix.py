"""What dense, convolutional and depthwise units share: array, weight memory, control, thresholds.

The array is one of three: ``lut`` (multipliers in LUTs, also what ``auto`` means, because a policy for the accumulator
is felt there), ``dsp`` (multipliers in DSP blocks) or ``unrolled`` (weights as constants; no folding, no memory).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q._ir.dot_product import IntArray
from brevitas_a2q.bounds import IntRange, required_bit_width
from brevitas_a2q.hw._cost.result import Resources
from brevitas_a2q.hw._cost.synthesis.bill import Bill
from brevitas_a2q.hw._cost.synthesis.dot_product import dot_product_features, dsp_blocks
from brevitas_a2q.hw._cost.synthesis.search import SearchTable, threshold_bill
from brevitas_a2q.hw._cost.synthesis.unrolled import csd_digits, unrolled_features
from brevitas_a2q.hw._devices.part import Part
from brevitas_a2q.hw._memory import MemoryCost, place_memory, rom_luts
from brevitas_a2q.hw._rom import stored_luts
from brevitas_a2q.hw._units.base import WIDEST_HLS_WORD, Memory, Unit, covering
from brevitas_a2q.hw._units.finn import fits_rtl, threshold_node
from brevitas_a2q.hw._units.finn_node import Node
from brevitas_a2q.hw._units.folding import Folding

if TYPE_CHECKING:
    from typing_extensions import Self

_MOST_COMPARED = 1 << 19  # bits of weights whose columns are held against each other
_LEVELS_PER_REGISTER = 4  # of the adder tree, at 200 MHz
_BLOCK_WORDS = 4  # public FINN builds: all 23 weight memories of 4 and more words are in block RAM
__all__ = ["FINN_ACCUMULATOR", "MatrixUnit"]

FINN_ACCUMULATOR: Final = "INT32"  # of sums before minimisation


@dataclass(frozen=True, eq=False, kw_only=True)
class MatrixUnit(Unit):
    """Weights, an accumulator, and the thresholds behind it."""

    weight_type: IntType
    weights: IntArray  # shape: (output channels, products per output)
    accumulator_type: IntType  # as the policy in force sets it
    accumulator_range: tuple[int, int]  # exact lowest and highest sum of the frozen weights over the input's type
    trained_accumulator_bit_width: int | None  # P the network was trained for, if the file says so
    thresholds: IntArray | None = None  # shape: (channels or 1, steps); None: the sum itself leaves the unit
    activation_bias: int = 0  # FINN's ActVal: output code below the first threshold
    threshold_reach: tuple[int, int] | None = None  # lowest and highest before clipping to what sums reach; for FINN
    analysed_range: tuple[int, int] | None = None  # the same over the inputs that range analysis leaves
    arriving: tuple[IntRange, ...] = ()  # what its inputs can be, 0 included: by their type, by range analysis

    @property
    def outputs(self) -> int:
        """Output channels."""
        return int(self.weights.shape[0])

    @property
    def products(self) -> int:
        """K, products per output."""
        return int(self.weights.shape[1])

    def output_elements(self, folding: Folding) -> int:
        return folding.pe

    def retyped(self, inputs: Sequence[IntType]) -> Self:
        return replace(self, input_type=covering(inputs))

    def with_accumulator(self, accumulator: IntType) -> Self:
        """The unit with another accumulator, which is its output where it has no thresholds."""
        output = accumulator if self.thresholds is None else self.output_type
        return replace(self, accumulator_type=accumulator, output_type=output)

    def cycles(self, folding: Folding) -> int:
        if folding.compute == "unrolled":
            return self.pixels
        return self.pixels * self.weight_words(folding)

    def weight_words(self, folding: Folding) -> int:
        """Words of the weight memory, one for each cycle of an output pixel."""
        return (self.outputs // folding.pe) * (self.products // folding.simd)

    def latency(self, folding: Folding) -> int:
        """Of multiplication, the registers of the adder tree, accumulation and thresholds."""
        if self.constant(folding):  # a register in front of the adders, one behind them
            sums = 2 + (self._most_digits - 1).bit_length() // _LEVELS_PER_REGISTER
        else:
            sums = 3 + ceil((folding.simd - 1).bit_length() / _LEVELS_PER_REGISTER)
        if self.table is None:
            return sums
        return sums + self.table.latency(block=folding.ram_style_thresholds in ("block", "ultra"))

    def constant(self, folding: Folding) -> bool:
        """Whether all weights are constants in one word, multiplied in LUTs: adders alone are what that comes to."""
        return folding.compute == "unrolled" or (folding.compute != "dsp" and self.weight_words(folding) == 1)

    def weight_bits(self, folding: Folding) -> int:
        """Bits of one word of the weight memory."""
        return folding.pe * folding.simd * self.weight_type.bit_width

    def rtl_multipliers(self, part: Part) -> bool:
        """Whether FINN has this unit in RTL, whose DSP blocks hold several products each."""
        weights, inputs = self.weight_type, self.input_type
        types = ((weights.bit_width, weights.signed), (inputs.bit_width, inputs.signed))
        if self.thresholds is not None:
            return False
        return fits_rtl(*types, self._lowest == weights.range.lo, part.dsp_block, self.shares_activations)

    @cached_property
    def _lowest(self) -> int:
        """The lowest weight, looked for once: a search asks often."""
        return int(self.weights.min(initial=0))

    def foldings(self, part: Part, unrolled: bool = False) -> Iterator[Folding]:
        rtl = self.rtl_multipliers(part)
        for folding in super().foldings(part, unrolled):
            if self.in_hls_legal(folding):
                yield replace(folding, compute="lut")
            if rtl or self.in_hls_legal(folding):
                yield replace(folding, compute="dsp")
        if unrolled:
            yield Folding(self.pe_limit, self.simd_limit, "unrolled")

    def in_hls_legal(self, folding: Folding) -> bool:
        """Whether Vitis HLS builds it: words of at most ``WIDEST_HLS_WORD`` bits, the weights' among them."""
        return max(self.widest_word(folding), self.weight_bits(folding)) <= WIDEST_HLS_WORD

    def memories(self, folding: Folding) -> tuple[Memory, ...]:
        found = []
        if folding.compute != "unrolled":
            found.append(Memory(("ram_style",), folding.pe * folding.simd, initialised=not folding.writable_weights))
        if self.thresholds is not None:
            found.append(Memory(("ram_style_thresholds",), folding.pe, initialised=True))
        return tuple(found)

    def weight_memory(self, folding: Folding, part: Part) -> MemoryCost:
        """Where the weights go: one word per cycle; a single word is a constant and needs no memory.

        Vivado puts what FINN leaves to it (``auto``) into block RAM from ``_BLOCK_WORDS`` words on.
        """
        words, style = self.weight_words(folding), folding.ram_style
        if style == "auto" and part.bram18:
            style = "block" if words >= _BLOCK_WORDS else "distributed"
        return place_memory(words, self.weight_bits(folding), style, part)

    def finn_attributes(self, fused: bool) -> dict[str, Any]:
        """Attributes that every matrix unit has in FINN; ``fused``: whether its thresholds are inside."""
        return {
            "PE": 1,
            "SIMD": 1,
            "inputDataType": self.input_type.name,
            "weightDataType": self.weight_type.name,
            "outputDataType": self.output_type.name if fused else FINN_ACCUMULATOR,
            "accDataType": FINN_ACCUMULATOR,
            "noActivation": int(not fused),
            "binaryXnorMode": 0,
            "ActVal": self.activation_bias if fused else 0,
            "mem_mode": "internal_decoupled",
            "ram_style": "auto",
            "resType": "auto",
            "runtime_writeable_weights": 0,
        }

    def finn_shape(self, vectors: list[int]) -> Node:
        """General op type and the attributes that say its shape."""
        raise NotImplementedError

    def finn_nodes(self, vectors: list[int], standalone_thresholds: bool) -> list[Node]:
        """The unit, and its thresholds behind it where FINN's build asks for that."""
        fused = self.thresholds is not None and not standalone_thresholds
        op, shape = self.finn_shape(vectors)
        nodes: list[Node] = [(op, {**self.finn_attributes(fused), **shape})]
        if self.thresholds is not None and standalone_thresholds:
            nodes.append(threshold_node(self, self.thresholds, self.activation_bias, FINN_ACCUMULATOR, vectors))
        return nodes

    def bill(self, folding: Folding, part: Part) -> Bill:
        bill = Bill()
        synapses, neurons = self.products // folding.simd, self.outputs // folding.pe
        if self.constant(folding):
            bill.circuit("constant layer", self._unrolled)
            pe = self.channels
        else:
            pe = folding.pe
            self._array(bill, folding, part)
            bill.memory("weight memory", self._stored_weights(folding, part))
            bill.counters(synapses, synapses * neurons if neurons > 1 else 1)
            bill.circuit("matrix control", {"control.each": 1})
        table = self.table
        if table is not None:
            bill.extend(threshold_bill(table, self.channels, pe, part, folding.ram_style_thresholds))
            bill.counters(table.words(self.channels, pe))
            bill.circuit("stream", {"control.each": 1})
        return bill

    def _stored_weights(self, folding: Folding, part: Part) -> MemoryCost:
        """The weight memory; in LUTs, columns that are equal or constant take none, where few enough to be seen."""
        placed = self.weight_memory(folding, part)
        if placed.style != "distributed" or not placed.resources.lut:
            return placed
        words = self.weight_words(folding)
        if self.weights.size * self.weight_type.bit_width > _MOST_COMPARED:
            return replace(
                placed, resources=Resources(lut=rom_luts(words, folding.pe * folding.simd * self._used_bits))
            )
        if (folding.pe, folding.simd) not in self._luts:
            rows = self.weights.reshape(-1, folding.pe, self.products // folding.simd, folding.simd)
            contents = rows.transpose(0, 2, 1, 3).reshape(1, words, -1)
            self._luts[folding.pe, folding.simd] = stored_luts(contents, self.weight_type.bit_width)
        return replace(placed, resources=Resources(lut=self._luts[folding.pe, folding.simd]))

    @cached_property
    def _luts(self) -> dict[tuple[int, int], int]:
        """LUTs of the weight memory by PE and SIMD."""
        return {}

    @cached_property
    def _used_bits(self) -> int:
        """Bits that the layer's weights need: those above them repeat the sign."""
        return min(self.weight_type.bit_width, required_bit_width(self._lowest, int(self.weights.max(initial=0))))

    @property
    def table(self) -> SearchTable | None:
        """The memories of its searches, for the accumulator in force."""
        return None if self.thresholds is None else self._searched

    @cached_property
    def _searched(self) -> SearchTable:
        assert self.thresholds is not None
        return SearchTable(self.thresholds, self.accumulator_type.range)

    @property
    def shares_activations(self) -> bool:
        """Whether all PEs multiply the same activations."""
        return True

    def _array(self, bill: Bill, folding: Folding, part: Part) -> None:
        types, accumulator = (self.weight_type, self.input_type), self.accumulator_type.bit_width
        features = dot_product_features(*types, folding.simd, accumulator, self.products // folding.simd)
        if folding.compute == "dsp":  # the sums alone are in LUTs
            features = {name: 0 if name.startswith("multipliers") else value for name, value in features.items()}
            pe, simd, shared = folding.pe, folding.simd, self.shares_activations
            bill.blocks += Resources(dsp=dsp_blocks(*types, part.dsp_block, pe=pe, simd=simd, shared=shared))
        bill.circuit("dot product", features, folding.pe)

    @cached_property
    def _digits(self) -> IntArray:
        """Canonical signed digits of each channel, counted once per unit: a search asks for the same unit often."""
        found: IntArray = csd_digits(self.weights).sum(axis=1, dtype=np.int64)
        return found

    @cached_property
    def _most_digits(self) -> int:
        """Of any channel, which is the one whose tree of adders is the deepest; at least one."""
        return max(1, int(self._digits.max(initial=1)))

    @cached_property
    def _unrolled(self) -> dict[str, float]:
        """What the trees of adders are made of."""
        return unrolled_features(self.input_type.bit_width, self._digits)
