"""Ready-made accumulator-aware weight quantizers, named in Brevitas' manner."""

from __future__ import annotations

from brevitas.inject.enum import RestrictValueType, ScalingImplType
from brevitas.quant.scaled_int import Int8WeightPerChannelFloat

from brevitas_a2q.quant.injectors import accumulator_aware

__all__ = ["Int8A2QWeightPerChannelFloat"]


class _LearnedPerChannel(Int8WeightPerChannelFloat):
    """Per-channel scale ``s = 2^d``, learned in the log domain, from ``max|w|``."""

    scaling_impl_type = ScalingImplType.PARAMETER_FROM_STATS
    restrict_scaling_type = RestrictValueType.LOG_FP


Int8A2QWeightPerChannelFloat = accumulator_aware(_LearnedPerChannel, "a2q")
