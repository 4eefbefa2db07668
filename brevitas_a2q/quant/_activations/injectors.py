"""Turn any integer Brevitas activation quantizer into its fused form."""

from __future__ import annotations

from typing import Any

from torch import nn

from brevitas_a2q._brevitas import ActQuantProxyFromInjector, ActQuantProxyFromInjectorBase, ExtendedInjector
from brevitas_a2q.errors import ModelError
from brevitas_a2q.quant._activations.proxy import FusedActQuantProxy

__all__ = ["fuse_activations_", "fused"]


def fused(base: Any) -> Any:
    """Fused form of an activation quantizer: its scale, zero-point, bit width, rounding and granularity are kept.

    Values and gradients are those of the quantizer itself. What one kernel cannot compute (groups, other number
    formats, stochastic rounding, a delay) goes on by Brevitas' own modules; the layer's quantizer says why as
    ``unfused_because``.

    Args:
        base: A Brevitas activation quantizer, for example ``Uint8ActPerTensorFloat`` or an own subclass of one.

    Returns:
        A quantizer for ``act_quant=``, ``input_quant=`` or ``output_quant=``; one whose proxy is not Brevitas' ordinary
        one, as it is.

    Raises:
        ModelError: It is no quantizer of activations.

    Example:
        >>> import torch
        >>> from brevitas.nn import QuantReLU
        >>> from brevitas.quant import Uint8ActPerTensorFloat
        >>> relu = QuantReLU(act_quant=fused(Uint8ActPerTensorFloat), bit_width=4)
        >>> relu(torch.tensor([-1.0, 0.2, 1.5])).detach()
        tensor([0.0000, 0.2000, 1.5000])
    """
    name = getattr(base, "__name__", repr(base))
    if not isinstance(base, type(ExtendedInjector)) or "proxy_class" not in base.__dependencies__:
        raise ModelError(f"found {name}", where="fused", expected="a Brevitas activation quantizer")
    if base.proxy_class is not ActQuantProxyFromInjector:
        return base
    return type(base)(f"Fused{name}", (base,), {"proxy_class": FusedActQuantProxy})


def fuse_activations_(model: nn.Module) -> dict[str, str]:
    """Give every activation quantizer of a model its fused form, in place; what it has learnt is kept.

    Returns:
        Why quantizers stay as they are, by name.
    """
    kept = dict[str, str]()
    for name, module in model.named_modules():
        if type(module) is ActQuantProxyFromInjector and module.is_quant_enabled:
            module.__class__ = FusedActQuantProxy
            module.quant_injector = module.quant_injector.let(proxy_class=FusedActQuantProxy)
            module.fuse_()
        if isinstance(module, FusedActQuantProxy):
            reason = module.unfused_because
        elif isinstance(module, ActQuantProxyFromInjectorBase) and module.is_quant_enabled:
            reason = f"{type(module).__name__} has no fused form"
        else:
            continue
        if reason is not None:
            kept[name] = reason
    return kept
