"""Networks by name."""

from __future__ import annotations

import difflib
from typing import Any

from torch import Tensor, nn

from brevitas_a2q.errors import ConfigError
from brevitas_a2q.models.digits_cnn import DigitsCnn
from brevitas_a2q.models.layers import LayerFactory
from brevitas_a2q.models.mobilenet import MobileNetV1
from brevitas_a2q.models.resnet import ResNet18
from brevitas_a2q.models.small_cnn import SmallCnn
from brevitas_a2q.models.spec import QuantSpec

__all__ = ["MODELS", "build_model", "load_float_weights"]

MODELS: dict[str, Any] = {
    "digits-cnn": DigitsCnn,
    "small-cnn": SmallCnn,
    "mobilenet-v1": MobileNetV1,
    "resnet18": ResNet18,
}


def build_model(name: str, spec: QuantSpec | None = None, **options: Any) -> nn.Module:
    """A network of the registry.

    Args:
        name: One of :data:`MODELS`.
        spec: How to quantize it; None for the float form.
        **options: Passed to the network, for example ``classes``.

    Raises:
        ConfigError: No network of this name.

    Example:
        >>> sum(p.numel() for p in build_model("digits-cnn").parameters())
        23088
    """
    if name not in MODELS:
        near = difflib.get_close_matches(name, MODELS, n=1)
        raise ConfigError(
            f"found model {name!r}",
            expected=f"one of {', '.join(MODELS)}",
            remedy=f"did you mean {near[0]}" if near else None,
        )
    model: nn.Module = MODELS[name](LayerFactory(spec), **options)
    return model


def load_float_weights(model: nn.Module, float_state: dict[str, Tensor]) -> None:
    """Load the float form's state into the quantized form; its quantizers then start from these weights.

    Raises:
        ConfigError: The state has keys that the quantized form lacks, or lacks some that are no quantizer's.
    """
    found = model.load_state_dict(float_state, strict=False)
    lacking = [key for key in found.missing_keys if "_quant." not in key]
    if found.unexpected_keys or lacking:
        raise ConfigError(
            f"found keys {[*found.unexpected_keys, *lacking]} in only one of the two",
            where=f"state of {type(model).__name__}",
            expected="the float form of the same network",
        )
