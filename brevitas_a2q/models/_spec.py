"""How a network is quantized, in one frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from brevitas_a2q._config import A2QConfig, LayerRule, check_settings

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
        check_settings(self, "quant", required=asdict(self))

    def conversion(self, layer_rules: Mapping[str, int] | None = None) -> A2QConfig:
        """The same for :func:`brevitas_a2q.constrain_`, with a P of their own for layers by the glob of their names."""
        rules = [LayerRule(pattern, accumulator_bit_width=bits) for pattern, bits in (layer_rules or {}).items()]
        return A2QConfig(**asdict(self), rules=tuple(rules))
