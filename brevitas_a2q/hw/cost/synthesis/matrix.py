"""Matrix-vector and depthwise units: array, weight memory, input buffer, control, thresholds.

The array is one of three: ``lut`` (multipliers in LUTs, also what ``auto`` means, because a policy for the
accumulator is felt there), ``dsp`` (multipliers in DSP blocks) or ``unrolled`` (weights as constants; no folding, no
weight memory).
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np

from brevitas_a2q.hw.cost.result import Resources
from brevitas_a2q.hw.cost.synthesis.bill import Bill, counter_bits, wrapped_bits
from brevitas_a2q.hw.cost.synthesis.core import core_features
from brevitas_a2q.hw.cost.synthesis.dsp import dsp_blocks, dsp_core_features
from brevitas_a2q.hw.cost.synthesis.thresholds import thresholds_bill
from brevitas_a2q.hw.cost.synthesis.unrolled import csd_digits, unrolled_features
from brevitas_a2q.hw.devices.part import Part
from brevitas_a2q.hw.ir import Folding, Mvau, Vvau
from brevitas_a2q.hw.memory import MemoryCost, place_memory

__all__ = ["control_features", "matrix_bill", "weight_memory"]

_ONE_FUNCTION = 4  # bits of a counter whose wrap and handshake are one function of six inputs
_UNROLLED: WeakKeyDictionary[Mvau | Vvau, dict[str, float]] = WeakKeyDictionary()


def weight_memory(unit: Mvau | Vvau, folding: Folding, part: Part) -> MemoryCost:
    """Where the weights of a folded unit go: one word per cycle, PE * SIMD * W bits wide.

    The words are ``outputs * K / (PE * SIMD)``; a single word is a constant and needs no memory.
    """
    outputs, products = unit.weights.shape
    words = (outputs // folding.pe) * (products // folding.simd)
    bits = folding.pe * folding.simd * unit.weight_type.bit_width
    return place_memory(words, bits, folding.ram_style, part)


def matrix_bill(unit: Mvau | Vvau, folding: Folding, part: Part) -> Bill:
    """Terms of a dense, convolutional or depthwise unit."""
    bill = Bill()
    if folding.compute == "unrolled":
        bill.circuit("unrolled", _unrolled_features(unit))
        bill.circuit("matrix control", control_features(1, 1))
        pe = unit.pe_limit
    else:
        pe = folding.pe
        _array(bill, unit, folding, part)
        bill.memory("weight memory", weight_memory(unit, folding, part))
        _control(bill, unit, folding, part)
    if unit.thresholds is not None:
        channels, steps = unit.thresholds.shape
        per_pe = max(1, channels // pe)
        style = folding.ram_style_thresholds
        bill.extend(thresholds_bill(steps, unit.accumulator_type.bit_width, per_pe, pe, part, style))
    return bill


def _array(bill: Bill, unit: Mvau | Vvau, folding: Folding, part: Part) -> None:
    weight, activation = unit.weight_type.bit_width, unit.input_type.bit_width
    accumulator = unit.accumulator_type.bit_width
    if folding.compute == "dsp":
        shape = (weight, activation, folding.simd, folding.pe)
        depthwise = isinstance(unit, Vvau)
        bill.circuit("dsp core", dsp_core_features(*shape, accumulator, depthwise=depthwise))
        bill.blocks += Resources(dsp=dsp_blocks(*shape, part.dsp_block, depthwise=depthwise))
    else:
        bill.circuit("lut core", core_features(weight, activation, folding.simd, accumulator), folding.pe)


def _control(bill: Bill, unit: Mvau | Vvau, folding: Folding, part: Part) -> None:
    outputs, products = unit.weights.shape
    synapse, neuron = products // folding.simd, outputs // folding.pe
    bill.circuit("matrix control", control_features(synapse, neuron))
    if isinstance(unit, Mvau) and neuron > 1:
        # Every input vector is read once and used for each group of PE outputs.
        width = folding.simd * unit.input_type.bit_width
        bill.memory("input buffer", place_memory(synapse, width, "auto", part, writable=True))


def control_features(synapse_folds: int, neuron_folds: int) -> dict[str, float]:
    """Features of the counters over folds of inputs and outputs, and of the one that addresses the weights."""
    words = synapse_folds * neuron_folds
    return {
        "control.counters": (synapse_folds > 1) + (neuron_folds > 1),
        "control.wrapped": wrapped_bits(synapse_folds, neuron_folds),
        "control.address": counter_bits(words),
        "control.wide address": wrapped_bits(words) > _ONE_FUNCTION,
        "control.each": 1,
    }


def _unrolled_features(unit: Mvau | Vvau) -> dict[str, float]:
    """Digits are counted once per unit: a search asks for the same unit many times."""
    if unit not in _UNROLLED:
        digits = csd_digits(unit.weights).sum(axis=1, dtype=np.int64)
        _UNROLLED[unit] = unrolled_features(unit.input_type.bit_width, digits)
    return _UNROLLED[unit]
