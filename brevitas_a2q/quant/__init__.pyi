from ._accumulator_aware import accumulator_aware as accumulator_aware
from ._activations import fused as fused
from ._init import ep_init_ as ep_init_
from ._init import scale_init_ as scale_init_
from ._layers import fixed_input_ranges as fixed_input_ranges
from ._layers import learn_input_ranges as learn_input_ranges
from ._penalty import a2q_penalty as a2q_penalty
from ._quantizers import Int8A2QPlusWeightPerChannelFixedPoint as Int8A2QPlusWeightPerChannelFixedPoint
from ._quantizers import Int8A2QPlusWeightPerChannelFloat as Int8A2QPlusWeightPerChannelFloat
from ._quantizers import Int8A2QPlusWeightPerTensorFixedPoint as Int8A2QPlusWeightPerTensorFixedPoint
from ._quantizers import Int8A2QPlusWeightPerTensorFloat as Int8A2QPlusWeightPerTensorFloat
from ._quantizers import Int8A2QWeightPerChannelFixedPoint as Int8A2QWeightPerChannelFixedPoint
from ._quantizers import Int8A2QWeightPerChannelFloat as Int8A2QWeightPerChannelFloat
from ._quantizers import Int8A2QWeightPerTensorFixedPoint as Int8A2QWeightPerTensorFixedPoint
from ._quantizers import Int8A2QWeightPerTensorFloat as Int8A2QWeightPerTensorFloat
from ._quantizers import Int8ProjectedA2QWeightPerChannelFixedPoint as Int8ProjectedA2QWeightPerChannelFixedPoint
from ._quantizers import Int8ProjectedA2QWeightPerChannelFloat as Int8ProjectedA2QWeightPerChannelFloat
from ._quantizers import Int8ProjectedA2QWeightPerTensorFixedPoint as Int8ProjectedA2QWeightPerTensorFixedPoint
from ._quantizers import Int8ProjectedA2QWeightPerTensorFloat as Int8ProjectedA2QWeightPerTensorFloat
from ._state import accumulator_state as accumulator_state

__all__ = [
    "Int8A2QPlusWeightPerChannelFixedPoint",
    "Int8A2QPlusWeightPerChannelFloat",
    "Int8A2QPlusWeightPerTensorFixedPoint",
    "Int8A2QPlusWeightPerTensorFloat",
    "Int8A2QWeightPerChannelFixedPoint",
    "Int8A2QWeightPerChannelFloat",
    "Int8A2QWeightPerTensorFixedPoint",
    "Int8A2QWeightPerTensorFloat",
    "Int8ProjectedA2QWeightPerChannelFixedPoint",
    "Int8ProjectedA2QWeightPerChannelFloat",
    "Int8ProjectedA2QWeightPerTensorFixedPoint",
    "Int8ProjectedA2QWeightPerTensorFloat",
    "a2q_penalty",
    "accumulator_aware",
    "accumulator_state",
    "ep_init_",
    "fixed_input_ranges",
    "fused",
    "learn_input_ranges",
    "scale_init_",
]
