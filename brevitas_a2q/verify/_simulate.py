"""``simulate``: a network with P-bit accumulators that wrap, saturate or are checked."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from brevitas_a2q.verify._accumulate import Order, Overflow
from brevitas_a2q.verify._simulation import Settings, Simulation, ZeroPoint

__all__ = ["simulate"]


def simulate(
    path_or_model: Any,
    inputs: Any,
    accumulator_bit_width: int | Mapping[str, int] | None = None,
    overflow: Overflow = "wrap",
    *,
    order: Order = "forward",
    tile: int | None = None,
    seed: int = 0,
    zero_point: ZeroPoint | None = None,
) -> Simulation:
    """Run a network on integers, every dot product in accumulators of limited width.

    Args:
        path_or_model: A QONNX file, or a PyTorch model with Brevitas layers.
        inputs: For a file: an array, or one array per input name; any batch size. For a model: one tensor or array, or
            a tuple of positional arguments.
        accumulator_bit_width: P of every layer, or of each layer by name; where none is given, each layer's own target,
            and where it has none, as wide as it takes.
        overflow: ``"wrap"`` (two's complement), ``"saturate"``, or ``"check"`` (exact, and counted).
        order: Order of the additions of one output: ``"forward"``, ``"reverse"`` or ``"random"``. Wrapping gives the
            same in any order.
        tile: Products per tile, each tile with its own P-bit accumulator and their sum as wide as it takes; each
            layer's own if not given.
        seed: Of the random order.
        zero_point: What layers do with the zero-point of their inputs: ``"subtracted"`` from each code before it is
            multiplied, or ``"raw"``: codes are multiplied as they are, and the sum is corrected behind the accumulator;
            each layer's own if not given.

    Returns:
        Outputs, overflows per layer (:mod:`brevitas_a2q.verify._accumulate` says what counts), and additions.

    Raises:
        A2QError: Bad settings, a file or model that is not integer, or inputs that do not fit it.
    """
    settings = Settings(accumulator_bit_width, overflow, order, tile, seed, zero_point)
    if isinstance(path_or_model, (str, PathLike)):
        from brevitas_a2q.verify._network_simulation import simulate_file

        return simulate_file(Path(path_or_model), inputs, settings)
    from brevitas_a2q.verify._torch_simulation import simulate_model

    return simulate_model(path_or_model, inputs, settings)
