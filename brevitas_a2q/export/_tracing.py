"""Brevitas' own exporters, run on a model whose quantizers mark what they write, so that every node has a name.

Both exporters lose the names of the modules in what follows (clean-up renames all nodes), so each ``Quant`` gets its
quantizer's qualified name, and which of its calls it is, as node properties, :data:`QUANTIZER` and :data:`CALL`:

- the TorchScript exporter writes a ``DebugMarker`` behind every quantizer that has a debug name; the marker's name
  moves to the node before it, and the marker goes;
- the ``torch.export`` ("dynamo") exporter keeps each node's module scopes, and the order of calls.
"""

from __future__ import annotations

import ast
import functools
import itertools
import re
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, Literal

import onnx
from brevitas.quant_tensor import QuantTensor
from torch import nn

from brevitas_a2q._brevitas import QuantProxyFromInjector, silent_onnx_log
from brevitas_a2q.errors import ExportError
from brevitas_a2q.export._cleaning import get_property, set_property
from brevitas_a2q.export._operators import exportable_operators
from brevitas_a2q.export._recording import Args, quantizer_names, quantizers

__all__ = ["CALL", "LAYER", "QUANTIZER", "Exporter", "trace_qcdq", "trace_qonnx"]

Exporter = Literal["torchscript", "dynamo"]
QUANTIZER: Final = "a2q.quantizer"
CALL: Final = "a2q.call"
LAYER: Final = "a2q.layer"
_MARKER: Final = "DebugMarker"
# FINN reads opset 11 to 18; 13 is what its own flows use. The dynamo exporter starts at 18.
_OPSET: Final[dict[Exporter, int]] = {"torchscript": 13, "dynamo": 18}
_FIRST_IR_WITH_NODE_PROPERTIES: Final = 10


def trace_qonnx(model: nn.Module, args: Args, exporter: Exporter = "torchscript") -> Any:
    """The raw QONNX model of a Brevitas model in evaluation mode, its quantizers named.

    Args:
        model: Changed by the exporter; pass a copy.
        args: Example inputs.
        exporter: Which of Brevitas' exporters to use.

    Returns:
        ``onnx.ModelProto``.

    Raises:
        ExportError: The exporter failed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about an optional kernel that no export needs
        from brevitas.export import export_qonnx

        from brevitas_a2q._brevitas import QONNXDynamoManager, QONNXManager
    manager = QONNXManager if exporter == "torchscript" else QONNXDynamoManager
    return _trace(model, args, exporter, export_qonnx, manager)


def trace_qcdq(model: nn.Module, args: Args) -> Any:
    """The same for Brevitas' QCDQ exporter, with standard ONNX operators.

    Only through TorchScript: with dynamo Brevitas refuses integer weights, quantized biases and quantizers that look
    at the input (UPSTREAM: it raises before tracing).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from brevitas.export import export_onnx_qcdq

        from brevitas_a2q._brevitas import StdQCDQONNXManager
    return _trace(model, args, "torchscript", export_onnx_qcdq, StdQCDQONNXManager)


def _trace(model: nn.Module, args: Args, exporter: Exporter, export: Callable[..., Any], manager: Any) -> Any:
    _return_plain_tensors(model)
    for proxy in quantizers(model).values():
        proxy.export_handler = _handler(proxy, manager)
        proxy.export_debug_name, proxy.export_output_debug = "", exporter == "torchscript"
    options: dict[str, Any] = {
        "opset_version": _OPSET[exporter],
        "dynamo": exporter == "dynamo",
        "keep_initializers_as_inputs": False,
    }
    if exporter == "dynamo":
        options |= {"optimize": True, "verbose": False, "external_data": False}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), quantizer_names(model) as names:
        if exporter == "torchscript":
            serial = itertools.count()
            for proxy in names:
                proxy.register_forward_pre_hook(lambda m, _: _name_marker(m, f"{next(serial)} {names[m]} "))
        warnings.simplefilter("ignore")  # both exporters warn about themselves: deprecated, experimental
        path = str(Path(folder) / "model.onnx")
        try:
            with silent_onnx_log(), exportable_operators():
                export(model, args=args, export_path=path, **options)
        except (RuntimeError, AssertionError, TypeError, ValueError, AttributeError, KeyError) as error:
            reason = str(error).strip().split("\n")[0].split(" [Caused by")[0] or type(error).__name__
            raise ExportError(f"Brevitas' {exporter} exporter failed: {reason}", where=_place(model, reason)) from error
        traced = onnx.load(path)
    traced.ir_version = max(traced.ir_version, _FIRST_IR_WITH_NODE_PROPERTIES)
    if exporter == "torchscript":
        _markers_to_properties(traced.graph)
    else:
        _scopes_to_properties(traced, quantizers(model))
        _gemms_to_matmuls(traced.graph)
    _drop_identities(traced.graph)
    return traced


def _return_plain_tensors(model: nn.Module) -> None:
    # An exporter takes a quantized tensor for the tuple that it is: its scale and bit width would become outputs too.
    kind = type(model)

    @functools.wraps(kind.forward)
    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        return _values(kind.forward(self, *args, **kwargs))

    model.__class__ = type(kind.__name__, (kind,), {"forward": forward})


def _values(output: Any) -> Any:
    if isinstance(output, QuantTensor):
        return output.value
    return type(output)(map(_values, output)) if type(output) in (tuple, list) else output


def _place(model: nn.Module, reason: str) -> str:
    """The first layer of the operator that a message speaks of, where there is one."""
    operator = re.search(r"operator '?(?:aten::)?(\w+)", reason)
    kind = operator[1].replace("_", "").lower() if operator else ""
    for name, module in model.named_modules():
        if type(module).__name__.lower() == kind:
            return f"layer {name}"
    return f"model {type(model).__name__}"


def _handler(proxy: QuantProxyFromInjector, manager: Any) -> Any:
    # Brevitas finds handlers by the exact type of the proxy, so a subclass would be skipped with a warning; take the
    # handler of the nearest base class.
    for base in type(proxy).__mro__:
        for handler in manager.handlers:
            if handler.handled_layer is base:
                return handler()
    raise ExportError(f"found a quantizer without an export handler, {type(proxy).__name__}")


def _name_marker(proxy: Any, name: str) -> None:
    if proxy.export_handler is not None:
        proxy.export_handler.export_debug_name = name


def _markers_to_properties(graph: Any) -> None:
    producers = {output: node for node in graph.node for output in node.output}
    replaced: dict[str, str] = {}
    marked: list[tuple[int, str, Any]] = []
    kept = []
    for node in graph.node:
        node.input[:] = [replaced.get(name, name) for name in node.input]
        if node.op_type != _MARKER:
            kept.append(node)
            continue
        serial, name, _ = next(a.s.decode() for a in node.attribute if a.name == "export_debug_name").split(" ")
        marked.append((int(serial), name, producers[node.input[0]]))
        replaced[node.output[0]] = node.input[0]
    # The exporter may move nodes; the serial numbers keep the order in which the model called its quantizers.
    _set_calls((name, node) for _, name, node in sorted(marked, key=lambda mark: mark[0]))
    _replace_nodes(graph, kept)
    for output in graph.output:
        if output.name in replaced:  # keep the network's output under the name it has
            _rename(graph.node, replaced[output.name], output.name)


def _set_calls(named: Iterable[tuple[str, Any]]) -> None:
    count: Counter[str] = Counter()
    for name, node in named:
        set_property(node, QUANTIZER, name)
        set_property(node, CALL, count[name])
        count[name] += 1


def _drop_identities(graph: Any) -> None:
    # TorchScript stores equal parameters once, behind Identity nodes; qonnx would fold them one by one, slowly.
    constants = {tensor.name for tensor in graph.initializer}
    alias = {n.output[0]: n.input[0] for n in graph.node if n.op_type == "Identity" and n.input[0] in constants}
    for node in graph.node:
        node.input[:] = [alias.get(name, name) for name in node.input]
    _replace_nodes(graph, [node for node in graph.node if node.output[0] not in alias])


def _rename(nodes: Iterable[Any], old: str, new: str) -> None:
    for node in nodes:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]


def _gemms_to_matmuls(graph: Any) -> None:
    # The dynamo exporter writes a linear layer without bias as a Gemm of two inputs, and qonnx's GemmToMatMul, a step
    # of FINN's conversion, expects three.
    nodes = []
    for node in graph.node:
        attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        plain = attributes.get("alpha", 1.0) == 1.0 and not attributes.get("transA", 0)
        if node.op_type != "Gemm" or len(node.input) > 2 or not plain:
            nodes.append(node)
            continue
        matrix = node.input[1]
        if attributes.get("transB", 0):
            matrix = f"{node.output[0]}.transposed"
            nodes.append(onnx.helper.make_node("Transpose", [node.input[1]], [matrix], perm=[1, 0]))
        nodes.append(onnx.helper.make_node("MatMul", [node.input[0], matrix], list(node.output)))
    _replace_nodes(graph, nodes)


def _replace_nodes(graph: Any, nodes: list[Any]) -> None:
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _scopes_to_properties(traced: Any, names: Iterable[str]) -> None:
    known = set(names)
    named: list[tuple[str, Any]] = []
    for node in traced.graph.node:
        scopes = ast.literal_eval(get_property(node, "pkg.torch.onnx.name_scopes") or "[]")
        # Stack traces with this machine's paths are nobody's business.
        del node.metadata_props[:]
        quantizer = [scope for scope in scopes if scope in known]
        if quantizer and node.op_type in ("Quant", "BipolarQuant", "Trunc"):
            named.append((quantizer[-1], node))
    _set_calls(named)
    for value in (*traced.graph.value_info, *traced.graph.input, *traced.graph.output):
        del value.metadata_props[:]
    del traced.graph.metadata_props[:], traced.metadata_props[:]
