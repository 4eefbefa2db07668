"""The range of a layer's input as its keyword arguments declare it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from brevitas_a2q.bounds import BIPOLAR, IntRange, input_range
from brevitas_a2q.errors import ModelError

__all__ = ["declared_codes", "declared_range"]


def declared_range(given: Any, describe: Callable[[], str]) -> IntRange | None:
    """Integers of the input, zero-point subtracted; None where nothing is declared.

    Args:
        given: The quantizer's settings.
        describe: Names the layer in errors.

    Raises:
        ModelError: Only a part is declared.
    """
    if given.input_bit_width is None:
        return None
    if given.input_signed is None:
        raise ModelError(
            "weight_input_bit_width is given without weight_input_signed",
            where=describe(),
            remedy="pass weight_input_signed=True or False",
        )
    if given.input_bit_width == 1 and given.input_signed:
        return BIPOLAR
    return input_range(
        given.input_bit_width,
        given.input_signed,
        narrow_range=given.input_narrow_range,
        zero_point=given.input_zero_point,
    )


def declared_codes(given: Any, declared: IntRange | None) -> list[int]:
    """Lowest and highest code, 0 included, zero-point not subtracted; zeros where there is none."""
    zero_point = int(given.input_zero_point or 0)
    if declared is None or not zero_point:
        return [0, 0]
    return [min(0, declared.lo + zero_point), max(0, declared.hi + zero_point)]
