"""Matrix-vector and vector-vector units: weights in the order in which the stream meets them."""

from __future__ import annotations

import numpy as np

from brevitas_a2q._ir.dot_product import IntArray
from brevitas_a2q.errors import RtlError
from brevitas_a2q.hw._cost.synthesis.dot_product import by_weight, dsp_products
from brevitas_a2q.hw._cost.synthesis.search import SearchTable
from brevitas_a2q.hw._ir import Folding, Mvau, Vvau
from brevitas_a2q.rtl._circuit import Circuit, Context, Port, Value, kind_of
from brevitas_a2q.rtl._memory_image import Memory, encoded
from brevitas_a2q.rtl._units.constants import constant_layer
from brevitas_a2q.rtl._units.thresholds import activation

__all__ = ["matrix", "vector"]


def matrix(unit: Mvau, context: Context) -> Circuit:
    """A dense or convolutional layer."""
    folding = context.foldings[unit.name]
    if unit.constant(folding):
        return _constant(unit, context, unit.weights)
    pe, simd, groups = folding.pe, folding.simd, unit.groups
    neurons, synapses = unit.matrix_height // groups // pe, unit.matrix_width // simd
    words = unit.weights.reshape(groups * neurons, pe, synapses, simd).transpose(0, 2, 1, 3)
    shape = {"SF": synapses, "NF": neurons, "GROUPS": groups, "PE": pe, "SIMD": simd, "DEPTHWISE": 0}
    shape["REPLAY"] = int(neurons > 1)
    shape["BUFFER_BLOCK"] = context.in_blocks(2 * synapses, simd * unit.input_type.bit_width, "auto", writable=True)
    if not shape["REPLAY"]:
        shape["BUFFER_BLOCK"] = 0
    weights = words.reshape(groups * neurons * synapses, pe * simd)
    return _unit(unit, context, folding, shape, weights, Port(simd, unit.input_type))


def vector(unit: Vvau, context: Context) -> Circuit:
    """A depthwise layer: each channel has its own row of taps."""
    folding = context.foldings[unit.name]
    channels, taps = unit.weights.shape
    if unit.constant(folding):
        whole = np.zeros((channels, taps, channels), np.int64)  # a word holds all channels of the first tap first
        whole[np.arange(channels), :, np.arange(channels)] = unit.weights
        return _constant(unit, context, whole.reshape(channels, -1))
    pe, simd = folding.pe, folding.simd
    groups, synapses = channels // pe, taps // simd
    words = unit.weights.reshape(groups, pe, synapses, simd).transpose(0, 2, 1, 3)
    shape = {"SF": synapses, "NF": groups, "GROUPS": 1, "PE": pe, "SIMD": simd, "DEPTHWISE": 1, "REPLAY": 0}
    shape["BUFFER_BLOCK"] = 0
    weights = words.reshape(groups * synapses, pe * simd)
    return _unit(unit, context, folding, shape, weights, Port(pe * simd, unit.input_type))


def _unit(
    unit: Mvau | Vvau, context: Context, folding: Folding, shape: dict[str, int], weights: IntArray, port: Port
) -> Circuit:
    if not shape["DEPTHWISE"] and shape["PE"] > 9999:
        raise RtlError(f"found PE = {shape['PE']}", where=f"{unit.kind} {unit.name}", expected="at most 9999")
    bits, accumulator = unit.weight_type.bit_width, unit.accumulator_type
    memories = {"w.mem": Memory(encoded(weights, unit.weight_type), bits)}
    parameters: dict[str, Value] = {
        **shape,
        "W": bits,
        "WKIND": kind_of(unit.weight_type),
        "A": unit.input_type.bit_width,
        "AKIND": kind_of(unit.input_type),
        "P": accumulator.bit_width,
        "WEIGHTS": "w.mem",
        "BLOCK": context.in_blocks(len(weights), weights.shape[1] * bits, folding.ram_style),
        "DSP": _dsp_products(unit, context) if folding.compute == "dsp" else 0,
        "SWAP": int(by_weight(unit.weight_type, unit.input_type, accumulator.bit_width)),
        "LEVELS": context.tree_levels,
        "B": 0,
        "OUT": accumulator.bit_width,
    }
    tree = -(-(shape["SIMD"] - 1).bit_length() // context.tree_levels)
    depth = 3 + tree + 2 * shape["REPLAY"]
    output = accumulator
    if unit.thresholds is not None:
        table = SearchTable(unit.thresholds, accumulator.range)
        made = activation(table, unit.channels, shape["PE"], folding.ram_style_thresholds, context)
        output = unit.output_type
        parameters |= made.parameters | {"THRESHOLD_BLOCK": made.block, "TF": made.words}
        parameters |= {"BIAS": unit.activation_bias, "OUT": output.bit_width}
        memories |= made.memories
        depth += made.depth_cycles
    return Circuit(
        "matrix_unit",
        parameters,
        (port,),
        Port(shape["PE"], output),
        memories=memories,
        depth_cycles=depth,
        overflow=True,
    )


def _dsp_products(unit: Mvau | Vvau, context: Context) -> int:
    types, block = (unit.weight_type, unit.input_type), context.part.dsp_block
    return dsp_products(*types, block, shared=unit.shares_activations)


def _constant(unit: Mvau | Vvau, context: Context, rows: IntArray) -> Circuit:
    """A layer of constant weights: adders without memory or multipliers."""
    folding, accumulator = context.foldings[unit.name], unit.accumulator_type
    memories: dict[str, Memory] = {}
    parameters: dict[str, Value] = {"OUT": unit.channels * accumulator.bit_width}
    codes, output, depth = None, accumulator, 0
    if unit.thresholds is not None:
        table = SearchTable(unit.thresholds, accumulator.range)
        made = activation(table, unit.channels, unit.channels, folding.ram_style_thresholds, context)
        output = unit.output_type
        values = {"CF": 1, "PE": unit.channels, "A": accumulator.bit_width, "KIND": 1, "BLOCK": made.block}
        values |= {"BIAS": unit.activation_bias, "OUT": output.bit_width, **made.parameters, "FILE": "FILE"}
        codes = ", ".join(f".{key}({value})" for key, value in values.items())
        parameters = {"OUT": unit.channels * output.bit_width, "FILE": "t"}
        memories |= made.memories
        depth = made.depth_cycles
    layer = constant_layer(rows, unit.input_type, accumulator.bit_width, context.tree_levels, codes)
    return Circuit(
        "constant",
        parameters,
        (Port(rows.shape[1], unit.input_type),),
        Port(unit.channels, output),
        memories=memories,
        depth_cycles=layer.registers + 2 + depth,
        overflow=True,
        source=layer.text,
    )
