"""Turn any integer Brevitas weight quantizer into an accumulator-aware one, Brevitas' own A2Q among them."""

from __future__ import annotations

from typing import Any

from brevitas_a2q._brevitas import AccumulatorAwareWeightQuant, ExtendedInjector, PowerOfTwoRestrictValue
from brevitas_a2q.quant import _quantizers as ready
from brevitas_a2q.quant._injectors import extended

__all__ = ["accumulator_aware", "is_upstream_a2q"]


def is_upstream_a2q(base: Any) -> bool:
    """Whether it is one of Brevitas' own A2Q or A2Q+ quantizers."""
    return isinstance(base, type(ExtendedInjector)) and issubclass(base, AccumulatorAwareWeightQuant)


def _in_place_of_upstream(base: Any) -> Any:
    """Our learned scale per channel, with the settings of an A2Q quantizer of Brevitas."""
    fixed_point = isinstance(base.restrict_scaling_impl, PowerOfTwoRestrictValue)
    ours = ready.Int8A2QWeightPerChannelFixedPoint if fixed_point else ready.Int8A2QWeightPerChannelFloat
    known = base.__dependencies__
    settings = {name: getattr(base, name) for name in ("bit_width", "accumulator_bit_width") if name in known}
    return type(base)(base.__name__, (ours,), {name: value for name, value in settings.items() if value is not None})


def accumulator_aware(
    base: Any,
    method: str = "projected",
    accumulator_bit_width: int | None = None,
    tile: int | None = None,
    zero_point: str | None = None,
) -> Any:
    """Accumulator-aware version of an integer weight quantizer: its scale, bit width and granularity are kept.

    Brevitas' own A2Q and A2Q+ quantizers become ours, with the bit width, P and restriction of the scale that they
    have; what they have learned is for :func:`brevitas_a2q.constrain_` to take over.

    Args:
        base: A Brevitas weight quantizer, for example ``Int8WeightPerTensorFixedPoint`` or an own subclass of one.
        method: ``"projected"`` (exact projection onto the two-sided budget), ``"a2q"`` or ``"a2q+"``.
        accumulator_bit_width: P, from 2 to 64; a layer's ``weight_accumulator_bit_width=`` goes before it. 32 without
            either.
        tile: Weights per tile of a multi-stage accumulator, consecutive in the flattened row of a channel; P is then
            the width of one tile's accumulator.
        zero_point: The datapath that is guarded where inputs have a zero-point: ``"subtracted"`` from each code before
            the product, or ``"raw"`` codes are multiplied and the sum is corrected behind the accumulator. If not
            given, the first; the second too where that costs no budget, as with ``"a2q+"``. A certificate names which
            of them hold.

    Returns:
        A quantizer for ``weight_quant=``.

    Raises:
        ConfigError: A method, width or tile that does not exist.
        ModelError: The base is no symmetric integer quantizer.

    Example:
        >>> from brevitas.nn import QuantLinear
        >>> from brevitas.quant import Int8WeightPerTensorFixedPoint
        >>> quantizer = accumulator_aware(Int8WeightPerTensorFixedPoint, "a2q", accumulator_bit_width=14)
        >>> layer = QuantLinear(8, 2, weight_quant=quantizer, weight_input_bit_width=8, weight_input_signed=False)
        >>> layer.weight_quant.accumulator_bit_width, layer.weight_quant.input_range()
        (14, IntRange(lo=0, hi=255))
    """
    if is_upstream_a2q(base):
        base = _in_place_of_upstream(base)
    return extended(base, method, accumulator_bit_width, tile, zero_point)
