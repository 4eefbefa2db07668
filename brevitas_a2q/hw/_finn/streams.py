"""Elementwise units on streams: sums, copies, binary operators, requantization.

Cycles are the output words; resources 0, as FINN prints them (AddStreams, DuplicateStreams and their kin do cost LUTs).

Source: FINN ``custom_op/fpgadataflow/addstreams.py``, ``duplicatestreams.py``, ``streamingeltwise.py`` (main),
``elementwise_binary.py``, ``requant.py``, ``hls/requant_hls.py`` (dev).
"""

from __future__ import annotations

from math import prod

from brevitas_a2q.errors import ConfigError
from brevitas_a2q.hw._finn.attributes import Attributes
from brevitas_a2q.hw._finn.data_types import DataType, smallest_possible
from brevitas_a2q.hw._finn.unit import FinnUnit

__all__ = ["AddStreams", "DuplicateStreams", "ElementwiseBinary", "Requant", "StreamingEltwise"]

_REQUANT_HLS_OVERHEAD = 10  # cycles FINN adds for filling the HLS pipeline


class _Elementwise(FinnUnit):
    def __init__(self, node: Attributes) -> None:
        super().__init__(node)
        channels = node.integer("NumChannels", minimum=1)
        self.output_elements = node.parallelism("PE", channels, self._default_pe)
        self.output_shape = (*node.integers("numInputVectors", (1,)), channels)

    _default_pe: int | None = None


class DuplicateStreams(_Elementwise):
    """``DuplicateStreams_hls``."""

    op_types = ("DuplicateStreams_hls",)

    def __init__(self, node: Attributes) -> None:
        super().__init__(node)
        self.output_type = node.data_type("inputDataType")


class AddStreams(_Elementwise):
    """``AddStreams_hls`` (main): the sum is one bit wider."""

    op_types = ("AddStreams_hls",)

    def __init__(self, node: Attributes) -> None:
        super().__init__(node)
        self.inputs = node.data_type("inputDataType")
        self.output_type = smallest_possible(2 * (self.inputs.lo if self.inputs.signed else self.inputs.hi))

    def input_type(self, index: int = 0) -> DataType:
        return self.inputs


class StreamingEltwise(_Elementwise):
    """``StreamingEltwise_hls`` (main): sum, difference or absolute difference of two streams."""

    op_types = ("StreamingEltwise_hls",)

    def __init__(self, node: Attributes) -> None:
        super().__init__(node)
        self.inputs = (node.data_type("inputDataType0"), node.data_type("inputDataType1"))
        self.output_type = self._result(node.choice("eltwiseOp", "", ("Add", "Sub", "AbsDiff")))

    def _result(self, operator: str) -> DataType:
        a, b = self.inputs
        if a.signed != b.signed:
            raise ConfigError(f"found inputs {a.name} and {b.name}", where=self.op_type, expected="one signedness")
        if operator == "Add":
            return smallest_possible(a.lo + b.lo if a.signed else a.hi + b.hi)
        largest = max(abs(x - y) for x in (a.lo, a.hi) for y in (b.lo, b.hi))
        return smallest_possible(-largest if operator == "Sub" else largest)

    def input_type(self, index: int = 0) -> DataType:
        return self.inputs[index]


class ElementwiseBinary(FinnUnit):
    """``Elementwise<Operator>_hls`` (dev), with broadcasting."""

    op_types = tuple(
        f"Elementwise{name}_hls"
        for name in (
            *("Add", "Sub", "AbsDiff", "Mul", "Div", "And", "Or", "Xor", "Equal", "Less", "LessOrEqual", "Greater"),
            *("GreaterOrEqual", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitShift", "Max"),
        )
    )

    def __init__(self, node: Attributes) -> None:
        super().__init__(node)
        self.output_shape = node.integers("out_shape")
        self.shapes = (node.integers("lhs_shape"), node.integers("rhs_shape"))
        self.output_elements = node.parallelism("PE", self.output_shape[-1], 1)
        self.inputs = (node.data_type("lhs_dtype", real=True), node.data_type("rhs_dtype", real=True))
        self.output_type = node.data_type("out_dtype", real=True)
        self.broadcast = (self.shapes[0][-1] == 1) != (self.shapes[1][-1] == 1)

    def input_type(self, index: int = 0) -> DataType:
        return self.inputs[index]

    def input_elements(self, index: int = 0) -> int:
        return 1 if self.broadcast and self.shapes[index][-1] == 1 else self.output_elements

    def input_width(self, index: int = 0) -> int:
        # A broadcast scalar is copied to all PEs, and FINN counts the copies.
        return self.output_elements * self.inputs[index].bits

    @property
    def wmem(self) -> int:
        """Words of the right-hand side, constant or not."""
        return prod(self.shapes[1]) // self.input_elements(1)


class Requant(_Elementwise):
    """``Requant_hls`` and ``Requant_rtl`` (dev)."""

    op_types = ("Requant_hls", "Requant_rtl")
    _default_pe = 1

    def __init__(self, node: Attributes) -> None:
        super().__init__(node)
        self.inputs = node.data_type("inputDataType")
        self.output_type = node.data_type("outputDataType")

    def input_type(self, index: int = 0) -> DataType:
        return self.inputs

    @property
    def cycles(self) -> int:
        return super().cycles + (_REQUANT_HLS_OVERHEAD if self.op_type == "Requant_hls" else 0)
