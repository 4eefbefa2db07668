"""Real arithmetic between integers, as the file has it: run by onnxruntime, node by node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import onnx
import torch
from onnx import helper

from brevitas_a2q._ir.network import OPAQUE, Network, Node
from brevitas_a2q.verify._stream import Stream

__all__ = ["Islands"]

_DOMAINS: Final = ("", "ai.onnx")
_IR_VERSION: Final = 10  # the newest that onnxruntime has read for long
_QUIET: Final = 4  # of onnxruntime's levels: fatal errors only; others are raised as well


class Islands:
    """The opaque nodes of a network, each with its session once it has run.

    Args:
        network: Where the nodes and their constants are.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._sessions: dict[str, Any] = {}
        self._elements: dict[str, np.dtype[Any]] = {}  # of what islands gave, where the file does not say

    def holds(self, node: Node) -> bool:
        """Whether a node is one of them; operators of other domains than ONNX' are not."""
        return node.op == OPAQUE and node.attributes["domain"] in _DOMAINS

    def run(self, node: Node, streams: Sequence[Stream]) -> tuple[Stream, ...]:
        """The outputs of a node.

        Args:
            node: One that :meth:`holds`.
            streams: Its inputs that are no constants, in order.

        Raises:
            OnnxFileError: onnxruntime refuses it.
        """
        tensors = self._network.tensors
        names = [name for name in node.inputs if name and tensors[name].value is None]
        given = {name: x.real().numpy().astype(self._element(name)) for name, x in zip(names, streams, strict=True)}
        try:
            session = self._sessions.get(node.name) or self._session(node)
            self._sessions[node.name] = session
            # What the file does with one sample says nothing of several: its shapes and axes may hold only for one.
            if all(tensors[name].shape[:1] == (1,) for name in given):
                count = max((len(x) for x in given.values()), default=1)
                parts = [session.run(None, {k: x[i : i + 1] for k, x in given.items()}) for i in range(count)]
                found = [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]
            else:
                found = session.run(None, given)
        except Exception as error:  # onnxruntime's are of many types, none of which it promises
            raise node.error(f"cannot be simulated ({error})", expected="what onnxruntime computes") from error
        self._elements.update(zip(filter(None, node.outputs), (x.dtype for x in found), strict=True))
        return tuple(Stream(values=torch.from_numpy(np.asarray(x, np.float32))) for x in found)

    def _element(self, name: str) -> np.dtype[Any]:
        return self._elements.get(name, self._network.tensors[name].element)

    def _session(self, node: Node) -> Any:
        import onnxruntime

        a, tensors = node.attributes, self._network.tensors
        inner = helper.make_node(a["op"], list(node.inputs), list(node.outputs), name=node.name, **a["attributes"])
        names = dict.fromkeys(name for name in node.inputs if name)
        graph = helper.make_graph(
            [inner],
            "island",
            [_info(name, self._element(name)) for name in names if tensors[name].value is None],
            [onnx.ValueInfoProto(name=name) for name in node.outputs if name],  # of types that follow
            [onnx.numpy_helper.from_array(v, name) for name in names if (v := tensors[name].value) is not None],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", a["opset"])], ir_version=_IR_VERSION)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _QUIET
        options.intra_op_num_threads = 1
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _info(name: str, element: np.dtype[Any]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(element), None)
