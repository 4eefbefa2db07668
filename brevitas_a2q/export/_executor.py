"""Nodes executed one by one, as the executor of qonnx does it.

That executor makes a model of each ONNX node and starts onnxruntime on it, each time anew, and looks for the node's
tensors among all of the graph; with thousands of nodes, run nine times, that takes minutes. Here the same model of a
node is made and loaded once. Operators of QONNX are left to qonnx.
"""

from __future__ import annotations

from typing import Any

import onnxruntime
from onnx import AttributeProto, helper
from qonnx.core.onnx_exec import execute_node
from qonnx.util.basic import qonnx_make_model

__all__ = ["Executor"]


class Executor:
    """Runs the nodes of one file.

    Args:
        wrapper: ``ModelWrapper`` of the file, its shapes inferred.
    """

    def __init__(self, wrapper: Any) -> None:
        self.graph = wrapper.graph
        self.opsets = wrapper.get_opset_imports()
        tensors = (*self.graph.input, *self.graph.output, *self.graph.value_info)
        self._tensors = {tensor.name: tensor for tensor in tensors}
        self._sessions: dict[str, Any] = {}

    def run(self, node: Any, context: dict[str, Any]) -> None:
        """Compute a node's outputs; ``context`` has tensors by name."""
        session = self._session(node)
        if session is None:
            execute_node(node, context, self.graph, self.opsets[node.domain])
            return
        results = session.run(list(node.output), {name: context[name] for name in node.input})
        context.update(zip(node.output, results, strict=True))

    def _session(self, node: Any) -> Any:
        """Onnxruntime with this node; None where qonnx is asked."""
        key = node.output[0]
        if key not in self._sessions:
            named = all(name in self._tensors for name in (*node.input, *node.output))
            plain = node.domain == "" and not any(a.type == AttributeProto.GRAPH for a in node.attribute)
            self._sessions[key] = self._loaded(node) if named and plain else None
        return self._sessions[key]

    def _loaded(self, node: Any) -> Any:
        inputs = [self._tensors[name] for name in dict.fromkeys(node.input)]
        outputs = [self._tensors[name] for name in node.output]
        model = qonnx_make_model(helper.make_graph([node], "node", inputs, outputs))
        model.opset_import[0].version = self.opsets[node.domain]
        return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
