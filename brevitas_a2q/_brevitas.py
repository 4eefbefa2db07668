"""Names of Brevitas, torch and qonnx that are not in their documented faces: all this package leans on, in one place.

Brevitas documents ``brevitas.nn``, ``brevitas.quant``, ``brevitas.quant_tensor`` and the export functions; injectors,
proxies and the modules behind them may move. What moved is told by ``tests/test_brevitas.py``, which compares this file
with the packages as they are installed; ``make newest`` runs it and the quantizers' tests with Brevitas' newest. It
loads no torch itself, for what only reads files borrows from qonnx.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from torch import nn

__all__ = ["BORROWED", "dispatch_is_plain", "forget_hook", "is_exporting", "kept_output_sizes", "silent_onnx_log"]

# Module -> names. They are imported on first use: the graph tools and the exporters are slow to load.
BORROWED: Final[dict[str, tuple[str, ...]]] = {
    "brevitas.core.function_wrapper": ("RoundSte",),
    "brevitas.core.restrict_val": ("PowerOfTwoRestrictValue",),
    "brevitas.core.scaling": ("ConstScaling", "ParameterFromStatsFromParameterScaling"),
    "brevitas.core.utils": ("inplace_momentum_update", "inplace_tensor_mul"),
    "brevitas.core.zero_point": ("ParameterZeroPoint", "ZeroZeroPoint"),
    "brevitas.export.onnx.qonnx.manager": ("QONNXDynamoManager", "QONNXManager"),
    "brevitas.export.onnx.standard.qcdq.manager": ("StdQCDQONNXManager",),
    "brevitas.graph.calibrate": ("calibration_mode",),
    "brevitas.graph.equalize": ("EqualizeGraph",),
    "brevitas.graph.quantize": ("layerwise_quantize",),
    "brevitas.inject": ("ExtendedInjector", "this", "value"),
    "brevitas.inject.enum": (
        "BitWidthImplType",
        "FloatToIntImplType",
        "QuantType",
        "RestrictValueType",
        "ScalingImplType",
        "ScalingPerOutputType",
    ),
    "brevitas.nn.mixin.act": ("QuantInputMixin",),
    "brevitas.nn.quant_layer": ("QuantWeightBiasInputOutputLayer",),
    "brevitas.nn.quant_rnn": ("QuantRecurrentStackBase",),
    "brevitas.proxy.parameter_quant": (
        "BiasQuantProxyFromInjectorBase",
        "WeightQuantProxyFromInjector",
        "WeightQuantProxyFromInjectorBase",
    ),
    "brevitas.proxy.quant_proxy": ("QuantProxyFromInjector",),
    "brevitas.proxy.runtime_quant": (
        "ActQuantProxyFromInjector",
        "ActQuantProxyFromInjectorBase",
        "ClampQuantProxyFromInjector",
        "FusedActivationQuantProxy",
        "TruncQuantProxyFromInjector",
    ),
    "brevitas.quant.base": (
        "AccumulatorAwareWeightQuant",
        "AccumulatorAwareZeroCenterWeightQuant",
        "IntQuant",
        "NarrowIntQuant",
        "PerTensorFloatScaling8bit",
        "PerTensorPoTScaling8bit",
        "UintQuant",
    ),
    "brevitas.quant.solver.act": ("ActQuantSolver",),
    "qonnx.transformation.infer_shapes": ("_hide_finn_ops", "_restore_finn_ops"),
    "torch._dynamo.exc": ("TorchDynamoException",),
    "torch.nn.modules.batchnorm": ("_BatchNorm",),
    "torch.nn.modules.module": ("_global_forward_hooks",),
    "torch.overrides": ("_get_current_function_mode",),
    "torch.utils": ("_pytree",),
    "torch.utils._python_dispatch": ("TorchDispatchMode", "_get_current_dispatch_mode"),
}
_MODULE_OF: Final = {name: module for module, names in BORROWED.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(importlib.import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def is_exporting() -> bool:
    """Whether one of Brevitas' exporters is at work."""
    from brevitas import config

    return config._ONGOING_EXPORT is not None


def dispatch_is_plain() -> bool:
    """Whether an operator that runs now is seen by nobody: no tracer, no dispatch mode, no function transform."""
    import torch

    if torch._C._get_tracing_state() is not None:
        return False
    return not (torch._C._len_torch_dispatch_stack() or torch._C._functorch.maybe_current_level())


@contextlib.contextmanager
def silent_onnx_log() -> Iterator[None]:
    """While active, torch does not print its graphs on standard output when the TorchScript exporter fails.

    Its log is off by default, but that exporter turns it on by mistake: it asks whether the function that tells is
    true, instead of calling it.
    """
    import torch

    switch = getattr(torch._C, "_jit_set_onnx_log_enabled", None)
    if switch is None:
        yield
        return
    switch(False)
    torch._C._jit_set_onnx_log_enabled = lambda enabled: None
    try:
        yield
    finally:
        torch._C._jit_set_onnx_log_enabled = switch


@contextlib.contextmanager
def kept_output_sizes(modules: Iterable[Any]) -> Iterator[None]:
    """Leave transposed convolutions the size that they are asked for, when they run again before they have used it.

    Brevitas keeps it as an attribute between two methods, and forgets it in the second one.
    """
    asked = [(module, size) for module in modules if (size := vars(module).get("_output_size")) is not None]
    try:
        yield
    finally:
        for module, size in asked:
            module._output_size = size


def forget_hook(layer: nn.Module, hook: Any) -> None:
    """Take a forward hook from a layer, whoever holds its handle: a copy of a layer has copies of no handles."""
    for key in [key for key, found in layer._forward_hooks.items() if found is hook]:
        del layer._forward_hooks[key]
