"""Reading an ONNX file that nobody vouches for: bounded in memory and time, and refused with a reason.

Rules, in the order they are applied:

1. The file is regular, readable, and at most :data:`MAX_FILE_BYTES` long.
2. It parses as an ONNX model with a graph, in which every string is valid text.
3. It has at most :data:`MAX_NODES` nodes and :data:`MAX_TENSORS` initializers, and no sparse ones.
4. Every initializer has a shape whose size agrees with the bytes present, is finite, and is stored in the file itself
   or in a regular file inside its folder.
5. Every graph input that is not an initializer has a static shape of at most :data:`MAX_ELEMENTS` elements.
6. Nothing is said twice in two ways (attributes, versions of operators, inputs, types, properties): readers differ in
   which they take.

A caller may give an initializer that is an input too another value (from version 4 of the format on); its value is then
only a default, and it is listed in ``defaults``.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped,unused-ignore]

from brevitas_a2q.errors import OnnxFileError

__all__ = [
    "MAX_ELEMENTS",
    "MAX_FILE_BYTES",
    "MAX_NODES",
    "MAX_TENSORS",
    "OnnxGraph",
    "constant_array",
    "load",
    "text",
    "unique",
]

MAX_FILE_BYTES: Final = 1 << 30
MAX_NODES: Final = 20_000
MAX_TENSORS: Final = 100_000
MAX_ELEMENTS: Final = 1 << 28
MAX_RANK: Final = 8

_EXPORT = "export it again with brevitas_a2q.export_qonnx or brevitas.export.export_qonnx"

# Types a constant may have -> its NumPy type and the field that holds it when it is not raw bytes.
_TYPES: Final = {
    onnx.TensorProto.FLOAT: ("<f4", "float_data"),
    onnx.TensorProto.DOUBLE: ("<f8", "double_data"),
    onnx.TensorProto.FLOAT16: ("<f2", "int32_data"),
    onnx.TensorProto.INT8: ("<i1", "int32_data"),
    onnx.TensorProto.UINT8: ("<u1", "int32_data"),
    onnx.TensorProto.INT16: ("<i2", "int32_data"),
    onnx.TensorProto.UINT16: ("<u2", "int32_data"),
    onnx.TensorProto.INT32: ("<i4", "int32_data"),
    onnx.TensorProto.INT64: ("<i8", "int64_data"),
    onnx.TensorProto.BOOL: ("<u1", "int32_data"),
}


@dataclass(frozen=True, eq=False)
class OnnxGraph:
    """The parts of a checked ONNX file that the integer network is built from."""

    file: str
    nodes: tuple[Any, ...]  # onnx.NodeProto, in the file's order
    constants: dict[str, npt.NDArray[Any]]
    inputs: dict[str, tuple[tuple[int, ...], int]]  # name -> static shape, ONNX element type
    outputs: tuple[str, ...]
    data_types: dict[str, str]  # tensor name -> QONNX data type, from the quantization annotations
    metadata: dict[str, str]
    versions: dict[str, int]  # domain -> version of its operators
    functions: frozenset[tuple[str, str]]  # (domain, operator) that the file itself defines
    defaults: frozenset[str]  # constants that the caller may replace


def load(path: str | Path) -> OnnxGraph:
    """Read and check an ONNX file; see the rules above.

    Args:
        path: The file.

    Raises:
        OnnxFileError: Naming the file (and the node or tensor), what was found, what was expected, and a remedy.
    """
    path = Path(path)
    if "\0" in str(path):
        raise OnnxFileError("found a path with a zero byte", where=repr(str(path)), expected="an ONNX file")
    return _collect(path, _parse(path, _read_bytes(path, str(path), "an ONNX file")))


def _read_bytes(path: Path, where: str, expected: str, offset: int = 0, length: int | None = None) -> bytes:
    """The bytes of a regular file, of at most :data:`MAX_FILE_BYTES`; ``length`` of them from ``offset`` on."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise OnnxFileError("found no regular file", where=where, expected=expected)
        if status.st_size > MAX_FILE_BYTES:
            raise OnnxFileError(f"found {status.st_size} bytes", where=where, expected=f"at most {MAX_FILE_BYTES}")
        with path.open("rb") as file:
            file.seek(offset)
            return file.read() if length is None else file.read(length)
    except OSError as error:
        reason = error.strerror or "input or output error"
        raise OnnxFileError(f"cannot be read ({reason})", where=where, expected=expected) from error


def text(value: str | bytes, where: str) -> str:
    """A string of the file; protobuf hands out bytes where it is not valid text."""
    if isinstance(value, bytes):
        raise OnnxFileError(f"found {value[:20]!r} instead of text", where=where, expected="valid text", remedy=_EXPORT)
    return value


def _parse(path: Path, data: bytes) -> Any:
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        raise OnnxFileError(
            "is truncated or not an ONNX file", where=str(path), expected="a QONNX model", remedy=_EXPORT
        ) from error
    if not model.HasField("graph") or not model.graph.node:
        raise OnnxFileError("holds no network", where=str(path), expected="a QONNX model", remedy=_EXPORT)
    return model


def _collect(path: Path, model: Any) -> OnnxGraph:
    graph, where = model.graph, str(path)
    for what, count, limit in (
        ("nodes", len(graph.node), MAX_NODES),
        ("initializers", len(graph.initializer), MAX_TENSORS),
    ):
        if count > limit:
            raise OnnxFileError(f"found {count} {what}", where=where, expected=f"at most {limit}")
    if graph.sparse_initializer:
        raise OnnxFileError("found sparse initializers", where=where, expected="dense ones", remedy=_EXPORT)
    constants: dict[str, npt.NDArray[Any]] = {}
    elements = 0
    for tensor in graph.initializer:
        name = text(tensor.name, where)
        if name in constants:
            raise OnnxFileError(f"found two initializers named {name!r}", where=where, expected="unique names")
        constants[name] = constant_array(tensor, f"{where}, initializer {name}", path.parent)
        elements += constants[name].size
        if elements > MAX_ELEMENTS:
            raise OnnxFileError(f"found {elements} constants", where=where, expected=f"at most {MAX_ELEMENTS}")
    return OnnxGraph(
        file=where,
        nodes=tuple(graph.node),
        constants=constants,
        inputs=unique(
            (
                (text(value.name, where), (_static_shape(value, where), int(value.type.tensor_type.elem_type)))
                for value in graph.input
                if value.name not in constants
            ),
            f"{where}, inputs",
        ),
        outputs=tuple(text(value.name, where) for value in graph.output),
        data_types=unique(
            (
                (text(note.tensor_name, where), text(pair.value, where))
                for note in graph.quantization_annotation
                for pair in note.quant_parameter_tensor_names
                if pair.key == "finn_datatype"
            ),
            f"{where}, data types",
        ),
        metadata=unique(((text(p.key, where), text(p.value, where)) for p in model.metadata_props), where),
        versions=unique(((text(p.domain, where), int(p.version)) for p in model.opset_import), f"{where}, operators"),
        functions=frozenset((text(f.domain, where), text(f.name, where)) for f in model.functions),
        defaults=frozenset(value.name for value in graph.input if value.name in constants and model.ir_version >= 4),
    )


def unique(pairs: Iterable[tuple[str, Any]], where: str) -> dict[str, Any]:
    """A dictionary of what a file says, in pairs.

    Raises:
        OnnxFileError: Of one key it says two things; which of them counts depends on who reads it.
    """
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found and not np.array_equal(found[key], value):
            raise OnnxFileError(f"found {key!r} twice, with two values", where=where, expected="one value each")
        found[key] = value
    return found


def _static_shape(value: Any, where: str) -> tuple[int, ...]:
    where = f"{where}, input {value.name}"
    if not value.type.HasField("tensor_type") or not value.type.tensor_type.HasField("shape"):
        raise OnnxFileError("has no tensor shape", where=where, expected="a static shape", remedy=_EXPORT)
    dims = value.type.tensor_type.shape.dim
    shape = tuple(int(dim.dim_value) for dim in dims)
    if len(shape) > MAX_RANK or any(size < 1 for size in shape):
        found = ", ".join(
            text(dim.dim_param, where) or str(dim.dim_value) if dim.WhichOneof("value") else "?" for dim in dims
        )
        raise OnnxFileError(
            f"found shape ({found})",
            where=where,
            expected=f"at most {MAX_RANK} static, positive dimensions",
            remedy="export with example inputs of fixed size and without dynamic axes",
        )
    return check_size(shape, where)


def check_size(shape: tuple[int, ...], where: str) -> tuple[int, ...]:
    """The shape itself, if a tensor of it is not absurdly large."""
    if prod(shape) > MAX_ELEMENTS:
        raise OnnxFileError(f"found shape {shape}", where=where, expected=f"at most {MAX_ELEMENTS} elements")
    return shape


def constant_array(tensor: Any, where: str, folder: Path | None = None) -> npt.NDArray[Any]:
    """The values of a ``TensorProto``, checked against its declared shape and for NaN and infinity.

    Args:
        tensor: ``onnx.TensorProto``.
        where: What to call it in an error.
        folder: Where external data may lie; None: nowhere.
    """
    if tensor.data_type not in _TYPES:
        names = {number: name for name, number in onnx.TensorProto.DataType.items()}
        kind = names.get(tensor.data_type, tensor.data_type)
        raise OnnxFileError(
            f"found element type {kind}", where=where, expected="values of 16 to 64 bits, or INT8, UINT8"
        )
    dtype, field = _TYPES[tensor.data_type]
    shape = tuple(int(size) for size in tensor.dims)
    if len(shape) > MAX_RANK or any(size < 0 for size in shape):
        raise OnnxFileError(f"found shape {shape}", where=where, expected=f"at most {MAX_RANK} dimensions from 0 up")
    count = prod(check_size(shape, where))
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        values = np.frombuffer(_external_bytes(tensor, where, folder, count * np.dtype(dtype).itemsize), dtype)
    elif tensor.HasField("raw_data"):
        raw = tensor.raw_data
        values = np.frombuffer(raw[: len(raw) // np.dtype(dtype).itemsize * np.dtype(dtype).itemsize], dtype)
    else:
        values = _listed_values(tensor, dtype, field)
    if values.size != count:
        raise OnnxFileError(f"found {values.size} values for shape {shape}", where=where, expected=str(count))
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise OnnxFileError("found NaN or infinity", where=where, expected="finite values", remedy="check the training")
    return (values != 0 if tensor.data_type == onnx.TensorProto.BOOL else values).reshape(shape)


def _listed_values(tensor: Any, dtype: str, field: str) -> npt.NDArray[Any]:
    if field in ("float_data", "double_data"):
        return np.array(getattr(tensor, field), np.float64).astype(dtype)
    listed = np.array(getattr(tensor, field), np.int64)
    return (listed & 0xFFFF).astype("<u2").view("<f2") if dtype == "<f2" else listed.astype(dtype)


def _external_bytes(tensor: Any, where: str, folder: Path | None, length: int) -> bytes:
    entries = {text(pair.key, where): text(pair.value, where) for pair in tensor.external_data}
    location = entries.get("location", "")
    inside = "a regular file inside the model's folder"
    if folder is None or not location or "\0" in location:
        raise OnnxFileError("found external data here", where=where, expected="data inside the file")
    root, target = folder.resolve(), (folder / location).resolve()
    if root not in target.parents:
        raise OnnxFileError(f"found external data at {location!r}", where=where, expected=inside)
    offset_text = entries.get("offset", "0")
    if not offset_text.isdecimal() or len(offset_text) > 12:
        raise OnnxFileError(f"found offset {offset_text[:40]!r}", where=where, expected="a byte count")
    data = _read_bytes(target, where, inside, int(offset_text), length)
    if len(data) < length:
        raise OnnxFileError(f"found {len(data)} bytes of external data", where=where, expected=f"{length} bytes")
    return data
