"""Fused activation quantizers: what Brevitas computes in a dozen passes over memory, in one pass each way."""

from brevitas_a2q.quant.activations.injectors import fuse_activations_, fused
from brevitas_a2q.quant.activations.proxy import FusedActQuantProxy

__all__ = ["FusedActQuantProxy", "fuse_activations_", "fused"]
