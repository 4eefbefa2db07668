"""Example inputs, looked at before anything is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from brevitas_a2q._brevitas import _pytree
from brevitas_a2q._trace import evaluating
from brevitas_a2q.errors import DataError, ModelError
from brevitas_a2q.quant._calibrate import calls_of
from brevitas_a2q.verify._torch_layers import arguments

__all__ = ["examples", "run_once"]

_FEW: Final = 16  # samples that a trace runs on


def examples(inputs: Any) -> tuple[Any, Any]:
    """All of them, to be read once more, and few of them, as arguments of one call.

    Raises:
        DataError: There are none, they are of no known kind, or they hold what is no number.
    """
    if isinstance(inputs, np.ndarray):
        inputs = torch.as_tensor(inputs)
        inputs = inputs.float() if inputs.is_floating_point() else inputs
    if isinstance(inputs, Tensor):
        _check(inputs)
        return inputs, inputs[:_FEW] if inputs.dim() > 1 else inputs
    if isinstance(inputs, (str, bytes, dict)):
        raise DataError(
            f"found {type(inputs).__name__}",
            where="constrain_, example_inputs",
            expected="a tensor, a tuple of inputs, or a loader",
        )
    if inputs is None or isinstance(inputs, (tuple, list)) or not isinstance(inputs, Iterable):
        _check(inputs)
        return inputs, inputs
    batches = list(inputs)
    if not batches:
        raise DataError("found no data", where="constrain_", expected="samples in the loader")
    args, kwargs = next(calls_of(iter(batches)))
    if kwargs:
        raise DataError("found keyword arguments", where="constrain_", expected="tensors, or pairs that begin with one")
    _check(batches)
    return iter(batches), args


def _check(inputs: Any) -> None:
    for leaf in _pytree.tree_leaves(inputs):
        if isinstance(leaf, Tensor) and not leaf.numel():
            raise DataError("found no data", where="constrain_, example_inputs", expected="a sample or more")
        if isinstance(leaf, Tensor) and leaf.is_floating_point() and not bool(leaf.isfinite().all()):
            raise DataError(
                "found values that are infinite or no numbers", where="constrain_, example_inputs", expected="numbers"
            )


def run_once(model: nn.Module, example: Any) -> Callable[[], None]:
    """What runs a model on an example, in evaluation mode; run once already.

    Raises:
        ModelError: The model does not run on it.
    """
    given = arguments(model, example)

    def run() -> None:
        with evaluating(model):
            model(*given)

    try:
        run()
    except Exception as error:  # whatever the user's model raises
        raise ModelError(
            f"does not run on the example inputs ({' '.join(str(error).split())[:200]})",
            where=f"model {type(model).__name__}",
            expected="inputs of the model",
        ) from error
    return run
