"""Networks by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from brevitas_a2q._named import is_named_function
from brevitas_a2q._settings import nearest
from brevitas_a2q.errors import ConfigError
from brevitas_a2q.models import _own as own
from brevitas_a2q.models import _torchvision_models as torchvision_models
from brevitas_a2q.models._digits_cnn import DigitsCnn
from brevitas_a2q.models._espcn import Espcn
from brevitas_a2q.models._layers import LayerFactory
from brevitas_a2q.models._mobilenet import MobileNetV1
from brevitas_a2q.models._resnet import ResNet18
from brevitas_a2q.models._small_cnn import SmallCnn
from brevitas_a2q.models._spec import QuantSpec
from brevitas_a2q.models._unet import UNet

__all__ = ["MODELS", "ModelEntry", "build_model", "load_float_weights", "model_entry"]


@dataclass(frozen=True)
class ModelEntry:
    """A network, and what its training starts from unless it is told otherwise.

    Attributes:
        network: Builds it; of a ``LayerFactory`` and options, or of options alone where it is ``converted``.
        task: A name of ``brevitas_a2q.data._tasks.TASKS``; None for any.
        input_shape: Channels, height and width; None where only its data know.
        data: A name of ``brevitas_a2q.data._registry.DATA_SETS``; None for none of them.
        data_options: Options of that data set.
        converted: Whether there is a float form only, which ``constrain_`` quantizes.
    """

    network: Callable[..., nn.Module]
    task: str | None
    input_shape: tuple[int, int, int] | None
    data: str | None
    data_options: Mapping[str, Any] = field(default_factory=dict)
    converted: bool = False

    @property
    def options(self) -> tuple[str, ...] | None:
        """Names of the options the network takes; None where it looks at them itself."""
        parameters = inspect.signature(self.network).parameters
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
            return None
        return tuple(name for name in parameters if name != "layers")


MODELS: Mapping[str, ModelEntry] = {
    "digits-cnn": ModelEntry(DigitsCnn, "classification", DigitsCnn.input_shape, "digits"),
    "small-cnn": ModelEntry(SmallCnn, "classification", SmallCnn.input_shape, "cifar10-subset", {"size": 16}),
    "mobilenet-v1": ModelEntry(MobileNetV1, "classification", MobileNetV1.input_shape, "cifar10"),
    "resnet18": ModelEntry(ResNet18, "classification", ResNet18.input_shape, "cifar10"),
    "espcn": ModelEntry(Espcn, "super-resolution", Espcn.input_shape, "bsd300", {"factor": 2}),
    "unet": ModelEntry(UNet, "super-resolution", UNet.input_shape, "bsd300", {"factor": 3}),
}


def model_entry(name: str) -> ModelEntry:
    """The registry's entry for a name, or one for ``torchvision:NAME``, ``timm:NAME`` or ``package.module:function``.

    Raises:
        ConfigError: No network of this name.
    """
    if name.startswith(torchvision_models.PREFIX):
        network = torchvision_models.classifier(name)
        return ModelEntry(network, "classification", (3, 32, 32), "cifar10", converted=True)
    if name.startswith(own.TIMM):
        return ModelEntry(own.timm_network(name), "classification", None, None, converted=True)
    if is_named_function(name):
        return ModelEntry(own.own_network(name), None, None, None, converted=True)
    if name not in MODELS:
        raise ConfigError(
            f"found model {name!r}",
            expected=f"one of {', '.join(MODELS)}, {torchvision_models.PREFIX}NAME, {own.TIMM}NAME, or "
            "package.module:function",
            remedy=nearest(name, MODELS),
        )
    return MODELS[name]


def build_model(
    name: str, spec: QuantSpec | None = None, *, fused_activations: bool = True, **options: Any
) -> nn.Module:
    """A network of the registry.

    Args:
        name: One of :data:`MODELS`, or a float network, whose quantized form :func:`brevitas_a2q.constrain_` makes:
            ``torchvision:NAME`` or ``timm:NAME`` for a classifier of these packages, ``package.module:function`` for
            one of your own.
        spec: How to quantize it; None for the float form.
        fused_activations: Whether each activation is quantized by one kernel, instead of by Brevitas' operations; the
            values are the same.
        **options: Passed to the network, for example ``classes``.

    Raises:
        ConfigError: No network of this name, no such option, or a value it does not take.

    Example:
        >>> sum(p.numel() for p in build_model("digits-cnn").parameters())
        23088
    """
    entry = model_entry(name)
    known = entry.options
    for key, value in options.items():
        if known is not None and key not in known:
            raise ConfigError(
                f"found the unknown option {key!r}",
                where=f"model {name}",
                expected=f"one of {', '.join(known)}",
                remedy=nearest(key, known),
            )
        if key in ("classes", "width") and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ConfigError(f"found {key} = {value!r}", where=f"model {name}", expected="an integer of at least 1")
    if not entry.converted:
        return entry.network(LayerFactory(spec, fused_activations), **options)
    if spec is not None:
        raise ConfigError(
            "found a QuantSpec",
            where=f"model {name}",
            expected="none: this network is float",
            remedy="build it without, and quantize it with constrain_",
        )
    return entry.network(**options)


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
