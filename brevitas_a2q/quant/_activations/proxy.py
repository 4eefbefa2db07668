"""The activation proxy that computes with fused kernels, or with Brevitas' own modules where there are none."""

from __future__ import annotations

from typing import Any

from brevitas import is_dynamo_compiling
from brevitas.quant_tensor import IntQuantTensor
from torch import Tensor, nn

from brevitas_a2q._brevitas import ActQuantProxyFromInjector, is_exporting
from brevitas_a2q.errors import ExportError
from brevitas_a2q.quant._activations.anatomy import unfusable
from brevitas_a2q.quant._activations.tensor_quant import FusedIntQuant
from brevitas_a2q.quant._compilation import traced_tensor

__all__ = ["FusedActQuantProxy", "FusedActivation"]


class FusedActivation(nn.Module):
    """An activation function and its quantizer, as one where it can be."""

    def __init__(self, activation_impl: nn.Module, tensor_quant: nn.Module) -> None:
        super().__init__()
        self.activation_impl = activation_impl
        self.tensor_quant = tensor_quant

    def forward(self, x: Tensor) -> Any:
        if isinstance(self.tensor_quant, FusedIntQuant):
            return self.tensor_quant(x, self.activation_impl)
        return self.tensor_quant(self.activation_impl(x))


class FusedActQuantProxy(ActQuantProxyFromInjector):
    """Quantizes activations by one kernel each way; everything else is as in Brevitas.

    Attributes:
        unfused_because: Why Brevitas' own modules compute it; None where they do not.
    """

    unfused_because: str | None = None
    fused_activation_quant_proxy: Any
    export_mode: Any

    @property
    def requires_export_handler(self) -> bool:
        """Without one the proxy quantizes as usual, so that Brevitas' inference mode works.

        Raises:
            ExportError: One of Brevitas' exporters was called, none of which knows the kernel.
        """
        if self.is_quant_enabled and self.export_handler is None and is_exporting():
            layers = " and ".join(type(layer).__name__ for layer in self.tracked_module_list)
            raise ExportError(
                "Brevitas' exporters do not know fused activations",
                where=f"quantizer of {layers}",
                remedy="call brevitas_a2q.export_qonnx(model, inputs, path), or export_qcdq for ONNX' own operators; "
                "or keep Brevitas' activations by A2QConfig(fused_activations=False)",
            )
        return False

    def init_tensor_quant(self) -> None:
        """See the base class."""
        super().init_tensor_quant()
        self.fuse_()

    def fuse_(self) -> None:
        """Put the fused module in the place of Brevitas', around the same parameters, if that can be done."""
        fused = self.fused_activation_quant_proxy
        if fused is None or not self._is_quant_enabled or isinstance(fused.tensor_quant, FusedIntQuant):
            return
        self.unfused_because = unfusable(fused.tensor_quant)
        if self.unfused_because is None:
            tensor_quant = FusedIntQuant(fused.tensor_quant)
            tensor_quant.train(fused.training)
            self.fused_activation_quant_proxy = FusedActivation(fused.activation_impl, tensor_quant)
            self.fused_activation_quant_proxy.training = fused.training

    def create_quant_tensor(self, qt_args: Any, x: Any) -> IntQuantTensor:
        """See the base class."""
        if is_dynamo_compiling() and isinstance(qt_args, tuple):
            return traced_tensor(qt_args, self.is_signed, self.training)
        made: IntQuantTensor = super().create_quant_tensor(qt_args, x)
        return made

    def forward(self, x: Any) -> Any:
        """See the base class."""
        if self.export_mode and self.export_handler is None:
            self.export_mode = False
            try:
                return super().forward(x)
            finally:
                self.export_mode = True
        return super().forward(x)
