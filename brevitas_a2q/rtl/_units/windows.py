"""Sliding windows, padding, down- and upsampling, depth to space."""

from __future__ import annotations

from brevitas_a2q.hw._ir import DepthToSpace, DownSampler, Padding, PixelPadding, SlidingWindow, Upsample
from brevitas_a2q.rtl._circuit import Circuit, Context, Port, value_type

__all__ = ["depth_to_space", "down_sampler", "padding", "pixel_padding", "sliding_window", "upsample"]


def sliding_window(unit: SlidingWindow, context: Context) -> Circuit:
    """A circular buffer read tap by tap, or line buffers whose taps leave at once; one tap needs no buffer."""
    folding = context.foldings[unit.name]
    port = Port(folding.simd, unit.input_type)
    words = unit.channels // folding.simd
    geometry = {
        "H": unit.input_dim[0],
        "W": unit.input_dim[1],
        "KH": unit.kernel[0],
        "KW": unit.kernel[1],
        "OH": unit.output_dim[0],
        "OW": unit.output_dim[1],
        "SH": unit.stride[0],
        "SW": unit.stride[1],
        "DH": unit.dilation[0],
        "DW": unit.dilation[1],
        "B": port.width,
    }
    if folding.parallel_window or unit.taps == 1:
        line = (unit.dilation[0] * unit.input_dim[1] - (unit.kernel[1] - 1) * unit.dilation[1]) * words
        block = context.in_blocks(max(1, line), port.width, folding.ram_style, writable=True, single_port=True)
        parameters = {**geometry, "CF": words, "BLOCK": block}
        return Circuit("window_parallel", parameters, (port,), Port(folding.simd * unit.taps, unit.output_type))
    groups = unit.streamed_groups(folding)
    depth = max(2, unit.buffer_words(folding.simd))
    block = context.in_blocks(depth, port.width, folding.ram_style, writable=True)
    parameters = {**geometry, "G": groups, "CI": words // groups, "D": depth, "BLOCK": block}
    return Circuit("window", parameters, (port,), Port(folding.simd, unit.output_type), depth_cycles=2)


def padding(unit: Padding, context: Context) -> Circuit:
    """Zeros around an image."""
    port = Port(context.foldings[unit.name].simd, value_type(unit.input_type))
    top, left, bottom, right = unit.pads
    parameters = {
        "H": unit.input_dim[0],
        "W": unit.input_dim[1],
        "T": top,
        "L": left,
        "BO": bottom,
        "R": right,
        "CF": unit.channels // port.elements,
        "B": port.width,
    }
    return Circuit("pad", parameters, (port,), port)


def pixel_padding(unit: PixelPadding, context: Context) -> Circuit:
    """Zeros between pixels."""
    return _strided("pixel_pad", unit, context)


def down_sampler(unit: DownSampler, context: Context) -> Circuit:
    """Every stride-th pixel."""
    return _strided("down_sampler", unit, context)


def _strided(module: str, unit: PixelPadding | DownSampler, context: Context) -> Circuit:
    kind = unit.input_type if unit.input_type == unit.output_type else value_type(unit.input_type)
    port = Port(context.foldings[unit.name].simd, kind)
    (h, w), (sh, sw) = unit.input_dim, unit.stride
    words = unit.channels // port.elements
    parameters = {"H": h, "W": w, "SH": sh, "SW": sw, "CF": words, "B": port.width}
    return Circuit(module, parameters, (port,), port)


def upsample(unit: Upsample, context: Context) -> Circuit:
    """Every row and every pixel repeated."""
    port = Port(unit.channels, unit.input_type)
    parameters = {"W": unit.input_dim[1], "SY": unit.scale[0], "SX": unit.scale[1], "C": unit.channels}
    parameters |= {"B": unit.input_type.bit_width, "SHUFFLE": 0}
    return Circuit("line_reader", parameters, (port,), port)


def depth_to_space(unit: DepthToSpace, context: Context) -> Circuit:
    """Blocks of channels as blocks of pixels."""
    block = unit.block_size
    parameters = {"W": unit.input_dim[1], "SY": block, "SX": block, "C": unit.channels}
    parameters |= {"B": unit.input_type.bit_width, "SHUFFLE": 1}
    read = Port(unit.channels * block * block, unit.input_type)
    return Circuit("line_reader", parameters, (read,), Port(unit.channels, unit.output_type))
