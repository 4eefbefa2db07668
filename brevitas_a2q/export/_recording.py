"""What every quantizer of a PyTorch model gives for an input: the integers that the exported file must reproduce."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from brevitas.quant_tensor import IntQuantTensor, QuantTensor
from torch import Tensor, nn

from brevitas_a2q._brevitas import (
    BiasQuantProxyFromInjectorBase,
    QuantProxyFromInjector,
    WeightQuantProxyFromInjectorBase,
)
from brevitas_a2q._ir.dot_product import IntArray
from brevitas_a2q.errors import ExportError, ModelError

__all__ = [
    "Args",
    "QuantizerCall",
    "Recording",
    "codes_of",
    "frozen_weights",
    "quantizer_names",
    "quantizers",
    "record",
]

Args = tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class QuantizerCall:
    """One quantizer's output: ``value = (code - zero_point) * scale``."""

    name: str  # qualified name of the quantizer's module
    value: npt.NDArray[np.float32]
    scale: npt.NDArray[np.float64]  # shape: broadcastable to value
    zero_point: npt.NDArray[np.float64]  # shape: broadcastable to value
    bit_width: int
    signed: bool
    is_parameter: bool  # whether it quantizes weights or a bias

    @classmethod
    def of(cls, name: str, output: IntQuantTensor, is_parameter: bool) -> QuantizerCall:
        """The call that returned ``output``."""
        scale = _float64(output.scale).astype(np.float32)
        zero_point = _float64(output.zero_point)
        if output.value.dtype == torch.float32:
            value = output.value.detach().cpu().numpy().copy()
        else:
            # The code is what counts: recovered in float64 from value and scale of the model's own type.
            codes = codes_of(_float64(output.value), _float64(output.scale), zero_point)
            value = (codes - zero_point.astype(np.float32)).astype(np.float32) * scale
        bit_width = round(float(output.bit_width))
        return cls(name, value, scale.astype(np.float64), zero_point, bit_width, bool(output.signed), is_parameter)

    def transposed(self) -> QuantizerCall:
        """The same for a matrix that is stored the other way round."""
        scale, zero_point = (part.T if part.ndim == 2 else part for part in (self.scale, self.zero_point))
        return replace(self, value=self.value.T, scale=scale, zero_point=zero_point)

    @property
    def codes(self) -> IntArray:
        """The integers.  # shape: that of value"""
        return codes_of(self.value, self.scale, self.zero_point)


@dataclass(frozen=True, eq=False)
class Recording:
    """What a model's quantizers and the model itself gave for one input."""

    calls: Mapping[str, Sequence[QuantizerCall]]  # by quantizer, in the order of its calls
    outputs: tuple[npt.NDArray[Any], ...]
    driven: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)  # by layer: inputs it was given instead


def codes_of(value: npt.NDArray[Any], scale: npt.NDArray[Any], zero_point: npt.NDArray[Any]) -> IntArray:
    """The integers behind dequantized values, nearest in float64."""
    codes: IntArray = np.rint(value.astype(np.float64) / scale + zero_point).astype(np.int64)
    return codes


def quantizers(model: nn.Module) -> dict[str, QuantProxyFromInjector]:
    """Enabled Brevitas quantizers by qualified name; one that layers share stands under its first name."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, QuantProxyFromInjector) and module.is_quant_enabled
    }


@contextmanager
def quantizer_names(model: nn.Module) -> Iterator[dict[nn.Module, str]]:
    """Names by quantizer. While active, a quantizer that layers share goes by the name of the layer that runs."""
    names: dict[nn.Module, str] = {module: name for name, module in quantizers(model).items()}
    hooks = []
    for layer_name, layer in model.named_modules():
        for role in ("weight_quant", "bias_quant"):
            proxy = getattr(layer, role, None)
            if proxy in names and len(proxy.tracked_module_list) > 1:
                name = f"{layer_name}.{role}"
                hooks.append(layer.register_forward_pre_hook(lambda *_, p=proxy, n=name: names.__setitem__(p, n)))
    try:
        yield names
    finally:
        for hook in hooks:
            hook.remove()


def record(model: nn.Module, args: Args, *, parameters: bool = True) -> Recording:
    """Run the model and keep what each quantizer gave, in the order of its calls.

    Args:
        model: In evaluation mode.
        args: Its inputs.
        parameters: Whether to keep weights and biases, once each: they do not change between the calls of a layer.

    Raises:
        ModelError: The example inputs do not fit the model.
        ExportError: A quantizer is not one of integers.
    """
    calls: dict[str, list[QuantizerCall]] = {}

    def keep(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        parameter = isinstance(module, (WeightQuantProxyFromInjectorBase, BiasQuantProxyFromInjectorBase))
        if isinstance(output, QuantTensor) and not isinstance(output, IntQuantTensor):
            raise ExportError(
                f"found a {type(output).__name__}", where=f"quantizer {name}", expected="an integer quantizer"
            )
        # A quantizer asked for its scale is called on a sentinel without dimensions.
        sentinel = isinstance(inputs[0], Tensor) and inputs[0].dim() == 0
        if (
            isinstance(output, IntQuantTensor)
            and not sentinel
            and not (parameter and (name in calls or not parameters))
        ):
            calls.setdefault(name, []).append(QuantizerCall.of(name, output, parameter))

    with quantizer_names(model) as names:
        hooks = [proxy.register_forward_hook(lambda m, i, o: keep(names[m], m, i, o)) for proxy in names]
        try:
            outputs = _forward(model, args)
        finally:
            for hook in hooks:
                hook.remove()
    return Recording(calls, tuple(_tensors(outputs)))


def _forward(model: nn.Module, args: Args) -> Any:
    try:
        with torch.no_grad():
            return model(*args)
    except (ExportError, ModelError):
        raise
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
        shapes = ", ".join(str(tuple(a.shape)) if isinstance(a, Tensor) else type(a).__name__ for a in args)
        reason = str(error).strip().split("\n")[0]
        raise ModelError(
            f"cannot run on example inputs ({shapes}): {reason}",
            where=f"model {type(model).__name__}",
            expected="args with which model(*args) runs",
        ) from error


def _tensors(output: Any) -> Iterator[npt.NDArray[Any]]:
    if isinstance(output, QuantTensor):
        output = output.value
    if isinstance(output, Tensor):
        yield output.detach().cpu().numpy() if output.dtype != torch.bfloat16 else _float64(output)
    elif isinstance(output, (tuple, list, Mapping)):
        for part in output.values() if isinstance(output, Mapping) else output:
            yield from _tensors(part)


@contextmanager
def frozen_weights(model: nn.Module, calls: Mapping[str, Sequence[QuantizerCall]]) -> Iterator[None]:
    """Let weight quantizers give the recorded integers instead of computing them.

    For a float32 copy of a model of another type: computed anew in float32, a weight near a rounding boundary would
    get another code than the one that was trained.
    """

    def fixed(call: QuantizerCall, module: Any) -> IntQuantTensor | None:
        if module.export_mode:
            return None
        value, scale, zero_point = (
            torch.tensor(part, dtype=torch.float32) for part in (call.value, call.scale, call.zero_point)
        )
        return IntQuantTensor(value, scale, zero_point, torch.tensor(float(call.bit_width)), call.signed, False)

    with quantizer_names(model) as names:
        hooks = [
            proxy.register_forward_hook(lambda m, *_: fixed(calls[names[m]][0], m))
            for proxy in names
            if isinstance(proxy, WeightQuantProxyFromInjectorBase)
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def _float64(tensor: Tensor) -> npt.NDArray[np.float64]:
    array: npt.NDArray[np.float64] = tensor.detach().double().cpu().numpy()
    return array
