"""Elementwise operations with constants, computed as the ONNX runtime that QONNX's executor calls computes them.

One function serves constant folding, range analysis and the search for thresholds, so they cannot disagree. All
operations here are monotone in their input, element by element; some fall where a constant is negative.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["ELEMENTWISE", "evaluate"]

Array = npt.NDArray[Any]


def _channelwise(parameter: Array, rank: int) -> Array:
    """A vector of one value per channel, shaped for axis 1 of a tensor of this rank."""
    return parameter.reshape((1, -1) + (1,) * (rank - 2))


def _batch_normalization(x: Array, constants: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    # The runtime folds the four vectors into a slope and an offset, in these steps; thresholds depend on the rounding.
    gamma, beta, mean, variance = constants
    slope = gamma * (1 / np.sqrt(variance + np.asarray(attributes["epsilon"], variance.dtype)))
    offset = beta - mean * slope
    return x * _channelwise(slope, x.ndim) + _channelwise(offset, x.ndim)


def _leaky_relu(x: Array, constants: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    return np.where(x >= 0, x, x * np.asarray(attributes["alpha"], x.dtype))


def _prelu(x: Array, constants: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    return np.where(x >= 0, x, x * constants[0])


def _hard_sigmoid(x: Array, constants: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    alpha, beta = (np.asarray(attributes[name], x.dtype) for name in ("alpha", "beta"))
    return np.asarray(np.clip(alpha * x + beta, 0, 1))


def _clip(x: Array, constants: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    return np.clip(x, np.asarray(attributes["min"], x.dtype), np.asarray(attributes["max"], x.dtype))


# Operator -> function of (stream, constants, attributes). For Sub the attribute "reversed" says constant - stream.
ELEMENTWISE: Final[Mapping[str, Callable[[Array, Sequence[Array], Mapping[str, Any]], Array]]] = {
    "Add": lambda x, c, a: x + c[0],
    "Sub": lambda x, c, a: c[0] - x if a.get("reversed") else x - c[0],
    "Mul": lambda x, c, a: x * c[0],
    "Div": lambda x, c, a: x / c[0],
    "Neg": lambda x, c, a: -x,
    "BatchNormalization": _batch_normalization,
    "Relu": lambda x, c, a: np.maximum(x, 0),
    "Clip": _clip,
    "LeakyRelu": _leaky_relu,
    "PRelu": _prelu,
    "HardSigmoid": _hard_sigmoid,
    "Sigmoid": lambda x, c, a: 1 / (1 + np.exp(-x)),
    "Tanh": lambda x, c, a: np.tanh(x),
    "Identity": lambda x, c, a: x,
}


def evaluate(op: str, x: Array, constants: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    """Apply one operation to values of any shape that broadcasts with the constants.

    Args:
        op: A key of :data:`ELEMENTWISE`.
        x: The stream, float32 (or float64 for intervals).
        constants: The other inputs, in order.
        attributes: The node's attributes.

    Example:
        >>> evaluate("Sub", np.float32([1, 2]), [np.float32(3)], {"reversed": True}).tolist()
        [2.0, 1.0]
    """
    with np.errstate(all="ignore"):
        return np.asarray(ELEMENTWISE[op](x, constants, attributes))
