"""qonnx' graph with its tensors by name: a ``ModelWrapper`` goes through all of them for each that is asked for.

Steps of qonnx that look up many tensors take minutes where there are thousands of nodes. Here they run on the same
graph with an index beside it, for as long as they move nothing by hand.
"""

from __future__ import annotations

from typing import Any, Final

from onnx import TensorProto, numpy_helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation import fold_constants, infer_datatypes
from qonnx.transformation.base import Transformation

__all__ = ["FoldConstants", "GiveReadableTensorNames", "Indexed", "InferDataTypes"]

_TYPE_KEY: Final = "finn_datatype"


class Indexed(ModelWrapper):
    """A graph whose tensors are known by name; it is not copied.

    Args:
        model: An ``onnx.ModelProto``. What changes it by other means than this wrapper leaves the index behind.
    """

    def __init__(self, model: Any) -> None:
        super().__init__(model, fix_missing_initializer_valueinfo=False)
        self._index()

    def _index(self) -> None:
        graph = self.graph
        self._infos = {info.name: info for infos in (graph.value_info, graph.output, graph.input) for info in infos}
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._types = {
            annotation.tensor_name: pair
            for annotation in graph.quantization_annotation
            for pair in annotation.quant_parameter_tensor_names
            if pair.key == _TYPE_KEY
        }

    def get_tensor_valueinfo(self, tensor_name: str) -> Any:
        """As qonnx does."""
        return self._infos.get(tensor_name)

    def get_initializer(self, tensor_name: str, return_dtype: bool = False) -> Any:
        """As qonnx does."""
        tensor = self._constants.get(tensor_name)
        value = None if tensor is None else numpy_helper.to_array(tensor)
        return (value, None if tensor is None else tensor.data_type) if return_dtype else value

    def get_tensor_shape(self, tensor_name: str, fix_missing_init_shape: bool = False) -> list[int] | None:
        """As qonnx does."""
        info, tensor = self._infos.get(tensor_name), self._constants.get(tensor_name)
        if info is not None:
            return [axis.dim_value for axis in info.type.tensor_type.shape.dim]
        if tensor is not None and fix_missing_init_shape:
            self.set_tensor_shape(tensor_name, list(tensor.dims), dtype=tensor.data_type)
        return None if tensor is None else list(tensor.dims)

    def get_tensor_datatype(self, tensor_name: str) -> Any:
        """As qonnx does."""
        if tensor_name in self._types:
            return DataType[self._types[tensor_name].value]
        info, tensor = self._infos.get(tensor_name), self._constants.get(tensor_name)
        kinds = [] if tensor is None else [tensor.data_type]
        kinds = kinds if info is None else [info.type.tensor_type.elem_type]
        return DataType["FLOAT16" if TensorProto.FLOAT16 in kinds else "FLOAT32"]

    def set_tensor_datatype(self, tensor_name: str, datatype: Any) -> None:
        """As qonnx does."""
        if datatype is not None and tensor_name in self._types:
            self._types[tensor_name].value = datatype.name
            return
        super().set_tensor_datatype(tensor_name, datatype)
        if datatype is None:
            self._types.pop(tensor_name, None)
            return
        annotation = next(a for a in reversed(self.graph.quantization_annotation) if a.tensor_name == tensor_name)
        self._types[tensor_name] = annotation.quant_parameter_tensor_names[-1]

    def set_tensor_shape(self, *args: Any, **kwargs: Any) -> None:
        """As qonnx does."""
        super().set_tensor_shape(*args, **kwargs)
        self._index()

    def set_initializer(self, *args: Any, **kwargs: Any) -> None:
        """As qonnx does."""
        super().set_initializer(*args, **kwargs)
        self._index()


class InferDataTypes(infer_datatypes.InferDataTypes):
    """Give tensors qonnx' data types, as the transformation of this name in qonnx does."""

    def apply(self, model: Any) -> tuple[Any, bool]:
        """The model with types, and whether this has to be repeated."""
        _, changed = super().apply(Indexed(model.model))
        return model, changed


class FoldConstants(fold_constants.FoldConstants):
    """Compute what depends on no input, as the transformation of this name in qonnx does."""

    def apply(self, model: Any) -> tuple[Any, bool]:
        """The model with constants, and whether this has to be repeated."""
        folded, changed = super().apply(Indexed(model.model))
        return ModelWrapper(folded.model, fix_missing_initializer_valueinfo=False), changed


class GiveReadableTensorNames(Transformation):
    """Names as the transformation of this name in qonnx gives them, but in every place of a node that reads a tensor.

    A node's outputs are ``NODE_out0``, ..., and constants ``NODE_param0``, ..., by the last node that reads them;
    inputs and outputs of the graph are ``global_in``, ``global_in_1``, ..., and what nothing reads is ``tensor_N``.
    """

    def apply(self, model: Any) -> tuple[Any, bool]:
        """The model with names, and that this need not be repeated."""
        graph = model.graph
        every = (*graph.value_info, *graph.input, *graph.output)
        names = {info.name: f"tensor_{place}" for place, info in enumerate(every)}
        constants = {tensor.name for tensor in graph.initializer}
        for node in graph.node:
            names |= {name: f"{node.name}_out{place}" for place, name in enumerate(node.output) if name}
            read = [name for name in dict.fromkeys(node.input) if name in constants]
            names |= {name: f"{node.name}_param{place}" for place, name in enumerate(read)}
        for kind, infos in (("in", graph.input), ("out", graph.output)):
            names |= {
                info.name: f"global_{kind}_{place}" if place else f"global_{kind}" for place, info in enumerate(infos)
            }
        for part in (*every, *graph.initializer):
            part.name = names.get(part.name, part.name)
        for annotation in graph.quantization_annotation:
            annotation.tensor_name = names.get(annotation.tensor_name, annotation.tensor_name)
        for node in graph.node:
            for places in (node.input, node.output):
                places[:] = [names.get(name, name) for name in places]
        return model, False
