"""What a running PyTorch model computes, as values of :mod:`brevitas_a2q._ranges`.

Every operation that PyTorch dispatches is seen, whatever wrote it: methods, functions, views, in-place forms, ``out=``.
The quantizers use it to learn which integers arrive at a layer, and the certificate to prove it.
"""

from __future__ import annotations

from brevitas_a2q._trace.calls import Call, as_written, outermost_call, uncompiled
from brevitas_a2q._trace.memory import upright
from brevitas_a2q._trace.modules import evaluating, is_brevitas_product, quantized_layers
from brevitas_a2q._trace.outside import Product
from brevitas_a2q._trace.quantizers import doubts_of
from brevitas_a2q._trace.questions import run_both_ways
from brevitas_a2q._trace.running import is_sharded, learn_ranges, repeated
from brevitas_a2q._trace.single import value_of_call
from brevitas_a2q._trace.standing import Standing
from brevitas_a2q._trace.state import Doubts
from brevitas_a2q._trace.tracing import Known, Trace, active_trace, plain_tensor

__all__ = [
    "Call",
    "Doubts",
    "Known",
    "Product",
    "Standing",
    "Trace",
    "active_trace",
    "as_written",
    "doubts_of",
    "evaluating",
    "is_brevitas_product",
    "is_sharded",
    "learn_ranges",
    "outermost_call",
    "plain_tensor",
    "quantized_layers",
    "repeated",
    "run_both_ways",
    "uncompiled",
    "upright",
    "value_of_call",
]
