"""``export_qcdq``: the same network in standard ONNX operators, for onnxruntime.

Quantizers become ``QuantizeLinear``, ``Clip`` (below 8 bits) and ``DequantizeLinear``, weights integers before a
``DequantizeLinear``: no custom operators, and no field for anything narrower than 8 bits but the clip. Accumulator
widths are written as node properties only.

onnxruntime's optimizer turns DequantizeLinear - Conv - QuantizeLinear into an integer convolution, and rounds a float
bias to an integer on the way, which changes results. Biases therefore stand in ``Add`` nodes of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from torch import Tensor, nn

from brevitas_a2q._brevitas import ActQuantProxyFromInjector, RoundSte
from brevitas_a2q._files import atomic_target
from brevitas_a2q._ir.metadata import CERTIFICATE_SHA256
from brevitas_a2q.errors import ExportError
from brevitas_a2q.export._annotate import annotate_targets, name_nodes
from brevitas_a2q.export._cleaning import set_property, tidied
from brevitas_a2q.export._prepare import prepare
from brevitas_a2q.export._report import ExportReport, certificate_sha256, certified
from brevitas_a2q.export._roundtrip import Expectation, expectations, round_trip
from brevitas_a2q.export._save import save
from brevitas_a2q.export._tracing import trace_qcdq

__all__ = ["export_qcdq"]


def export_qcdq(model: nn.Module, args: Any, export_path: str | Path, *, allow_overflow: bool = False) -> ExportReport:
    """Export a Brevitas model to QCDQ ONNX, and prove that onnxruntime computes what the model computes.

    The integers of every quantizer, weights included, are compared as in
    :func:`~brevitas_a2q.export._qonnx.export_qonnx`. The certificate is the model's: the file's weights are found equal
    to it, and its dot products are floating-point to onnxruntime.

    Args:
        model: A Brevitas model in evaluation mode, with weights and activations of 2 to 8 bits.
        args: One example input, or a tuple of them; the file has their shapes.
        export_path: Where the file goes; one that is there is replaced when the new one is complete.
        allow_overflow: Also export layers that can leave the accumulator they were meant for.

    Raises:
        ModelError: The model cannot be exported: in training mode, unquantized inputs, args that do not fit.
        CertificateError: A layer can leave its target width.
        ExportError: The exporter failed, the file computes other integers, or the path cannot be written.
    """
    with atomic_target(export_path) as temporary:
        ready = prepare(model, args)
        _check_rounding(ready.model)
        with ready.with_trained_weights():
            certificate = certified(ready, allow_overflow)
            expected = expectations(ready.model, ready.args, certificate)
            file = trace_qcdq(ready.model, ready.args)
        _separate_float_biases(file.graph)
        file = tidied(file)
        layers = name_nodes(file, type(model).__name__)
        annotate_targets(layers, certificate)
        digest = certificate_sha256(certificate)
        set_property(file, CERTIFICATE_SHA256, digest)
        trip = round_trip(file, expected)
        save(file, temporary)
        difference = _onnxruntime_difference(temporary, expected)
    return ExportReport(Path(export_path), "torchscript", certificate, digest, trip, difference)


def _check_rounding(model: nn.Module) -> None:
    """Activation quantizers round to nearest, half to even: QuantizeLinear does nothing else."""
    for name, proxy in model.named_modules():
        if not isinstance(proxy, ActQuantProxyFromInjector):
            continue
        for part in proxy.modules():
            rounding = getattr(part, "float_to_int_impl", None)
            if rounding is not None and not isinstance(rounding, RoundSte):
                raise ExportError(
                    f"rounds by {type(rounding).__name__}",
                    where=f"quantizer {name}",
                    expected="RoundSte, for QuantizeLinear rounds to nearest",
                    remedy="use float_to_int_impl_type='round', or export with export_qonnx",
                )


def _separate_float_biases(graph: Any) -> None:
    """Give each float bias of a convolution or linear layer an Add of its own, in place; integer ones are exact."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for index in reversed(range(len(graph.node))):
        node = graph.node[index]
        if node.op_type not in ("Conv", "ConvTranspose", "Gemm") or len(node.input) < 3:
            continue
        if node.input[2] not in constants:
            continue
        bias = onnx.numpy_helper.to_array(constants[node.input[2]])
        if node.op_type != "Gemm":
            spatial = next(len(a.ints) for a in node.attribute if a.name == "kernel_shape")
            bias = bias.reshape(1, -1, *(1,) * spatial)
        added, output = f"{node.output[0]}.bias", node.output[0]
        graph.initializer.append(onnx.numpy_helper.from_array(bias, added))
        node.output[0] = f"{output}.sum"
        del node.input[2]
        graph.node.insert(index + 1, onnx.helper.make_node("Add", [node.output[0], added], [output]))


def _onnxruntime_difference(path: Path, expected: Sequence[Expectation]) -> float:
    """Largest difference of outputs between PyTorch and onnxruntime as it comes, as a share of the largest output.

    It is not held to a limit: onnxruntime's optimizer reorders float operations, so an activation on a rounding
    boundary may get the neighbouring code.
    """
    plain = [(args, recording.outputs) for _, args, recording in expected if not recording.driven]
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        names = [value.name for value in session.get_inputs()]
        found = [session.run(None, dict(zip(names, map(_array, args), strict=True))) for args, _ in plain]
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ExportError(f"onnxruntime does not run the file: {reason}") from error
    pairs = [
        pair for outputs, (_, wanted) in zip(found, plain, strict=True) for pair in zip(outputs, wanted, strict=True)
    ]
    largest = max(float(np.abs(wanted).max(initial=0.0)) for _, wanted in pairs)
    return max(float(np.abs(given - wanted).max(initial=0.0)) for given, wanted in pairs) / (largest or 1.0)


def _array(value: Tensor) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = value.detach().numpy()
    return array
