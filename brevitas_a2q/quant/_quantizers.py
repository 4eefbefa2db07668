"""Ready-made accumulator-aware weight quantizers, named in Brevitas' manner.

The scale is learned in each, per channel or per tensor, floating-point or (``FixedPoint``) a power of two. It starts at
``max|w|`` as in the papers, or for the projection where it loses least within the budget.
"""

from __future__ import annotations

from typing import Any

import torch
from brevitas.quant.fixed_point import Int8WeightPerChannelFixedPoint, Int8WeightPerTensorFixedPoint
from brevitas.quant.scaled_int import Int8WeightPerChannelFloat, Int8WeightPerTensorFloat

from brevitas_a2q._brevitas import ExtendedInjector, RestrictValueType, ScalingImplType, value
from brevitas_a2q.quant._injectors import extended
from brevitas_a2q.quant._scaling import LearnedScaling

__all__ = [
    f"Int8{method}Weight{granularity}{scale}"
    for method in ("A2Q", "A2QPlus", "ProjectedA2Q")
    for granularity in ("PerChannel", "PerTensor")
    for scale in ("Float", "FixedPoint")
]


class _LearnedScale(ExtendedInjector):
    """A scale ``s = 2^d`` with ``d`` learned, as in A2Q; what is added to Brevitas' quantizers."""

    scaling_impl_type = ScalingImplType.PARAMETER_FROM_STATS
    scaling_impl = LearnedScaling

    @value
    def scaling_min_val(dtype):  # type: ignore[no-untyped-def]  # noqa: N805
        # Brevitas' 1e-10 is zero in float16, and its logarithm is -inf.
        return max(1e-10, torch.finfo(dtype).tiny)


class _PerChannelFloat(_LearnedScale, Int8WeightPerChannelFloat):
    restrict_scaling_type = RestrictValueType.LOG_FP


class _PerTensorFloat(_LearnedScale, Int8WeightPerTensorFloat):
    restrict_scaling_type = RestrictValueType.LOG_FP


class _PerChannelFixedPoint(_LearnedScale, Int8WeightPerChannelFixedPoint):
    pass


class _PerTensorFixedPoint(_LearnedScale, Int8WeightPerTensorFixedPoint):
    pass


def _ready(name: str, base: Any, method: str) -> Any:
    settings = {
        "__doc__": f"{name}: see the module.",
        "__module__": __name__,
        "budget_aware_scale": method == "projected",
    }
    return type(base)(name, (extended(base, method),), settings)


Int8A2QWeightPerChannelFloat = _ready("Int8A2QWeightPerChannelFloat", _PerChannelFloat, "a2q")
Int8A2QWeightPerChannelFixedPoint = _ready("Int8A2QWeightPerChannelFixedPoint", _PerChannelFixedPoint, "a2q")
Int8A2QWeightPerTensorFloat = _ready("Int8A2QWeightPerTensorFloat", _PerTensorFloat, "a2q")
Int8A2QWeightPerTensorFixedPoint = _ready("Int8A2QWeightPerTensorFixedPoint", _PerTensorFixedPoint, "a2q")

Int8A2QPlusWeightPerChannelFloat = _ready("Int8A2QPlusWeightPerChannelFloat", _PerChannelFloat, "a2q+")
Int8A2QPlusWeightPerChannelFixedPoint = _ready("Int8A2QPlusWeightPerChannelFixedPoint", _PerChannelFixedPoint, "a2q+")
Int8A2QPlusWeightPerTensorFloat = _ready("Int8A2QPlusWeightPerTensorFloat", _PerTensorFloat, "a2q+")
Int8A2QPlusWeightPerTensorFixedPoint = _ready("Int8A2QPlusWeightPerTensorFixedPoint", _PerTensorFixedPoint, "a2q+")

Int8ProjectedA2QWeightPerChannelFloat = _ready("Int8ProjectedA2QWeightPerChannelFloat", _PerChannelFloat, "projected")
Int8ProjectedA2QWeightPerChannelFixedPoint = _ready(
    "Int8ProjectedA2QWeightPerChannelFixedPoint", _PerChannelFixedPoint, "projected"
)
Int8ProjectedA2QWeightPerTensorFloat = _ready("Int8ProjectedA2QWeightPerTensorFloat", _PerTensorFloat, "projected")
Int8ProjectedA2QWeightPerTensorFixedPoint = _ready(
    "Int8ProjectedA2QWeightPerTensorFixedPoint", _PerTensorFixedPoint, "projected"
)
