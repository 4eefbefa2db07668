"""Calibration data as batches of a model's arguments, some of them kept to judge by."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from brevitas_a2q.errors import DataError

__all__ = ["Batch", "Calibration", "call", "in_type", "mask_of"]

Batch: TypeAlias = tuple[tuple[Tensor, ...], dict[str, Tensor]]  # positional and keyword arguments
_MASK = "attention_mask"
_BATCH = 64  # samples of a data set that are read at a time


@dataclass(frozen=True, eq=False)
class Calibration:
    """Batches to learn from, and batches to judge by."""

    known: tuple[Batch, ...]
    held_out: tuple[Batch, ...]

    @classmethod
    def of(cls, data: Any, held_out: float, batch_size: int) -> Calibration:
        """From a tensor of samples, a list of tensors or batches, or a loader.

        Args:
            data: A tensor or a data set holds samples. A list holds batches, and so does a loader: tensors, mappings of
                keyword arguments, or tuples of which the first is taken (the rest are labels).
            held_out: Share that is kept to judge by.
            batch_size: Samples that run at a time.

        Raises:
            DataError: No data, one sample, data of no known kind, or values that are not finite.
        """
        batches = _batches(data)
        total = sum(_count(batch) for batch in batches)
        if total < 2:
            found = "one sample" if total else "no data"
            raise DataError(
                f"found {found}",
                where="calibration",
                expected="at least two samples (some are kept to judge by), usually a few hundred",
            )
        _check(batches)
        samples = _joined(batches)
        if samples is None:
            kept = max(1, round(held_out * len(batches)))
            if kept == len(batches):
                raise DataError(
                    "found one batch, whose samples cannot be told apart", where="calibration", expected="more batches"
                )
            return cls(tuple(batches[:-kept]), tuple(batches[-kept:]))
        kept = min(max(1, round(held_out * total)), total - 1)
        return cls(
            tuple(_chunks(samples, 0, total - kept, batch_size)),
            tuple(_chunks(samples, total - kept, total, batch_size)),
        )

    @classmethod
    def to_judge(cls, data: Any, batch_size: int) -> tuple[Batch, ...]:
        """Batches of which all are to judge by; arguments and errors as of :meth:`of`."""
        batches = _batches(data)
        total = sum(_count(batch) for batch in batches)
        if not total:
            raise DataError("found no data", where="evaluation", expected="samples to judge by")
        _check_finite(batches, "evaluation")
        samples = _joined(batches)
        return tuple(batches if samples is None else _chunks(samples, 0, total, batch_size))

    @property
    def digest(self) -> str:
        """Of all values."""
        sha = hashlib.sha256()
        for args, kwargs in (*self.known, *self.held_out):
            for tensor in (*args, *(kwargs[key] for key in sorted(kwargs))):
                sha.update(str((tensor.dtype, tuple(tensor.shape))).encode())
                sha.update(tensor.detach().contiguous().numpy().tobytes())
        return sha.hexdigest()


def call(batch: Batch) -> Callable[[nn.Module], Any]:
    """What runs a model on a batch."""
    args, kwargs = batch
    return lambda model: model(*args, **kwargs)


def in_type(batch: Batch, dtype: torch.dtype) -> Batch:
    """The batch with its real numbers of this type."""

    def cast(tensor: Tensor) -> Tensor:
        return tensor.to(dtype) if tensor.is_floating_point() else tensor

    return tuple(map(cast, batch[0])), {key: cast(value) for key, value in batch[1].items()}


def mask_of(batch: Batch) -> Tensor | None:
    """Which tokens of a batch count, where it says so."""
    return batch[1].get(_MASK)


def _items(data: Any) -> Iterable[Any]:
    if isinstance(data, (Tensor, np.ndarray)):
        return [data] if data.ndim and len(data) else []
    if isinstance(data, Mapping):
        return [data]
    if isinstance(data, Dataset) and isinstance(data, Sized):
        return DataLoader(data, batch_size=_BATCH)
    if isinstance(data, (str, bytes)) or not isinstance(data, Iterable):
        raise DataError(
            f"found {type(data).__name__}", where="calibration", expected="a tensor, a list of tensors, or a loader"
        )
    return data


def _batches(data: Any) -> list[Batch]:
    """Those that have samples."""
    return [batch for batch in map(_batch, _items(data)) if _count(batch)]


def _batch(item: Any) -> Batch:
    if isinstance(item, Mapping) and item and all(isinstance(value, (Tensor, np.ndarray)) for value in item.values()):
        return (), {str(key): _plain(value) for key, value in item.items()}
    if isinstance(item, Sequence) and item and isinstance(item[0], (Tensor, np.ndarray, Mapping)):
        return _batch(item[0])
    try:
        return (_plain(item),), {}
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"found a batch of type {type(item).__name__}", where="calibration", expected="tensors, or mappings of them"
        ) from error


def _plain(value: Any) -> Tensor:
    """On the CPU, where the network is solved for, and real numbers in its type."""
    tensor = torch.as_tensor(value).detach().cpu()
    tensor = tensor if tensor.layout == torch.strided else tensor.to_dense()
    return tensor.float() if tensor.is_floating_point() else tensor


def _tensors(batch: Batch) -> tuple[Tensor, ...]:
    return (*batch[0], *batch[1].values())


def _count(batch: Batch) -> int:
    first = _tensors(batch)[0]
    return len(first) if first.dim() else 0


def _check_finite(batches: Sequence[Batch], where: str) -> None:
    for index, batch in enumerate(batches):
        for tensor in _tensors(batch):
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise DataError(
                    "found values that are infinite or no numbers",
                    where=f"{where}, batch {index}",
                    expected="numbers",
                )


def _check(batches: Sequence[Batch]) -> None:
    _check_finite(batches, "calibration")
    floats = [batch for batch in batches if all(tensor.is_floating_point() for tensor in _tensors(batch))]
    if len(floats) == len(batches):
        first = _tensors(batches[0])[0].flatten()[0]
        if all(bool((tensor == first).all()) for batch in batches for tensor in _tensors(batch)):
            raise DataError(
                f"found the same number ({float(first)}) everywhere", where="calibration", expected="inputs that differ"
            )


def _joined(batches: Sequence[Batch]) -> Batch | None:
    """All samples as one batch, where their shapes agree."""
    shapes = {tuple((key, tuple(t.shape[1:])) for key, t in _named(batch)) for batch in batches}
    if len(shapes) != 1 or any(len({len(t) for t in _tensors(batch)}) != 1 for batch in batches):
        return None
    args = tuple(torch.cat([batch[0][i] for batch in batches]) for i in range(len(batches[0][0])))
    return args, {key: torch.cat([batch[1][key] for batch in batches]) for key in batches[0][1]}


def _named(batch: Batch) -> list[tuple[str, Tensor]]:
    return [*((str(i), tensor) for i, tensor in enumerate(batch[0])), *sorted(batch[1].items())]


def _chunks(samples: Batch, start: int, stop: int, size: int) -> list[Batch]:
    chunks = []
    for first in range(start, stop, size):
        part = slice(first, min(first + size, stop))
        chunks.append((tuple(t[part] for t in samples[0]), {key: t[part] for key, t in samples[1].items()}))
    return chunks
