"""Checkpoints: everything that training needs to go on, in one folder that appears whole or not at all.

A checkpoint is the folder ``checkpoints/PHASE-EPOCH`` with ``tensors.safetensors`` and ``state.json``, which holds the
rest, the tensors' SHA-256, and one of all that it says itself. It is written under another name and renamed, and only
then is the one before removed. Random generators have no state to save: every epoch seeds them anew.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from brevitas_a2q.errors import DataError, ExportError, ModelError
from brevitas_a2q.train._model_state import ModelState
from brevitas_a2q.train._result import EpochResult

__all__ = ["Checkpoint", "latest_checkpoint", "load_tensors", "own_digest", "save_checkpoint", "save_tensors"]

FORMAT: Final = 2
_PHASES: Final = ("float", "quantized")
_NAME: Final = re.compile(r"(float|quantized)-(\d{5})")
_TENSORS, _STATE = "tensors.safetensors", "state.json"
_MODEL = "model/"
_OWN_DIGEST: Final = "state_sha256"
_KEYS: Final = {"phase", "epoch", "param_groups", "optimizer", "schedule", "attributes", "curve"}


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds; see :func:`save_checkpoint`."""

    path: Path
    phase: str
    epoch: int
    curve: tuple[EpochResult, ...]
    state: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        """Of one sample that the model was trained on, where the checkpoint says so."""
        shape = self.state.get("input_shape")
        return None if shape is None else tuple(map(int, shape))

    def restore(
        self, model: nn.Module, optimizer: Optimizer | None = None, schedule: LRScheduler | None = None
    ) -> None:
        """Put everything back, in place.

        Args:
            model: Built as the saved one was.
            optimizer: Made for this model; None where the model alone is wanted.
            schedule: Made for this optimizer.

        Raises:
            DataError: The checkpoint is of another network.
        """
        tensors = {name[len(_MODEL) :]: t for name, t in self.tensors.items() if name.startswith(_MODEL)}
        try:
            ModelState(tensors, self.state["attributes"]).restore(model)
        except ModelError as error:
            raise DataError(str(error), where=str(self.path)) from error
        if optimizer is not None:
            optimizer.load_state_dict(self._optimizer_state(optimizer))
            _lay_out_as_parameters_(optimizer)
        if schedule is not None:
            schedule.load_state_dict(dict(self.state["schedule"]))

    def _optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        state: dict[int, dict[str, Any]] = {int(key): dict(value) for key, value in self.state["optimizer"].items()}
        for name, tensor in self.tensors.items():
            if name.startswith("optimizer/"):
                _, index, key = name.split("/")
                state.setdefault(int(index), {})[key] = tensor
        # How the step is computed depends on the device, which may be another one now.
        groups = [
            {**group, "fused": own.get("fused")}
            for group, own in zip(self.state["param_groups"], optimizer.param_groups, strict=True)
        ]
        return {"state": state, "param_groups": groups}


def _lay_out_as_parameters_(optimizer: Optimizer) -> None:
    """Give the optimizer's tensors the memory layout of their parameters, which fused steps rely on, in place."""
    for parameter, values in optimizer.state.items():
        for key, value in values.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                values[key] = torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)


def save_checkpoint(
    folder: Path,
    curve: Sequence[EpochResult],
    model: nn.Module,
    optimizer: Optimizer,
    schedule: LRScheduler,
    input_shape: Sequence[int] | None = None,
) -> None:
    """Write the checkpoint of the last epoch of the curve, then remove older ones.

    Args:
        folder: The run's folder of checkpoints.
        curve: All epochs so far.
        model: Parameters, buffers and the plain attributes of its modules are saved, such as how many batches an
            activation quantizer has seen.
        optimizer: Its state, by the parameters' position.
        schedule: Where it stands.
        input_shape: Of one sample that the model was trained on, for who has the checkpoint but not the data.

    Raises:
        ExportError: It cannot be written, for example on a full disk; the one before stays.
    """
    target = folder / f"{curve[-1].phase}-{curve[-1].epoch:05d}"
    temporary = folder / f".{target.name}"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        _write(temporary, curve, model, optimizer, schedule, input_shape)
        temporary.rename(target)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise ExportError(
            f"cannot be written ({error.strerror or error})",
            where=f"checkpoint {target}",
            remedy="make room there; the same command then goes on from the last checkpoint",
        ) from error
    for other in _checkpoints(folder):
        if other != target:
            shutil.rmtree(other)


def _write(
    folder: Path,
    curve: Sequence[EpochResult],
    model: nn.Module,
    optimizer: Optimizer,
    schedule: LRScheduler,
    input_shape: Sequence[int] | None,
) -> None:
    saved = optimizer.state_dict()
    whole = ModelState.of(model)
    tensors = {f"{_MODEL}{name}": tensor for name, tensor in whole.tensors.items()}
    rest: dict[str, dict[str, Any]] = {}
    for index, values in saved["state"].items():
        for key, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{index}/{key}"] = value
            else:
                rest.setdefault(str(index), {})[key] = value
    save_tensors(folder / _TENSORS, tensors)
    state = {
        "format": FORMAT,
        "tensors_sha256": _digest((folder / _TENSORS).read_bytes()),
        "phase": curve[-1].phase,
        "epoch": curve[-1].epoch,
        "param_groups": saved["param_groups"],
        "optimizer": rest,
        "schedule": schedule.state_dict(),
        "attributes": whole.attributes,
        "curve": [asdict(record) for record in curve],
        "input_shape": None if input_shape is None else list(input_shape),
    }
    state = json.loads(json.dumps(state))  # as it will be read
    state[_OWN_DIGEST] = own_digest(state)
    (folder / _STATE).write_text(json.dumps(state, indent=1), encoding="utf-8")


def latest_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest checkpoint of a folder, or None.

    Raises:
        DataError: It is damaged.
    """
    found = _checkpoints(folder)
    return _read(found[-1]) if found else None


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors to a file; ones that share memory are written apart.

    Raises:
        OSError: The file cannot be written.
    """
    own = {name: t.detach().cpu().clone(memory_format=torch.contiguous_format) for name, t in tensors.items()}
    try:
        save_file(own, path)
    except SafetensorError as error:  # what it makes of the system's errors
        raise OSError(None, str(error), str(path)) from error


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read what :func:`save_tensors` wrote, onto the CPU.

    Raises:
        DataError: The file is missing, damaged, or something else.
    """
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise DataError(f"cannot be read ({error})", where=str(path), expected="a whole .safetensors file") from error


def _checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    found = [(match, path) for path in folder.glob("*-*") if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found, key=lambda pair: (_PHASES.index(pair[0][1]), int(pair[0][2])))]


def _read(path: Path) -> Checkpoint:
    remedy = f"delete {path} to start the run again"
    try:
        state = json.loads((path / _STATE).read_text(encoding="utf-8"))
        if state["format"] != FORMAT:
            raise DataError(f"found format {state['format']}", where=str(path), expected=f"{FORMAT}", remedy=remedy)
        if own_digest(state) != state[_OWN_DIGEST]:
            raise DataError(f"{_STATE} was changed", where=str(path), expected="what was written", remedy=remedy)
        if _digest((path / _TENSORS).read_bytes()) != state["tensors_sha256"]:
            raise DataError(f"{_TENSORS} is damaged", where=str(path), expected=f"what {_STATE} names", remedy=remedy)
        if lacking := _KEYS - set(state):
            raise DataError(f"{_STATE} lacks {', '.join(sorted(lacking))}", where=str(path), remedy=remedy)
        curve = tuple(EpochResult(**record) for record in state["curve"])
        if not curve or f"{curve[-1].phase}-{curve[-1].epoch:05d}" != path.name:
            raise DataError("found the curve of another epoch", where=str(path), expected=path.name, remedy=remedy)
        return Checkpoint(path, state["phase"], state["epoch"], curve, state, load_tensors(path / _TENSORS))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError, KeyError, TypeError) as error:
        raise DataError(
            f"cannot be read ({type(error).__name__}: {error})", where=str(path), expected="a checkpoint", remedy=remedy
        ) from error


def own_digest(state: Mapping[str, Any]) -> str:
    """SHA-256 of all but itself, whatever the file's white space and order of keys."""
    rest = {key: value for key, value in state.items() if key != _OWN_DIGEST}
    return _digest(json.dumps(rest, sort_keys=True).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
