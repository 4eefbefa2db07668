"""Pools and the selection of labels."""

from __future__ import annotations

from brevitas_a2q.errors import RtlError
from brevitas_a2q.hw._ir import GlobalAccPool, LabelSelect, MaxPool, Pool
from brevitas_a2q.rtl._circuit import Circuit, Context, Port, value_type

__all__ = ["global_pool", "label_select", "max_pool", "pool"]


def max_pool(unit: MaxPool, context: Context) -> Circuit:
    """Maxima of blocks of pixels, all channels at once."""
    if any(size % kernel for size, kernel in zip(unit.input_dim, unit.kernel, strict=True)):
        raise RtlError(
            f"found an image of {unit.input_dim} and a kernel of {unit.kernel}",
            where=f"{unit.kind} {unit.name}",
            expected="whole kernels",
        )
    port = Port(unit.channels, unit.input_type)
    parameters = {
        "H": unit.input_dim[0],
        "W": unit.input_dim[1],
        "KH": unit.kernel[0],
        "KW": unit.kernel[1],
        "C": unit.channels,
        "B": unit.input_type.bit_width,
        "SIGNED": int(unit.input_type.signed and unit.input_type.name != "BIPOLAR"),
    }
    return Circuit("max_pool", parameters, (port,), port)


def pool(unit: Pool, context: Context) -> Circuit:
    """Maximum or sum of a window's taps."""
    pe, maximum = context.foldings[unit.name].pe, unit.function == "max"
    read = unit.input_type if maximum and unit.input_type == unit.output_type else value_type(unit.input_type)
    parameters = {
        "K": unit.kernel[0] * unit.kernel[1],
        "PE": pe,
        "A": read.bit_width,
        "SIGNED": int(read.signed and read.name != "BIPOLAR"),
        "OUT": unit.output_type.bit_width,
        "MAXIMUM": int(maximum),
    }
    return Circuit("pool", parameters, (Port(pe, read),), Port(pe, unit.output_type))


def global_pool(unit: GlobalAccPool, context: Context) -> Circuit:
    """Sum over the image."""
    pe, read = context.foldings[unit.name].pe, value_type(unit.input_type)
    parameters = {
        "PIXELS": unit.input_dim[0] * unit.input_dim[1],
        "CF": unit.channels // pe,
        "PE": pe,
        "A": read.bit_width,
        "SIGNED": int(read.signed),
        "OUT": unit.output_type.bit_width,
    }
    return Circuit("global_pool", parameters, (Port(pe, read),), Port(pe, unit.output_type))


def label_select(unit: LabelSelect, context: Context) -> Circuit:
    """Indices of the highest labels."""
    pe, read = context.foldings[unit.name].pe, value_type(unit.input_type)
    parameters = {
        "N": unit.labels,
        "PE": pe,
        "A": read.bit_width,
        "SIGNED": int(read.signed),
        "K": unit.k,
        "OUT": unit.output_type.bit_width,
    }
    return Circuit("label_select", parameters, (Port(pe, read),), Port(1, unit.output_type))
