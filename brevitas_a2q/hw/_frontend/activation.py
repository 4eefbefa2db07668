"""Where thresholds go: into the matrix unit that computes the sums, or into a unit of their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q.bounds import IntRange, required_bit_width
from brevitas_a2q.errors import OnnxFileError
from brevitas_a2q.hw._frontend.context import Context
from brevitas_a2q.hw._frontend.stream import Stream
from brevitas_a2q.hw._frontend.thresholds import Thresholds
from brevitas_a2q.hw._ir import ChannelwiseOp, Mvau, Thresholding, Vvau

__all__ = ["with_thresholds"]


def with_thresholds(
    context: Context, stream: Stream, table: Thresholds, dtype: IntType, source: tuple[str, ...]
) -> str:
    """Build thresholds on a stream.

    Args:
        context: What has been built.
        stream: The integers they compare.
        table: The thresholds.
        dtype: Type of what leaves them.
        source: ONNX nodes they stand for, the quantizer last.

    Returns:
        Name of the unit that the quantizer's integers leave.
    """
    unit = context.units.get(stream.unit)
    if isinstance(unit, Mvau | Vvau) and unit.thresholds is None and context.only_reader(stream):
        table = _turned(context, unit, table)
        unit = context.units[stream.unit]
        assert isinstance(unit, Mvau | Vvau)
        if not context.standalone_thresholds and not table.mirrored.any():
            context.units[stream.unit] = replace(
                unit,
                output_type=dtype,
                thresholds=table.table,
                activation_bias=table.bias,
                threshold_reach=table.reach,
                source=(*unit.source, *source),
            )
            return stream.unit
    return _standalone(context, stream, table, dtype, source)


def _turned(context: Context, unit: Mvau | Vvau, table: Thresholds) -> Thresholds:
    """Negate the weights of mirrored channels, if all their negatives are in the weights' type."""
    if not table.mirrored.any():
        return table
    weights = np.where(table.mirrored[:, None], -unit.weights, unit.weights)
    values = unit.weight_type.range
    if weights.min() < values.lo or weights.max() > values.hi:
        return table
    exact = context.exact_ranges[unit.name].turned(table.mirrored)
    analysed = context.analysed_ranges[unit.name].turned(table.mirrored)
    lo, hi = exact.ends
    accumulator = IntType.of(max(2, required_bit_width(lo, hi)), signed=True)
    context.exact_ranges[unit.name], context.analysed_ranges[unit.name] = exact, analysed
    context.units[unit.name] = replace(
        unit,
        weights=weights,
        accumulator_range=(lo, hi),
        analysed_range=analysed.ends,
        accumulator_type=accumulator,
        output_type=accumulator,
    )
    trained = unit.trained_accumulator_bit_width
    if trained is not None and required_bit_width(lo, hi) > max(trained, required_bit_width(*unit.accumulator_range)):
        context.notes.append(
            f"{unit.name}: its sums fit {trained} bits, but not those of the negated channels, which a negative batch"
            " norm asks for"
        )
    return replace(table, mirrored=np.zeros_like(table.mirrored))


def _standalone(context: Context, stream: Stream, table: Thresholds, dtype: IntType, source: tuple[str, ...]) -> str:
    unit, input_type = stream.unit, context.wire(stream)
    table, channels, pixels = _on_wire(stream, table, source)
    if table.mirrored.any():
        lo, hi = input_type.range.lo, input_type.range.hi
        turned = IntType.smallest(IntRange(min(lo, -hi), max(hi, -lo)))
        unit = context.add(
            ChannelwiseOp(
                name=f"{source[-1]}/sign",
                inputs=(unit,),
                input_type=input_type,
                output_type=turned,
                pixels=pixels,
                channels=channels,
                source=source,
                function="mul",
                parameter_type=IntType("BIPOLAR"),
                parameters=np.where(table.mirrored, -1, 1),
            )
        )
        input_type = turned
    return context.add(
        Thresholding(
            name=source[-1],
            inputs=(unit,),
            input_type=input_type,
            output_type=dtype,
            pixels=pixels,
            channels=channels,
            source=source,
            thresholds=table.table,
            activation_bias=table.bias,
            threshold_reach=table.reach if _reads_sums(context, stream) else None,
        )
    )


def _reads_sums(context: Context, stream: Stream) -> bool:
    unit = context.units.get(stream.unit)
    return isinstance(unit, Mvau | Vvau) and unit.thresholds is None


def _on_wire(stream: Stream, table: Thresholds, source: tuple[str, ...]) -> tuple[Thresholds, int, int]:
    """The table with a row for each channel of the wire, its channels and pixels: a flattened image still has both."""
    if stream.image is None:
        return table, stream.channels, stream.pixels
    channels, pixels = stream.image[0], stream.image[1] * stream.image[2]
    levels = table.table.reshape(channels, pixels, -1)
    mirrored, flat = table.mirrored.reshape(channels, pixels), table.flat.reshape(channels, pixels)
    if any((rows != rows[:, :1]).any() for rows in (levels, mirrored, flat)):
        raise OnnxFileError(
            "compares the pixels of a flattened image with different thresholds",
            where=f"node {source[-1]}",
            expected="the same for all pixels of a channel",
            remedy="quantize before the image is flattened",
        )
    return replace(table, table=levels[:, 0], mirrored=mirrored[:, 0], flat=flat[:, 0]), channels, pixels
