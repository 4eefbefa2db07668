"""Fused activation quantizers: what Brevitas computes in a dozen passes over memory, in one pass each way."""

from brevitas_a2q.quant._activations.injectors import fuse_activations_, fused
from brevitas_a2q.quant._activations.proxy import FusedActivation, FusedActQuantProxy

__all__ = ["FusedActQuantProxy", "FusedActivation", "fuse_activations_", "fused"]
