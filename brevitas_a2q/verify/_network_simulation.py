"""A QONNX file run with P-bit accumulators, from its integer network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from brevitas_a2q._ir.dot_product import DotProductLayer
from brevitas_a2q._ir.layers import bias_node, dot_product_layers
from brevitas_a2q._ir.network import OPAQUE, Network, Node
from brevitas_a2q._ir.reader import read_network
from brevitas_a2q.errors import DataError
from brevitas_a2q.verify._islands import Islands
from brevitas_a2q.verify._network_operations import operate
from brevitas_a2q.verify._products import Products
from brevitas_a2q.verify._room import check_room, last_readers
from brevitas_a2q.verify._simulation import Settings, Simulation, Tally
from brevitas_a2q.verify._stream import Stream, tensor_of

__all__ = ["NetworkSimulator", "simulate_file"]

Array = npt.NDArray[Any]
_BATCH: Final = 256  # images at a time
_ELEMENTS: Final = 1 << 20  # of the largest tensor of a batch, so that it stays in the processor's cache


def simulate_file(path: str | Path, inputs: Any, settings: Settings) -> Simulation:
    """Run a file; see :func:`brevitas_a2q.verify._simulate.simulate`."""
    return NetworkSimulator(read_network(path)).run(inputs, settings)


@dataclass(frozen=True, eq=False)
class _Step:
    """A layer ready to run: its geometry, and the Add that is part of its accumulator, if any."""

    layer: DotProductLayer
    products: Products
    bias: Tensor | None
    output: str  # of the Add where there is one


class NetworkSimulator:
    """An integer network, prepared once and run with any settings.

    Args:
        network: As :func:`brevitas_a2q._ir.reader.read_network` returns it.

    Raises:
        OnnxFileError: It asks for far more memory or products than its inputs and weights account for.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        layers = {layer.name: layer for layer in dot_product_layers(network)}
        self._steps = {node.name: self._step(node, layers[node.name]) for node in network.nodes if node.name in layers}
        check_room(network, {name: step.products for name, step in self._steps.items()})
        self._free = last_readers(network)
        self._merged = {step.output for step in self._steps.values()}
        self._islands = Islands(network)
        self._given_batch = _batch_that_must_stay(network)
        largest = max(prod(tensor.shape[1:]) for tensor in network.tensors.values() if tensor.value is None)
        self._batch_size = self._given_batch or min(_BATCH, max(1, _ELEMENTS // largest))

    def run(self, inputs: Any, settings: Settings) -> Simulation:
        """Outputs and overflows for a batch of inputs.

        Args:
            inputs: An array, or one per input name, of shape (batch, *rest of the file's shape).
            settings: Widths and what happens beyond them.

        Raises:
            DataError: Inputs that do not fit the network, or leave the range that was declared for them.
        """
        named = self._checked(inputs)
        tally = Tally(settings)
        count, size = len(next(iter(named.values()))), self._batch_size
        parts = []
        with torch.no_grad():
            for start in range(0, count, size):
                batch = {name: torch.from_numpy(x[start : start + size]) for name, x in named.items()}
                parts.append(self._run(batch, tally))
        outputs = {name: np.concatenate([part[name] for part in parts]) for name in self.network.outputs}
        return tally.result(outputs if len(outputs) > 1 else next(iter(outputs.values())))

    def _run(self, batch: Mapping[str, Tensor], tally: Tally) -> dict[str, Array]:
        streams: dict[str, Stream] = {}
        for name, x in batch.items():
            codes = self.network.tensors[name].codes
            streams[name] = Stream(values=x) if codes is None else Stream.of_integers(x, codes)
        for node in self.network.nodes:
            step = self._steps.get(node.name)
            if step is not None:
                streams[step.output] = self._dot_product(node, step, streams[node.inputs[0]], tally)
            elif node.output not in self._merged:
                given = [streams[name] for name in node.inputs if name in streams]
                if self._islands.holds(node):
                    made = self._islands.run(node, given)
                else:
                    made = operate(self.network, node, given)
                streams.update(zip(filter(None, node.outputs), made, strict=True))
            for name in self._free.get(node.name, ()):
                streams.pop(name, None)
        return {name: streams[name].real().numpy() for name in self.network.outputs}

    def _dot_product(self, node: Node, step: _Step, x: Stream, tally: Tally) -> Stream:
        codes, out = self.network.tensors[node.inputs[0]].codes, self.network.tensors[step.output].codes
        assert codes is not None
        assert out is not None
        integers, point = x.integers_at(codes), tensor_of(codes.zero_point, np.int64)
        if node.op == "MatMul":
            rows = integers.reshape(-1, integers.shape[-1])
            points = point.reshape(-1) if point.numel() > 1 else point.reshape(())
            sums = tally.sums(step.layer, step.products, rows, step.bias, points)
            return Stream.of_integers(sums.reshape(*integers.shape[:-1], -1), out)
        return Stream.of_integers(tally.sums(step.layer, step.products, integers, step.bias, point), out)

    def _step(self, node: Node, layer: DotProductLayer) -> _Step:
        weights = self.network.tensors[node.inputs[1]].integers
        assert weights is not None
        products = _products(node, tensor_of(weights, np.int64))
        add = bias_node(self.network, node) if layer.bias is not None else None
        if add is None or layer.bias is None:
            return _Step(layer, products, None, node.output)
        # Phases of a transposed convolution repeat their channel's bias.
        repeats = layer.channels // products.weights.shape[0]
        return _Step(layer, products, tensor_of(layer.bias[::repeats], np.int64), add.output)

    def _checked(self, inputs: Any) -> dict[str, Array]:
        names = self.network.inputs
        if not isinstance(inputs, Mapping):
            if len(names) != 1:
                raise DataError("found one array", where=self.network.file, expected=f"arrays for {', '.join(names)}")
            inputs = {names[0]: inputs}
        missing = [name for name in names if name not in inputs]
        if missing or len(inputs) > len(names):
            raise DataError(
                f"found inputs {', '.join(map(str, inputs))}", where=self.network.file, expected=", ".join(names)
            )
        arrays = {name: self._input(name, np.asarray(inputs[name])) for name in names}
        if len({len(array) for array in arrays.values()}) != 1:
            raise DataError("found inputs of different batch sizes", where=self.network.file, expected="one batch")
        count = len(next(iter(arrays.values())))
        if count % self._batch_size and self._given_batch:
            raise DataError(
                f"found {count} samples, and the file mixes those of a batch",
                where=self.network.file,
                expected=f"a multiple of its batch size {self._given_batch}",
            )
        return arrays

    def _input(self, name: str, array: Array) -> Array:
        tensor, where = self.network.tensors[name], f"{self.network.file}, input {name}"
        if array.dtype.kind not in "fiub":
            raise DataError(f"found an array of type {array.dtype}", where=where, expected="real numbers")
        if array.ndim != len(tensor.shape) or array.shape[1:] != tensor.shape[1:] or not len(array):
            raise DataError(
                f"found shape {array.shape}", where=where, expected=f"({', '.join(['n', *map(str, tensor.shape[1:])])})"
            )
        values = np.array(array, np.float32, order="C")  # a copy: PyTorch wants to be able to write
        low, high = float(tensor.lo.min()), float(tensor.hi.max())
        if not (np.isfinite(values).all() and low <= values.min() and values.max() <= high):
            raise DataError(
                f"found values from {values.min()} to {values.max()}",
                where=where,
                expected=f"values from {low:g} to {high:g}",
            )
        return values


def _batch_that_must_stay(network: Network) -> int | None:
    """The file's own batch size, where samples do not simply stand side by side along the first axis throughout.

    Somewhere a tensor's first axis is another one then, as in attention that puts tokens first, or real arithmetic of
    which nothing is known may mix what it is given, unless it is given one sample.
    """
    sizes = {network.tensors[name].shape[:1] for name in network.inputs}
    made = (name for node in network.nodes for name in node.outputs if name)
    moved = any(network.tensors[name].shape[:1] not in sizes for name in made if name in network.tensors)
    mixed = any(node.op == OPAQUE for node in network.nodes) and sizes != {(1,)}
    (size,) = next(iter(sizes)) or (1,)
    return size if moved or mixed or len(sizes) > 1 else None


def _products(node: Node, weights: Tensor) -> Products:
    if node.op == "MatMul":
        return Products(weights.T.contiguous())
    a = node.attributes
    pads = tuple(zip(a["pads"][: weights.dim() - 2], a["pads"][weights.dim() - 2 :], strict=True))
    if node.op == "ConvTranspose":
        return Products.transposed(weights, a["group"], a["strides"], a["dilations"], pads, a["output_padding"])
    return Products(weights, a["group"], a["strides"], a["dilations"], pads)
