"""Which values, and which integers, each tensor of a network can hold, whatever its input.

An abstract value (:class:`Value`) for every tensor, and one table of operations (:mod:`brevitas_a2q._ranges.table`)
from values to values. NumPy only.
"""

from __future__ import annotations

from brevitas_a2q._ranges import table
from brevitas_a2q._ranges.annotation import MAX_ANNOTATION, RangeError
from brevitas_a2q._ranges.datatypes import IntType
from brevitas_a2q._ranges.value import Codes, Value, raw_codes
from brevitas_a2q._ranges.windows import Window, covered_taps

__all__ = ["MAX_ANNOTATION", "Codes", "IntType", "RangeError", "Value", "Window", "covered_taps", "raw_codes", "table"]
