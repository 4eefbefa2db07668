"""``export_qonnx``: a QONNX file that computes the trained integers, with its certificate, or no file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from brevitas_a2q._files import atomic_target
from brevitas_a2q._ir.layers import dot_product_layers
from brevitas_a2q._ir.reader import read_network
from brevitas_a2q.errors import ExportError
from brevitas_a2q.export._annotate import (
    LayerNode,
    annotate_certificate,
    annotate_data_types,
    annotate_targets,
    name_nodes,
)
from brevitas_a2q.export._bake import bake
from brevitas_a2q.export._cleaning import tidied
from brevitas_a2q.export._prepare import prepare
from brevitas_a2q.export._report import ExportReport, certificate_sha256, certified
from brevitas_a2q.export._roundtrip import expectations, round_trip
from brevitas_a2q.export._save import save
from brevitas_a2q.export._tracing import Exporter, trace_qonnx
from brevitas_a2q.quant._calibrate import scales_without_data
from brevitas_a2q.quant._held import held_weights
from brevitas_a2q.verify._certificate import Certificate, certify_layers

__all__ = ["export_qonnx"]


def export_qonnx(
    model: nn.Module,
    args: Any,
    export_path: str | Path,
    *,
    exporter: Exporter = "torchscript",
    allow_overflow: bool = False,
) -> ExportReport:
    """Export a Brevitas model to QONNX, and prove that the file computes what the model computes.

    The file is written only after (1) its integer weights have been found equal to the trained ones, (2) every
    accumulator has been certified from the file itself, and (3) qonnx has executed it on example, random, extreme and
    witness inputs with the integers of every quantizer equal to PyTorch's; see ``docs/export.md``. The model is copied
    and never changed.

    Args:
        model: A Brevitas model in evaluation mode. A model that is not in float32 on the CPU is exported as one that
            is, with its own integer weights.
        args: One example input, or a tuple of them; the file has their shapes.
        export_path: Where the file goes; one that is there is replaced when the new one is complete.
        exporter: Which of Brevitas' two exporters writes it: "torchscript", or "dynamo" (needs torch 2.8).
        allow_overflow: Also export layers that can leave the accumulator they were meant for.

    Returns:
        What was checked, with the certificate.

    Raises:
        ModelError: The model cannot be exported: in training mode, unquantized inputs, args that do not fit.
        CertificateError: A layer can leave its target width.
        ExportError: The exporter failed, the file computes other integers, or the path cannot be written.
    """
    with atomic_target(export_path) as temporary:
        with held_weights():
            ready = prepare(model, args)
            with ready.with_trained_weights():
                claim = certified(ready, allow_overflow)
                expected = expectations(ready.model, ready.args, claim)
        file = trace_qonnx(ready.model, ready.args, exporter)
        bake(file, expected[0][2].calls)
        file = tidied(file)
        layers = name_nodes(file, type(model).__name__)
        annotate_targets(layers, claim)
        save(file, temporary)
        network = read_network(temporary)
        annotate_data_types(file, network)
        certificate = certify_layers(dot_product_layers(network), claim.uncovered)
        _check_weights(claim, certificate, layers, network.uncovered)
        digest = certificate_sha256(certificate)
        annotate_certificate(file, layers, certificate, digest)
        trip = round_trip(file, expected)
        save(file, temporary)
    unseen = scales_without_data(model)
    return ExportReport(Path(export_path), exporter, certificate, digest, trip, without_data=unseen)


def _check_weights(
    claim: Certificate, certificate: Certificate, layers: Sequence[LayerNode], uncovered: Sequence[str]
) -> None:
    """The file's integer weights, read by nothing of Brevitas or qonnx, are the trained ones."""
    in_model, in_file = ({layer.name for layer in each.layers} for each in (claim, certificate))
    for layer in layers:
        if layer.module not in in_model:
            continue
        if layer.node.name not in in_file:
            reason = next((line for line in uncovered if line.startswith(f"{layer.node.name}: ")), layer.node.name)
            raise ExportError(
                f"is certified in the model and not covered in the file ({reason})",
                where=f"layer {layer.module}",
                expected="the same integers in both",
            )
        trained, found = claim.layers[layer.module], certificate.layers[layer.node.name]
        if trained.weights_sha256 != found.weights_sha256:
            raise ExportError("the file holds other integer weights than the model", where=f"layer {layer.node.name}")
    unseen = {layer.name for layer in claim.layers} - {layer.module for layer in layers}
    if unseen:
        raise ExportError("found no node of this layer in the file", where=f"layer {min(unseen)}")
