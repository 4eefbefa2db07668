"""Quantizers in the middle of a model's own code: its ``forward`` becomes that of a graph with quantizers in it."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from brevitas.nn import QuantIdentity
from brevitas.quant_tensor import IntQuantTensor
from torch import nn
from torch.fx import Graph, GraphModule, Node
from torch.fx.node import map_aggregate, map_arg

from brevitas_a2q.convert._by_hand import HandMultiplied, LayersByHand
from brevitas_a2q.convert._relus import is_relu, note_clipped_relus_
from brevitas_a2q.convert._values import VALUE_QUANTIZERS, Dataflow, name_of

__all__ = ["insert_quantizers_", "install_forward_"]


def insert_quantizers_(
    model: nn.Module,
    graph: Graph,
    flow: Dataflow,
    act_quantizers: Sequence[Any],
    clipped: Mapping[Node, float],
    again: Collection[str],
) -> None:
    """Put a quantizer behind every place where a value is made, and before operands of sums that need one more.

    FINN takes an unsigned quantizer behind a ReLU alone. What is never negative passes through one unchanged, so there
    is one wherever it is not made by one.

    Args:
        model: Gets the quantizers as a submodule :data:`VALUE_QUANTIZERS`, in place.
        graph: Of the model; changed to call them.
        flow: Its values.
        act_quantizers: One for each value.
        clipped: Nodes that will be a ReLU, with their upper limits.
        again: Names of layers that quantize once more what is never negative.
    """
    called = dict(model.named_modules())
    unsigned = [origin for value in flow.values if value.unsigned for origin in value.origins]
    bare = {origin for origin in unsigned if origin not in clipped and not is_relu(origin, called)}
    modules = nn.ModuleDict()
    setattr(model, VALUE_QUANTIZERS, modules)
    quantized = set[Node]()
    for value, act_quant in zip(flow.values, act_quantizers, strict=True):
        modules[name_of(value)] = QuantIdentity(act_quant=act_quant, return_quant_tensor=True)
        for origin in value.origins:
            readers = [user for user in origin.users if user not in flow.real]
            source = origin
            if origin in bare:
                with graph.inserting_after(origin):
                    source = graph.call_function(F.relu, (origin,))
            with graph.inserting_after(source):
                made = graph.call_module(f"{VALUE_QUANTIZERS}.{name_of(value)}", (source,))
            quantized.add(made)
            for reader in readers:
                reader.replace_input_with(origin, made)
    for value in flow.values:
        for total, index in value.sums:
            with graph.inserting_before(total):
                once_more = graph.call_module(f"{VALUE_QUANTIZERS}.{name_of(value)}", (total.args[index],))
            quantized.add(once_more)
            total.update_arg(index, once_more)
    for layer in flow.layers:
        if str(layer.target) in again:
            with graph.inserting_before(layer):
                layer.replace_input_with(layer.all_input_nodes[0], graph.call_function(F.relu, layer.args[:1]))
    note_clipped_relus_(model, flow, clipped)
    modules.train(model.training)
    for total in flow.sums:
        total.op, total.target = "call_function", operator.add
    _unpack_elsewhere(graph, flow, quantized)


def _unpack_elsewhere(graph: Graph, flow: Dataflow, quantized: set[Node]) -> None:
    """Give plain tensors to what does not compute on integers as such, and to the model's caller.

    Brevitas' tensors of integers offer a few of a tensor's methods and would take part in others' arithmetic.
    """
    for node in list(graph.nodes):
        sources = [source for source in node.all_input_nodes if source in quantized]
        if node in quantized or node in flow.layers or not sources:
            continue
        offered = node.op != "call_method" or hasattr(IntQuantTensor, str(node.target))
        if node in flow.sums or (node in flow.moves and offered):
            quantized.add(node)
            continue
        for source in sources:
            with graph.inserting_before(node):
                node.replace_input_with(source, graph.call_function(_plain, (source,)))


def _plain(x: Any) -> Any:
    return x.value if isinstance(x, IntQuantTensor) else x


def install_forward_(model: nn.Module, graph: Graph | None, by_hand: HandMultiplied = ()) -> None:
    """Let the model compute what a graph says, in place; it stays an instance of its class, and can be pickled.

    Args:
        model: Its modules are those that the graph calls.
        graph: Of :mod:`torch.fx`; None to keep the model's own ``forward``.
        by_hand: Layers that are to compute what the code multiplies by their weights.
    """
    if graph is not None:
        graph.lint()
    if isinstance(model, GraphModule):  # whose calls go by its own class, and never end in a class made of it
        if graph is not None:
            model.graph = graph
            model.recompile()
    elif graph is not None or by_hand:
        model.__class__ = _computing(type(model), graph, by_hand)


def _computing(kind: type[nn.Module], graph: Graph | None, by_hand: HandMultiplied) -> type[nn.Module]:
    """A class that is ``kind`` but for its forward, and that knows how to be made again by ``pickle`` and ``copy``."""
    forward = kind.forward if graph is None else _forward_of(graph)
    steps = None if graph is None else tuple(_steps(graph))
    recipe = (kind, steps, by_hand)

    def reduced(self: nn.Module, protocol: object) -> tuple[Any, ...]:
        return _restored, recipe, self.__dict__

    names = {"forward": _with_layers(forward, by_hand) if by_hand else forward, "__reduce_ex__": reduced}
    return type(kind.__name__, (kind,), {**names, "__module__": kind.__module__, "__doc__": kind.__doc__})


def _forward_of(graph: Graph) -> Callable[..., Any]:
    code = graph.python_code("self")
    namespace = dict(code.globals)
    exec(code.src, namespace)  # what torch.fx wrote for this graph
    written: Callable[..., Any] = namespace["forward"]
    return written


def _with_layers(forward: Callable[..., Any], by_hand: HandMultiplied) -> Callable[..., Any]:
    @functools.wraps(forward)
    def running(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        with LayersByHand(self, by_hand):
            return forward(self, *args, **kwargs)

    return running


@dataclass(frozen=True)
class _Result:
    """Stands for what a step of a graph gives, in the arguments of later ones."""

    name: str


_Step = tuple[str, str, Any, Any, Any]  # operation, name, target, arguments, keyword arguments


def _result_of(node: Node) -> Any:
    return _Result(node.name)


def _steps(graph: Graph) -> Iterator[_Step]:
    """A graph as plain values; torch makes no promise for pickles of its own graphs."""
    for node in graph.nodes:
        args, kwargs = map_arg((node.args, node.kwargs), _result_of)
        yield node.op, node.name, node.target, args, kwargs


def _restored(kind: type[nn.Module], steps: Sequence[_Step] | None, by_hand: HandMultiplied = ()) -> nn.Module:
    """An instance that its state is yet to be put in."""
    wanted = _computing(kind, None if steps is None else _graph_of(steps), by_hand)
    return wanted.__new__(wanted)


def _graph_of(steps: Sequence[_Step]) -> Graph:
    graph, made = Graph(), dict[str, Node]()

    def node_of(value: Any) -> Any:
        return made[value.name] if isinstance(value, _Result) else value

    for op, name, target, args, kwargs in steps:
        args, kwargs = map_aggregate((args, kwargs), node_of)
        made[name] = graph.create_node(op, target, args, kwargs, name)
    return graph
