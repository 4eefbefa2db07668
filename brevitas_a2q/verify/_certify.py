"""``certify``: the worst case of every accumulator of a Brevitas model or a QONNX file."""

from __future__ import annotations

from math import inf, isfinite
from os import PathLike
from pathlib import Path
from typing import Any

from brevitas_a2q._ir.layers import dot_product_layers
from brevitas_a2q._ir.network import Assumption
from brevitas_a2q.errors import DataError, ModelError
from brevitas_a2q.verify._certificate import Certificate, certify_layers

__all__ = ["certify"]


def certify(
    model_or_path: Any,
    example_inputs: Any = None,
    *,
    input_range: tuple[float, float] | None = None,
    input_type: str | None = None,
    assume_input_range: bool = False,
    assume_defaults: bool = False,
) -> Certificate:
    """Prove, from integers alone, what every accumulator can hold over all inputs and all orders of additions.

    Args:
        model_or_path: A PyTorch model with Brevitas layers, or the path of a QONNX file.
        example_inputs: For a model, inputs to run it once: one tensor or array, or a tuple of positional arguments.
        input_range: For a file, lowest and highest real value of the network's input, where the data are known to be
            narrower than its quantizer's type.
        input_type: For a file, QONNX data type of its inputs, such as ``UINT8`` or ``FIXED<16,6>``.
        assume_input_range: For a file, whether to take its own word for its inputs' range and data type.
        assume_defaults: For a file, whether to take it that nobody replaces initializers that are inputs too.

    Returns:
        The certificate; ``holds`` is true if no layer with a target width can leave it.

    Raises:
        ModelError: Names the layer that is not integer, with a remedy.
        OnnxFileError: Names the file or node that cannot be read.
    """
    if isinstance(model_or_path, (str, PathLike)):
        from brevitas_a2q._ir.reader import read_network

        if input_range is not None and not (isfinite(input_range[0]) and input_range[0] <= input_range[1] < inf):
            raise DataError(f"found input_range = {input_range}", expected="two finite numbers, the lower one first")
        network = read_network(
            Path(model_or_path),
            input_range=input_range,
            input_type=input_type,
            assume_input_range=assume_input_range,
            assume_defaults=assume_defaults,
        )
        return certify_layers(dot_product_layers(network), network.uncovered, network.assumptions)
    if example_inputs is None:
        raise ModelError(
            "found no example inputs",
            where=f"model {type(model_or_path).__name__}",
            expected="certify(model, example_inputs)",
            remedy="pass one batch of inputs; their values do not matter",
        )
    from brevitas_a2q.quant._calibrate import scales_without_data
    from brevitas_a2q.quant._held import held_weights
    from brevitas_a2q.verify._torch_model import read_model

    with held_weights():
        read = read_model(model_or_path, example_inputs)
    return certify_layers(*read, _without_data(scales_without_data(model_or_path)))


def _without_data(names: tuple[str, ...]) -> tuple[Assumption, ...]:
    """Bounds hold at any scale; what the network computes does not."""
    if not names:
        return ()
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    text = f"scales of activation quantizers have seen no data, so that outputs mean nothing yet: {shown}"
    return (Assumption(text, accepted=True, used=False),)
