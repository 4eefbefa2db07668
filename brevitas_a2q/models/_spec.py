"""How a network is quantized, in one frozen value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from brevitas_a2q._config import check_setting
from brevitas_a2q.errors import ConfigError

__all__ = ["Method", "QuantSpec"]

Method = Literal["none", "a2q", "a2q+", "projected"]


@dataclass(frozen=True)
class QuantSpec:
    """Bit widths and method of a quantized network.

    The first and the last layer have ``boundary_bit_width`` weights (and inputs) and no accumulator constraint, as in
    the papers' experiments (A2Q; A2Q+, appendix B).

    Example:
        >>> QuantSpec(method="a2q", accumulator_bit_width=12).weight_bit_width
        4
    """

    method: Method = "projected"  # "none": plain quantization, accumulators unconstrained
    weight_bit_width: int = 4  # M
    activation_bit_width: int = 4  # N
    accumulator_bit_width: int = 16  # P of hidden layers
    boundary_bit_width: int = 8

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise ConfigError(f"found method = {self.method!r}", expected=f"one of {', '.join(get_args(Method))}")
        for name in ("weight_bit_width", "activation_bit_width", "accumulator_bit_width", "boundary_bit_width"):
            check_setting(name, getattr(self, name), "quant", required=True)
