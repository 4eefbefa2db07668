"""Keyword arguments of a layer's weight quantizer that an accumulator-aware one cannot obey: refused by name.

Brevitas hands every ``weight_...=`` keyword to the injector, where one that nobody asks for is lost without a word.
"""

from __future__ import annotations

import warnings
from typing import Any, Final

from torch import nn

from brevitas_a2q._brevitas import QuantType
from brevitas_a2q._config import check_setting
from brevitas_a2q.errors import ConfigError

__all__ = ["check_accumulator", "check_keywords", "check_rounding", "check_width", "chosen_width"]

_WHERE: Final = "weight quantizer"
_UNCHOSEN: Final = 32
# Brevitas' default stands for the method's own rounding: to nearest within the budget, or towards zero.
_ROUNDINGS: Final = {
    "projected": ("RoundSte",),
    "a2q": ("RoundSte", "RoundToZeroSte"),
    "a2q+": ("RoundSte", "RoundToZeroSte"),
}


def check_accumulator(bit_width: int, tile: int | None) -> None:
    """Refuse a width or tile that no accumulator can have.

    Raises:
        ConfigError: P is not an integer from 2 to 64, or the tile not a positive integer.
    """
    check_setting("accumulator_bit_width", bit_width, _WHERE, required=True)
    check_setting("accumulator_tile", tile, _WHERE)


def chosen_width(accumulator_bit_width: int | None) -> int:
    """P, or the width of the registers that there are anyway, with a warning, where nobody chose one."""
    if accumulator_bit_width is not None:
        return accumulator_bit_width
    warnings.warn(
        f"no accumulator bit width was chosen, so it is {_UNCHOSEN}, which narrows nothing; give the layer "
        "weight_accumulator_bit_width=P, or the quantizer accumulator_bit_width",
        stacklevel=2,
    )
    return _UNCHOSEN


def check_keywords(quant_type: Any, quant_delay_steps: Any) -> None:
    """Refuse weights that are no integers, and steps in which nothing would be bounded.

    Raises:
        ConfigError: Names the keyword.
    """
    if quant_type != QuantType.INT:
        raise ConfigError(
            f"found weight_quant_type = {getattr(quant_type, 'value', quant_type)!r}",
            where=_WHERE,
            expected="'INT': a budget bounds sums of integers",
            remedy="take one of Brevitas' own quantizers for this layer",
        )
    if quant_delay_steps:
        raise ConfigError(
            f"found weight_quant_delay_steps = {quant_delay_steps!r}",
            where=_WHERE,
            expected="none: weights are bounded from the first step on",
            remedy="train the float network first and load its weights",
        )


def check_rounding(float_to_int: nn.Module, method: str) -> None:
    """Refuse a rounding that the method does not do.

    Raises:
        ConfigError: Names the keyword.
    """
    found = getattr(float_to_int, "original_name", type(float_to_int).__name__)
    if found not in _ROUNDINGS[method]:
        own = "to nearest, within the budget" if method == "projected" else "towards zero"
        raise ConfigError(
            f"found weight_float_to_int_impl_type for {found}",
            where=_WHERE,
            expected=f"{' or '.join(_ROUNDINGS[method])}: {method} rounds {own}",
            remedy="leave the keyword out",
        )


def check_width(bit_width: int | None, signed: bool, narrow_range: bool) -> None:
    """Refuse a weight bit width whose only code is zero.

    Raises:
        ConfigError: One bit, signed, in a narrow range.
    """
    if bit_width is not None and bit_width < 2 and signed and narrow_range:
        raise ConfigError(
            f"found weight_bit_width = {bit_width}, in whose narrow range zero is the only code",
            where=_WHERE,
            expected="at least 2",
            remedy="or weight_narrow_range=False, for codes -1 and 0",
        )
