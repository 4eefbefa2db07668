"""A float ONNX file as a torch model whose layers can be quantized.

Convolutions and products with constant weights become layers of torch; the common operators become modules that
conversion knows, so that integers flow from layer to layer; the rest is computed as ONNX defines it. Readers on offer
lack operators that real files use (the one that is kept up best has no global maximum pooling, and leaves products with
constant weights as functions), and the table below is short.
"""

from __future__ import annotations

import operator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Node

from brevitas_a2q._ir.onnx_file import constant_array
from brevitas_a2q.errors import OnnxFileError
from brevitas_a2q.ptq._onnx_layers import layer_of
from brevitas_a2q.ptq._onnx_operators import OPERATORS, OPSET, OUTPUTS, Function

__all__ = ["read_float_model"]

_STANDARD = ("", "ai.onnx")  # domains of the operators that ONNX defines; others may call theirs the same


def read_float_model(path: str | Path) -> nn.Module:
    """Read a float network.

    Args:
        path: An ONNX file; weights may be in other files of its folder.

    Returns:
        A module in evaluation mode, of the file's inputs in their order.

    Raises:
        OnnxFileError: It cannot be read, or has an operator that is not in the table; names the node.
    """
    where = f"file {path}"
    try:
        file = onnx.load(str(path), load_external_data=False)
        _refuse_quantized(file, where)
        _bring_in(file, Path(path).parent, where)
        onnx.checker.check_model(file)
        file = onnx.shape_inference.infer_shapes(file)
    except OnnxFileError:
        raise
    except Exception as error:  # whatever onnx and protobuf raise
        raise OnnxFileError(f"cannot be read ({error})", where=where, expected="a valid ONNX file") from error
    return _Reader(file, where).module()


def _refuse_quantized(file: Any, where: str) -> None:
    """A file whose nodes quantize has had done to it what is asked for."""
    kinds = {"Quant", "BipolarQuant", "Trunc", "MultiThreshold", "QuantizeLinear", "DequantizeLinear"}
    found = next((node for node in file.graph.node if node.op_type in kinds), None)
    if found is not None:
        raise OnnxFileError(
            f"is quantized already (node {found.name or found.op_type})",
            where=where,
            expected="a float network",
            remedy="certify or simulate it as it is, or give the network it was made from",
        )


def _bring_in(file: Any, folder: Path, where: str) -> None:
    """Read what lies in other files of the folder; nothing is read from anywhere else."""
    inside = [a.t for node in file.graph.node for a in node.attribute if a.HasField("t")]
    for tensor in (*file.graph.initializer, *inside):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            values = constant_array(tensor, f"{where}, tensor {tensor.name or 'of a node'}", folder)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


class _Reader:
    def __init__(self, file: Any, where: str) -> None:
        self.file, self.where = file, where
        self.opset = max((entry.version for entry in file.opset_import if entry.domain in _STANDARD), default=1)
        graph = file.graph
        self.shapes = {  # zero where a size is not known
            value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
            for value in (*graph.value_info, *graph.input, *graph.output)
            if value.type.tensor_type.HasField("shape")
        }
        self.graph, self.root = Graph(), nn.Module()
        self.constants: dict[str, Tensor] = {}
        self.nodes: dict[str, Node] = {}

    def module(self) -> GraphModule:
        for tensor in self.file.graph.initializer:
            self.constants[tensor.name] = _tensor(tensor, f"{self.where}, tensor {tensor.name}")
        for given in self.file.graph.input:
            if given.name not in self.constants:
                self.nodes[given.name] = self.graph.placeholder(_identifier(given.name))
        for index, node in enumerate(self.file.graph.node):
            self._read(index, node)
        outputs = tuple(self._value(output.name) for output in self.file.graph.output)
        self.graph.output(outputs[0] if len(outputs) == 1 else outputs)
        self.graph.lint()
        return GraphModule(self.root, self.graph).eval()

    def _read(self, index: int, node: Any) -> None:
        where = f"{self.where}, node {node.name or index} ({node.op_type})"
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        attributes |= {OPSET: self.opset, OUTPUTS: len(node.output)}
        known_kind = node.domain in _STANDARD
        if node.op_type == "Constant":
            self.constants[node.output[0]] = _constant(attributes, where)
            return
        values = [self.constants.get(name) for name in node.input]
        given = len([name for name in node.input if name]) if node.input and node.input[-1] else len(node.input) - 1
        shape = self.shapes.get(node.input[0]) if node.input else None
        rank = None if shape is None else len(shape)
        wanted = values[1] if node.op_type == "Reshape" and known_kind else None
        if wanted is not None and shape and _keeps_batch(wanted, shape):
            values[1] = torch.cat([torch.zeros_like(wanted[:1]), wanted[1:]])
            attributes["allowzero"] = 0
        layer = layer_of(node.op_type, attributes, values, rank, given, where) if known_kind else None
        if layer is not None:
            name = f"{node.op_type.lower()}_{index}"
            self.root.add_module(name, layer.module)
            made = self.graph.call_module(name, (self._value(node.input[layer.source]),))
            self.nodes[node.output[0]] = made
            return
        if node.op_type not in OPERATORS or not known_kind:
            raise OnnxFileError(
                "its operator is not supported",
                where=where,
                expected=f"one of {', '.join(sorted(OPERATORS))}, convolutions, or products",
                remedy="build the network in torch and give its module:function",
            )
        _check_pooling(node.op_type, attributes, where)
        compute = OPERATORS[node.op_type]
        if all(not name or name in self.constants for name in node.input):
            known = [self.constants[name] if name else None for name in node.input]
            result = compute(known, attributes)
            for name, value in zip(node.output, result if isinstance(result, tuple) else (result,), strict=False):
                self.constants[name] = value
            return
        if node.op_type == "Add" and not any(value is not None for value in values):
            made = self.graph.call_function(operator.add, tuple(self._value(name) for name in node.input))
            self.nodes[node.output[0]] = made
            return
        name = f"{node.op_type.lower()}_{index}"
        dynamic = [name_ for name_, value in zip(node.input, values, strict=True) if value is None and name_]
        fixed = [value if name_ else None for name_, value in zip(node.input, values, strict=True)]
        places = [i for i, (name_, value) in enumerate(zip(node.input, values, strict=True)) if value is None and name_]
        self.root.add_module(name, Function(node.op_type, attributes, fixed, places))
        made = self.graph.call_module(name, tuple(self._value(one) for one in dynamic))
        if node.op_type != "Split":  # the others have a first output, and more that inference does not need
            self.nodes[node.output[0]] = made
        for place, output in enumerate(node.output if node.op_type == "Split" else ()):
            self.nodes[output] = self.graph.call_function(operator.getitem, (made, place))

    def _value(self, name: str) -> Node:
        if name in self.nodes:
            return self.nodes[name]
        if name not in self.constants:
            raise OnnxFileError(
                f"found no tensor {name!r}", where=self.where, expected="a tensor made before it is read"
            )
        attribute = f"constant_{len(list(self.root.buffers()))}"
        self.root.register_buffer(attribute, self.constants[name])
        self.nodes[name] = self.graph.get_attr(attribute)
        return self.nodes[name]


def _keeps_batch(wanted: Tensor, given: list[int]) -> bool:
    """Whether a shape's first size is that of what is given: files made for one batch size say its number."""
    return wanted.numel() > 0 and 0 not in wanted and int(wanted[0]) == given[0]


def _check_pooling(op: str, attributes: dict[str, Any], where: str) -> None:
    padded = attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID")
    if op == "AveragePool" and (padded or any(step != 1 for step in attributes.get("dilations", ()))):
        raise OnnxFileError(
            "found automatic padding or dilations", where=where, expected="pads as numbers, windows without gaps"
        )


def _identifier(name: str) -> str:
    text = "".join(c if c.isalnum() else "_" for c in name)
    return text if text and not text[0].isdigit() else f"input_{text}"


def _tensor(tensor: Any, where: str) -> Tensor:
    array = np.array(numpy_helper.to_array(tensor))
    try:
        return torch.from_numpy(array.astype(np.float32) if tensor.data_type == onnx.TensorProto.BFLOAT16 else array)
    except (TypeError, ValueError) as error:
        kind = onnx.TensorProto.DataType.Name(tensor.data_type)
        raise OnnxFileError(f"found values of type {kind}", where=where, expected="numbers") from error


def _constant(attributes: dict[str, Any], where: str) -> Tensor:
    if "value" in attributes:
        return _tensor(attributes["value"], where)
    for key in ("value_float", "value_floats", "value_int", "value_ints"):
        if key in attributes:
            return torch.tensor(attributes[key])
    raise OnnxFileError("found a constant of no known kind", where=where, expected="numbers")
