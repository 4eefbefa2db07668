"""Inputs for the accelerator, and what the QONNX executor makes of them.

The accelerator starts at the integers of the network's first quantizer, or at its input where that is integers already.
The executor runs the file itself; where a tensor of it stands for integers, they are compared with the unit's.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from brevitas_a2q._ir.datatypes import IntType
from brevitas_a2q._ir.dot_product import IntArray
from brevitas_a2q._ir.layers import DOT_PRODUCTS
from brevitas_a2q._ir.network import Network
from brevitas_a2q.errors import DataError, RtlError
from brevitas_a2q.hw._ir import AddStreams, Graph, Mvau, Thresholding, Unit, Vvau

__all__ = ["Executor", "Mismatch", "input_tensor", "random_inputs"]

_QUANTIZERS = ("Quant", "BipolarQuant", "Trunc", "MultiThreshold")
_FLOAT_NOISE = 0.1  # of the executor's float32 sums, in steps of the integers
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Mismatch:
    """A unit whose integers are not the executor's."""

    unit: str
    tensor: str
    image: int
    count: int


def input_tensor(network: Network) -> str:
    """The tensor whose integers enter the accelerator."""
    name = network.inputs[0]
    if network.tensors[name].codes is not None:
        return name
    for node in network.nodes:
        if node.op in _QUANTIZERS:
            return node.output
    raise RtlError("found no quantizer", where=network.file, expected="one at the input")


def random_inputs(network: Network, images: int, seed: int) -> Array:
    """Inputs that exercise the whole range of the first quantizer.

    Where the quantizer reads the input itself, every one of its integers is equally likely; otherwise the input's
    declared range is, or a normal distribution where it has none.
    """
    rng = np.random.default_rng(seed)
    name = network.inputs[0]
    tensor = network.tensors[name]
    shape = (images, *tensor.shape[1:])
    first = network.tensors[input_tensor(network)]
    producer = network.producer(first.name)
    if first.codes is not None and (producer is None or name in producer.inputs):
        lo, hi = (np.broadcast_to(end, first.shape)[:1] for end in (first.codes.lo, first.codes.hi))
        if producer is None or first.shape == tensor.shape:
            codes = rng.integers(lo, hi + 1, size=shape)
            if first.codes.dtype.name == "BIPOLAR":
                codes = rng.choice([-1, 1], size=shape)
            values = codes * first.codes.scale
            lowest, highest = (np.broadcast_to(end, tensor.shape)[:1] for end in (tensor.lo, tensor.hi))
            return np.clip(values, lowest, highest).astype(np.float32)
    least, most = float(tensor.lo.min()), float(tensor.hi.max())
    if np.isfinite([least, most]).all() and most - least < 1e6:
        return rng.uniform(least, most, shape).astype(np.float32)
    return rng.standard_normal(shape).astype(np.float32)


def as_stream(values: IntArray, axis: int) -> IntArray:
    """A tensor whose channels are on this axis as (images, height, width, channels)."""
    moved = np.moveaxis(values, axis, -1)
    return moved if moved.ndim == 4 else moved.reshape(len(moved), -1, 1, moved.shape[-1])


class Executor:
    """The QONNX executor on one file.

    Args:
        network: The integer network of the file.
        graph: Its dataflow graph.

    Raises:
        RtlError: qonnx cannot read the file.
    """

    def __init__(self, network: Network, graph: Graph) -> None:
        self.network, self.graph = network, graph
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # qonnx's, about its own imports
            from qonnx.core.modelwrapper import ModelWrapper
            from qonnx.transformation.infer_shapes import InferShapes

            self._model = ModelWrapper(network.file).transform(InferShapes())
        self._compared = list(self._comparisons())

    def _comparisons(self) -> Iterator[tuple[Unit, str]]:
        """Units, and the tensors of the file that hold the same integers."""
        nodes = {node.name: node for node in self.network.nodes}
        for unit in self.graph.units:
            node = nodes.get(unit.source[-1]) if unit.source else None
            if node is None or not isinstance(unit, Mvau | Vvau | Thresholding | AddStreams):
                continue
            if self.network.tensors[node.output].codes is not None:
                yield unit, node.output

    @property
    def units(self) -> list[str]:
        """Names of the units that can be compared."""
        return [unit.name for unit, _ in self._compared]

    def run(self, x: Array) -> dict[str, Array]:
        """Every tensor of the file for one image of shape (1, ...)."""
        from qonnx.core.onnx_exec import execute_onnx

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found: dict[str, Array] = execute_onnx(
                    self._model, {self.network.inputs[0]: x}, return_full_exec_context=True
                )
        except Exception as error:  # onnxruntime's and qonnx's own, of many kinds
            raise RtlError(f"the QONNX executor fails: {error}", where=self.network.file) from error
        return found

    def integers(self, tensor: str, values: Array) -> IntArray:
        """A tensor's integers.

        Raises:
            RtlError: The values are no numbers, or not integers of the tensor's scale.
        """
        codes = self.network.tensors[tensor].codes
        assert codes is not None
        found = values / np.broadcast_to(codes.scale, values.shape)
        if not np.isfinite(found).all():
            remedy = "inputs of which the file's arithmetic makes numbers"
            raise RtlError(f"found what is no number in {tensor}", where=self.network.file, remedy=remedy)
        rounded = np.rint(found)
        if np.abs(found - rounded).max(initial=0) > _FLOAT_NOISE:
            raise RtlError(f"found values between integers in {tensor}", where=self.network.file)
        return rounded.astype(np.int64)

    def inputs(
        self, images: Array, progress: Callable[[int], None] | None = None
    ) -> tuple[IntArray, list[dict[str, Array]]]:
        """The integers that enter the accelerator, in stream order, and the executor's tensors for every image."""
        name = input_tensor(self.network)
        contexts = []
        for i, image in enumerate(images):
            contexts.append(self._kept(self.run(image[None]), name))
            if progress is not None:
                progress(i + 1)
        first = np.concatenate([context[name] for context in contexts])
        reader = next(unit for unit in self.graph.units if "" in unit.inputs)
        integers = self._fitting(self.integers(name, first), reader.input_type, name)
        return as_stream(integers, self.graph.input.channel_axis), contexts

    def _fitting(self, integers: IntArray, dtype: IntType, name: str) -> IntArray:
        """The integers, which the type of the input stream must hold."""
        wrong = (integers < dtype.range.lo) | (integers > dtype.range.hi)
        if dtype.name == "BIPOLAR":
            wrong |= integers == 0
        if wrong.any():
            raise RtlError(
                f"found {int(integers[wrong][0])} in {name}",
                where=self.network.file,
                expected=f"integers of type {dtype.name}",
                remedy="scale or quantize the inputs as the file says",
            )
        return integers

    def _kept(self, context: dict[str, Array], name: str) -> dict[str, Array]:
        wanted = {name, *(tensor for _, tensor in self._compared)}
        return {key: value for key, value in context.items() if key in wanted and value is not None}

    def compare(self, outputs: dict[str, IntArray], contexts: list[dict[str, Array]]) -> tuple[int, list[Mismatch]]:
        """Units' integers against the executor's: how many were compared, and where they differ.

        Bare sums are compared up to the sign of a channel, because a channel whose function falls has its weights
        negated.
        """
        compared, wrong = 0, []
        nodes = {node.name: node for node in self.network.nodes}
        for unit, tensor in self._compared:
            for image, context in enumerate(contexts):
                if tensor not in context:
                    continue  # a bias of its own follows: the file has no tensor of the bare sums
                integers = self.integers(tensor, context[tensor])
                turns = nodes[unit.source[-1]].op in DOT_PRODUCTS
                found = [
                    _different(self._like(unit, outputs, image, desired.shape), desired, turns)
                    for axis in {1, integers.ndim - 1}  # nothing says where a square tensor has its channels
                    if integers.shape[axis] == unit.channels
                    for desired in [as_stream(integers, axis)[0]]
                ]
                counts = [count for count in found if count is not None]
                if not counts:
                    continue
                compared += integers.size
                if min(counts):
                    wrong.append(Mismatch(unit.name, tensor, image, min(counts)))
        return compared, wrong

    def _like(self, unit: Unit, outputs: dict[str, IntArray], image: int, shape: tuple[int, ...]) -> IntArray | None:
        """The unit's output, or that of the pool built behind its thresholds, whichever has the tensor's shape."""
        for name in (unit.name, *(reader.name for reader in self.graph.units if unit.name in reader.inputs)):
            found: IntArray = outputs[name][image]
            if found.shape == shape:
                return found
            if found.size == np.prod(shape) and found.shape[-1] == shape[-1]:
                return found.reshape(shape)
        return None


def _different(found: IntArray | None, desired: IntArray, turns: bool) -> int | None:
    """How many integers are different, where there are any to compare."""
    if found is None:
        return None
    if turns:
        desired = desired * np.where((found == desired).all(axis=(0, 1)), 1, -1)
    return int((found != desired).sum())


def checked_inputs(network: Network, inputs: Any) -> Array:
    """Inputs of a user as float32 of the file's shape.

    Raises:
        DataError: They have another shape or are not numbers.
    """
    expected = network.tensors[network.inputs[0]].shape[1:]
    try:
        array = np.asarray(inputs)
    except ValueError as error:
        raise DataError(f"found inputs that are no array ({error})", where=network.file) from error
    if array.dtype.kind not in "fiub" or array.shape[1:] != expected or not len(array):
        raise DataError(
            f"found inputs of shape {array.shape} and type {array.dtype}",
            where=network.file,
            expected=f"numbers of shape (n, {', '.join(map(str, expected))})",
        )
    if not np.isfinite(array).all():
        raise DataError("found inputs that are not finite", where=network.file, expected="numbers")
    return array.astype(np.float32)
