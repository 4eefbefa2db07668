"""The methods on a processor: rows handed to the compiled kernels of ``quant._kernels``, many at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from brevitas_a2q.quant._functional.budget import Budget
from brevitas_a2q.quant._functional.memory import line
from brevitas_a2q.quant._functional.rowwise import Rowwise
from brevitas_a2q.quant._kernels.normalization import normalization_gradients, normalize_rows
from brevitas_a2q.quant._kernels.projection import project_rows, projection_gradients
from brevitas_a2q.quant._kernels.threads import in_parts, parts_of

__all__ = ["normalize", "normalize_gradients", "project", "project_gradients"]


def _arrays(argument: Any) -> tuple[Any, ...]:
    """What kernels take in place of an argument; tensors as they lie in memory, those of weights as matrices."""
    if isinstance(argument, Budget):
        return argument.arrays
    if not isinstance(argument, Tensor):
        return (argument,)
    values = line(argument)
    return (values if argument.dim() == 1 else values.reshape(len(argument), -1),)


def _run(kernel: Callable[..., None], *tensors: Any) -> None:
    """Run a kernel over the rows of its first argument."""
    arguments = [found for argument in tensors for found in _arrays(argument)]
    count, size = len(arguments[0]), arguments[0].size

    def part(value: Any, first: int, last: int) -> Any:
        return value[first:last] if isinstance(value, np.ndarray) and len(value) == count else value

    in_parts(kernel, [tuple(part(value, *ends) for value in arguments) for ends in parts_of(count, size)])


_METHODS: Rowwise[Budget] = Rowwise(
    *(partial(_run, kernel) for kernel in (project_rows, projection_gradients, normalize_rows, normalization_gradients))
)
project, project_gradients = _METHODS.project, _METHODS.project_gradients
normalize, normalize_gradients = _METHODS.normalize, _METHODS.normalize_gradients
