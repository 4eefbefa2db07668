"""Layers that never run, because the model multiplies by their weights itself: ``F.linear(x, self.qkv.weight, bias)``.

torchvision's Swin does so, and other attentions with a bias of their own. Such layers are reported as left out
(:func:`never_called`), unless the configuration lets them compute these products. Then, where ``torch.fx`` sees one, it
becomes a call of the layer (:func:`call_layers_`). Where it is inside of code that is no graph, the model's ``forward``
runs under :class:`LayersByHand`, which lets the layer compute it. Either way the layer runs like any other: quantized,
learnt, certified and exported. Products of what is first computed from the weights stay what they are, and are listed
as not covered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import Graph, Node
from torch.overrides import TorchFunctionMode

from brevitas_a2q.convert._attention import ATTENTION, attention, attention_weights

__all__ = ["HandMultiplied", "LayersByHand", "call_layers_", "multiplied_by_hand", "never_called"]

HandMultiplied = tuple[tuple[str, bool], ...]  # names of layers, and whether each has a bias of its own
Call = tuple[Sequence[Any], Mapping[str, Any]]

_PRODUCTS: Final = {F.linear: nn.Linear, F.conv1d: nn.Conv1d, F.conv2d: nn.Conv2d, F.conv3d: nn.Conv3d}


def _parts(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, Any, Any, dict[str, Any]]:
    """Input, weight, bias, and the geometry of a convolution, of a call of one of the products."""
    names = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
    given = dict(zip(names, args, strict=False)) | dict(kwargs)
    return given.pop("input", None), given.pop("weight", None), given.pop("bias", None), given


def _computes(layer: nn.Module, function: Any, geometry: Mapping[str, Any]) -> bool:
    """Whether the function, called like this, multiplies as the layer does."""
    if not isinstance(layer, _PRODUCTS[function]) or getattr(layer, "padding_mode", "zeros") != "zeros":
        return False
    if isinstance(layer, nn.Linear):
        return True
    conv: Any = layer
    axes, usual = len(conv.kernel_size), {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}

    def spread(value: Any) -> Any:
        return (value,) * axes if isinstance(value, int) else value if isinstance(value, str) else tuple(value)

    return all(spread(geometry.get(name, number)) == spread(getattr(conv, name)) for name, number in usual.items())


def call_layers_(graph: Graph, modules: Mapping[str, nn.Module], kinds: tuple[type[nn.Module], ...]) -> None:
    """Let a graph call a layer where it multiplies by the layer's weights, with the layer's bias.

    Args:
        graph: Of a model; changed.
        modules: The model's modules by name.
        kinds: Types of layers.
    """
    for node in list(graph.nodes):
        if node.op != "call_function" or node.target not in _PRODUCTS:
            continue
        x, weight, bias, geometry = _parts(node.args, node.kwargs)
        name = _owner(weight, "weight")
        layer = modules.get(name)
        if type(layer) not in kinds or not isinstance(x, Node):
            continue
        own = getattr(layer, "bias", None) is None if bias is None else _owner(bias, "bias") == name
        if own and layer is not None and _computes(layer, node.target, geometry):
            node.op, node.target, node.args, node.kwargs = "call_module", name, (x,), {}
    for node in reversed(list(graph.nodes)):
        if node.op == "get_attr" and not node.users:
            graph.erase_node(node)


def _owner(node: Any, parameter: str) -> str:
    """Of which module a node is the weight or bias; empty of none."""
    target = str(node.target) if isinstance(node, Node) and node.op == "get_attr" else ""
    return target.removesuffix(f".{parameter}") if target.endswith(f".{parameter}") else ""


def multiplied_by_hand(
    model: nn.Module, graph: Graph | None, run: Callable[[], Any] | None, kinds: tuple[type[nn.Module], ...]
) -> HandMultiplied:
    """The layers of a float model by whose weights other code multiplies.

    Args:
        model: A float model.
        graph: Of it, after :func:`call_layers_`; None of one that is no graph.
        run: Runs the model on an example, where there is one.
        kinds: Types of layers.
    """
    layers = _layers(model, kinds)
    found, _ = _used(layers, graph, run)
    return tuple((name, layer.bias is not None) for name, layer in layers.items() if name in found)


def never_called(
    model: nn.Module, graph: Graph | None, run: Callable[[], Any] | None, kinds: tuple[type[nn.Module], ...]
) -> frozenset[str]:
    """Those of :func:`multiplied_by_hand` that never run; same arguments."""
    found, called = _used(_layers(model, kinds), graph, run)
    return frozenset(found - called)


def _layers(model: nn.Module, kinds: tuple[type[nn.Module], ...]) -> dict[str, Any]:
    return {name: module for name, module in model.named_modules() if type(module) in kinds}


def _used(layers: Mapping[str, Any], graph: Graph | None, run: Callable[[], Any] | None) -> tuple[set[str], set[str]]:
    """Names of the layers whose weights are multiplied outside of them, and of those that are called."""
    if graph is not None:
        named = {op: {node for node in graph.nodes if node.op == op} for op in ("get_attr", "call_module")}
        outside = {_owner(node, "weight") for node in named["get_attr"]} & set(layers)
        return outside, {str(node.target) for node in named["call_module"]}
    if run is None:
        return set(), set()
    with _seen(layers) as used:
        run()
    return used


@contextmanager
def _seen(layers: Mapping[str, Any]) -> Iterator[tuple[set[str], set[str]]]:
    """What :func:`_used` says, of a run inside of the context."""
    names, inside = {id(layer.weight): name for name, layer in layers.items()}, [0]
    found, called = set[str](), set[str]()

    def enter(layer: Any, *_: Any) -> None:
        inside[0] += 1
        called.add(names[id(layer.weight)])

    def leave(*_: Any) -> None:
        inside[0] -= 1

    class Watch(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if not inside[0]:
                found.update(names[id(weight)] for weight in _weights(func, args, kwargs or {}) if id(weight) in names)
            return func(*args, **(kwargs or {}))

    hooks = [layer.register_forward_pre_hook(enter) for layer in layers.values()]
    hooks += [layer.register_forward_hook(leave, always_call=True) for layer in layers.values()]
    try:
        with Watch():
            yield found, called
    finally:
        for hook in hooks:
            hook.remove()


def _weights(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterable[Any]:
    if function in _PRODUCTS:
        return (_parts(args, kwargs)[1],)
    return attention_weights(args, kwargs) if function is ATTENTION else ()


class LayersByHand(TorchFunctionMode):
    """While active, layers compute what is multiplied by their weights.

    Args:
        model: That runs.
        names: Its layers, and whether each had a bias when it was converted: a product without one is then one that
            leaves the layer's bias out; a bias that the layer has been given since belongs to every product.
    """

    def __init__(self, model: nn.Module, names: HandMultiplied) -> None:
        super().__init__()
        layers = [(model.get_submodule(name), biased) for name, biased in names]
        self._layers: dict[int, Any] = {id(layer.weight): (layer, biased) for layer, biased in layers}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _PRODUCTS:
            x, weight, bias, geometry = _parts(args, kwargs)
            layer, _ = self._layers.get(id(weight), (None, False))
            if layer is not None and _computes(layer, func, geometry):
                return self._product(x, weight, bias)
        elif func is ATTENTION and any(id(weight) in self._layers for weight in attention_weights(args, kwargs)):
            return attention(args, kwargs, self._product)
        return func(*args, **kwargs)

    def _product(self, x: Any, weight: Tensor, bias: Tensor | None) -> Any:
        if id(weight) not in self._layers:
            return F.linear(x, weight, bias)
        layer, biased = self._layers[id(weight)]
        if bias is layer.bias or (bias is None and not biased):
            return layer(x)
        # Other threads may run the layer meanwhile, so its bias stays where it is, and is made up for behind it.
        missing = [part for part in (bias, None if layer.bias is None else -layer.bias) if part is not None]
        shape = (-1,) + (1,) * (0 if isinstance(layer, nn.Linear) else len(layer.kernel_size))
        return layer(x) + sum(missing[1:], missing[0]).reshape(shape)
