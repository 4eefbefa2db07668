"""From a QONNX file to a dataflow graph of FINN's unit kinds, without FINN and without its streamlining."""

from brevitas_a2q.hw._frontend.build import build_graph, read_graph

__all__ = ["build_graph", "read_graph"]
