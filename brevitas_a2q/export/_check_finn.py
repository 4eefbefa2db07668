"""Would FINN take this file? Rules read from FINN's source, and the part of its front door that qonnx itself is.

FINN itself is not needed. A file that passes is not promised to build: folding, resources and vendor tools come later.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import onnx
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.extract_conv_bias import ExtractBiasFromConv
from qonnx.transformation.gemm_to_matmul import GemmToMatMul
from qonnx.transformation.infer_shapes import InferShapes
from qonnx.transformation.quant_constant_folding import FoldTransposeIntoQuantInit

from brevitas_a2q._ir.layers import dot_product_layers
from brevitas_a2q._ir.network import Network
from brevitas_a2q._ir.reader import read_network
from brevitas_a2q.errors import ExportError, OnnxFileError
from brevitas_a2q.export._cleaning import clean
from brevitas_a2q.export._finn_layers import LAYER_RULES, MENDED_RULES
from brevitas_a2q.export._finn_quantizers import QUANTIZER_RULES, Finding, identity_is_signed
from brevitas_a2q.export._indexed import InferDataTypes
from brevitas_a2q.export._shapes import wrapped
from brevitas_a2q.hw._finn.unit import Version
from brevitas_a2q.hw._ir import ChannelwiseOp, DuplicateStreams, Graph, MulStreams

__all__ = ["check_finn", "refuse_unbuildable"]

_MOST_NODES: Final = 4000


class _Untidied(ModelWrapper):
    """Its graph is tidied and has shapes from the start; qonnx would copy it and infer them for every node it changes.

    That takes minutes where there are thousands of nodes, or a hundred million weights.
    """

    def transform(self, transformation: Any, *_: Any, **__: Any) -> Any:
        """Apply a step in place; the shapes that are there stay."""
        if isinstance(transformation, InferShapes):
            return self
        return super().transform(transformation, make_deepcopy=False, cleanup=False)


def check_finn(path: str | Path) -> tuple[Finding, ...]:
    """What FINN would refuse in a QONNX file, and how to mend it; empty if nothing was found.

    Args:
        path: The file.

    Raises:
        OnnxFileError: It cannot be read, a layer's inputs or weights are not integers, or it has thousands of nodes.
    """
    network = read_network(path)
    if len(network.nodes) > _MOST_NODES:
        raise OnnxFileError(
            f"has {len(network.nodes)} nodes",
            where=network.file,
            expected=f"at most {_MOST_NODES}, since qonnx's clean-up takes a time that grows with the square of them",
            remedy="check a part of it",
        )
    dot_product_layers(network)
    findings = [finding for rule in (*QUANTIZER_RULES, *LAYER_RULES) for finding in rule(network)]
    return (*findings, *_front_door(Path(path)))


def refuse_unbuildable(path: str | Path, graph: Graph, version: Version) -> None:
    """What FINN cannot build, whatever steps a hand-over adds to FINN's own.

    Args:
        path: The file.
        graph: Its units, as this version has them. What follows them is left to software.
        version: FINN branch; finn-plus is like dev.

    Raises:
        ExportError: Naming the first node in the way, and how to mend it.
    """
    network = read_network(path)
    mended = (identity_is_signed, *MENDED_RULES)
    rules = [rule for rule in (*QUANTIZER_RULES, *LAYER_RULES) if rule not in mended]
    inside = {name for unit in graph.units for name in unit.source}
    outside = {node.name for node in network.nodes} - inside
    found = [finding for rule in rules for finding in rule(network) if finding.node not in outside]
    if version == "dev":  # which multiplies streams
        products = {unit.name for unit in graph.units if isinstance(unit, MulStreams)}
        found = [finding for finding in found if finding.node not in products]
    found += [*_units_in_the_way(graph, network, version), *_front_door(Path(path))]
    if found:
        first, more = found[0], f" ({len(found) - 1} more)" if len(found) > 1 else ""
        raise ExportError(
            f"{first.found}{more}",
            where=f"{first.op} {first.node}",
            expected=f"what FINN {version} builds ({first.rule})",
            remedy=first.mend,
        )


def _units_in_the_way(graph: Graph, network: Network, version: Version) -> Iterator[Finding]:
    """FINN-26 to FINN-28: what no step makes a unit of, or leaves with the processor inside of the accelerator."""
    for node in network.nodes:
        if node.op == "Trunc":
            mend = "average by nn.AvgPool2d with a QuantIdentity behind it"
            yield Finding("FINN-26", node.name, node.op, "bits that are dropped by no threshold", mend)
    for unit in graph.units:
        if isinstance(unit, ChannelwiseOp):
            mend = "share one quantizer between streams that are added; leave no factor below zero behind their sum"
            yield Finding("FINN-27", unit.name, unit.kind, "integers times a number for each channel", mend)
        if isinstance(unit, DuplicateStreams) and unit.inputs == ("",) and unit.pixels > 1 and version == "main":
            mend = "hand it over to FINN dev, or let one layer read the input"
            yield Finding("FINN-28", unit.name, unit.kind, "several readers of the image that comes in", mend)


def _front_door(path: Path) -> Iterator[Finding]:
    """FINN-20: qonnx's clean-up and the first steps of ``ConvertQONNXtoFINN``, which are qonnx's too, run through."""
    steps = (ExtractBiasFromConv(), GemmToMatMul(), FoldTransposeIntoQuantInit(), InferDataTypes())
    step = "cleanup_model"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = _Untidied(wrapped(clean(onnx.load(path))).model, fix_missing_initializer_valueinfo=False)
            for transformation in steps:
                step = type(transformation).__name__
                model = model.transform(transformation)
        except (AssertionError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            reason = str(error).strip().split("\n")[0]
            mend = "export the model with brevitas_a2q.export_qonnx, which avoids what these steps stumble over"
            yield Finding("FINN-20", path.name, step, f"this step of the conversion fails: {reason}", mend)
