"""One operation by the table of ranges, without a model around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from brevitas_a2q._ranges import Value
from brevitas_a2q._trace.memory import Known
from brevitas_a2q._trace.tracing import Trace

__all__ = ["value_of_call"]


def value_of_call(function: Callable[[], Any], operands: dict[Tensor, Value]) -> Value | None:
    """What is known of the tensor that a function returns.

    Args:
        function: Runs the operation on the operands; whatever it raises is the caller's.
        operands: Tensors that it reads, and what is known of each.

    Returns:
        The value; None for what is no tensor, or depends on no operand.

    Example:
        >>> x = torch.zeros(2, 3)
        >>> value_of_call(lambda: x.clamp(0, 6), {x: Value.unknown((2, 3))}).never_negative
        True
    """
    trace = Trace(nn.Module(), closed=False)
    with torch.no_grad(), trace.running():
        for tensor, value in operands.items():
            trace.note(tensor, Known(value))
        known = trace.of(function())
    return None if known is None else known.value
