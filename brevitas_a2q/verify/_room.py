"""How much a file may ask of a simulation: bounded by what it is given, whatever its nodes say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import Final

from brevitas_a2q._ir.network import Network, Node
from brevitas_a2q.errors import OnnxFileError
from brevitas_a2q.verify._products import Products

__all__ = ["check_room", "last_readers"]

_HELD: Final = 1 << 24  # elements at a time, of one sample; of a dozen bytes each
_HELD_PER_INPUT: Final = 1 << 9  # for each element of the sample
_PRODUCTS: Final = 1 << 34  # in all layers, of one sample
_PRODUCTS_PER_INPUT: Final = 1 << 18
_PRODUCTS_PER_WEIGHT: Final = 1 << 14


def last_readers(network: Network) -> dict[str, list[str]]:
    """Which tensors nobody reads behind a node, by the node's name."""
    last = {name: node.name for node in network.nodes for name in node.inputs}
    found: dict[str, list[str]] = {}
    for name, reader in last.items():
        if name not in network.outputs:
            found.setdefault(reader, []).append(name)
    return found


def check_room(network: Network, layers: Mapping[str, Products]) -> None:
    """Refuse a network that holds, or computes, far more than its inputs and weights account for.

    Args:
        network: As it was read.
        layers: Its layers' products, by name of their nodes.

    Raises:
        OnnxFileError: Naming the node at which it is too much.
    """
    given = sum(_elements(network, name) for name in network.inputs)
    weights = sum(tensor.size for tensor in network.tensors.values() if tensor.value is not None)
    room = _HELD + _HELD_PER_INPUT * given
    most = _PRODUCTS + _PRODUCTS_PER_INPUT * given + _PRODUCTS_PER_WEIGHT * weights
    products = 0
    for node, held in _held(network, layers):
        if held > room:
            raise _error(node, f"holds {held} numbers at a time", f"at most {room}")
        if node.name in layers:
            products += _elements(network, node.output) * layers[node.name].size
        if products > most:
            raise _error(node, f"multiplies more than {most} times", f"at most {most} products")


def _held(network: Network, layers: Mapping[str, Products]) -> Iterator[tuple[Node, int]]:
    """Every node, and the elements that are there while it runs."""
    free, there = last_readers(network), sum(_elements(network, name) for name in network.inputs)
    for node in network.nodes:
        made = sum(_elements(network, name) for name in node.outputs if name)
        there += made
        yield node, there + (_prepared(network, node, layers[node.name]) if node.name in layers else made)
        there -= sum(_elements(network, name) for name in free.get(node.name, ()))


def _prepared(network: Network, node: Node, products: Products) -> int:
    """Elements of a layer's input with its padding, and with the zeros between the pixels of a transposed one."""
    shape = network.tensors[node.inputs[0]].shape
    if not products.stride:
        return prod(shape[1:])
    factors = products.upsampling or (1,) * len(products.stride)
    sides = zip(shape[2:], factors, products.padding, strict=True)
    return shape[1] * prod(max(0, (n - 1) * factor + 1 + sum(pads)) for n, factor, pads in sides)


def _elements(network: Network, name: str) -> int:
    """Of one sample; constants count nothing."""
    tensor = network.tensors.get(name)
    return 0 if tensor is None or tensor.value is not None else prod(tensor.shape[1:])


def _error(node: Node, message: str, expected: str) -> OnnxFileError:
    return node.error(
        f"{message} for one sample",
        expected=f"{expected} for inputs and weights of this size",
        remedy="simulate a part",
    )
