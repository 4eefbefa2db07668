"""Accuracy against the accumulator's width: what overflowing accumulators do to the classes that a network tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from brevitas_a2q._ir.layers import dot_product_layers
from brevitas_a2q._ir.network import Network
from brevitas_a2q.bounds import MIN_ACCUMULATOR_BITS
from brevitas_a2q.errors import DataError
from brevitas_a2q.verify._certificate import certify_layers
from brevitas_a2q.verify._network_simulation import NetworkSimulator
from brevitas_a2q.verify._simulation import Settings, Simulation

__all__ = ["AccuracyPoint", "accuracy", "accuracy_curve", "widths_below"]

_STEPS: Final = 8


@dataclass(frozen=True)
class AccuracyPoint:
    """One width of every accumulator.

    Attributes:
        accumulator_bit_width: P; None for each layer's own.
        accuracy: Percent of the inputs whose class is their label; None without labels.
        simulation: What overflowed.
    """

    accumulator_bit_width: int | None
    accuracy: float | None
    simulation: Simulation


def accuracy(outputs: Any, labels: NDArray[Any]) -> float:
    """Percent of right classes.

    Args:
        outputs: Scores, of which the largest names the class; or the classes themselves, one for each input.
        labels: # shape: (n,)

    Raises:
        DataError: Not one label for each output.
    """
    array = np.asarray(next(iter(outputs.values())) if isinstance(outputs, Mapping) else outputs)
    rows = array.reshape(len(array), -1) if array.ndim else array.reshape(0, 1)
    if labels.shape != (len(rows),) or labels.dtype.kind not in "iu":
        raise DataError(
            f"found labels of type {labels.dtype} and shape {labels.shape}",
            where="labels",
            expected=f"{len(rows)} integers, one for each input",
        )
    classes = rows.argmax(1) if rows.shape[1] > 1 else rows[:, 0]
    return 100 * float((classes == labels).mean())


def widths_below(network: Network) -> list[int]:
    """From the width at which no input overflows any layer down to where little is left."""
    layers = certify_layers(tuple(dot_product_layers(network)), ()).layers
    needed = max((layer.required_bit_width for layer in layers), default=MIN_ACCUMULATOR_BITS)
    return list(range(needed, max(needed - _STEPS, MIN_ACCUMULATOR_BITS - 1), -1))


def accuracy_curve(
    simulator: NetworkSimulator,
    inputs: Mapping[str, Any],
    labels: NDArray[Any] | None,
    widths: Sequence[int | None],
    settings: Settings,
) -> Iterator[AccuracyPoint]:
    """Run a network once for each width.

    Args:
        simulator: Of the network.
        inputs: Arrays named as its inputs.
        labels: Of the inputs; None where only overflows are asked for.
        widths: P of every layer; None for each layer's own.
        settings: All else.
    """
    for bits in widths:
        result = simulator.run(inputs, replace(settings, accumulator_bit_width=bits))
        yield AccuracyPoint(bits, None if labels is None else accuracy(result.outputs, labels), result)
