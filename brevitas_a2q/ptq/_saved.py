"""What a run leaves in a folder: the model's state, its quantizers, certificate, QONNX file and estimate."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from safetensors.torch import load_file, save
from torch import Tensor, nn

from brevitas_a2q._files import refuse_others_files, write_atomically
from brevitas_a2q.errors import A2QError, DataError
from brevitas_a2q.export._qonnx import export_qonnx
from brevitas_a2q.hw._estimation import estimate
from brevitas_a2q.hw._target import Target
from brevitas_a2q.ptq._calibration import Calibration, in_type
from brevitas_a2q.ptq._guarantee import guarantee
from brevitas_a2q.ptq._journal import Journal
from brevitas_a2q.ptq._materialize import ModelSpec, install_
from brevitas_a2q.ptq._network import prepare
from brevitas_a2q.ptq._precision import TYPES
from brevitas_a2q.ptq._report import PostTrainingReport
from brevitas_a2q.verify._certificate import Certificate
from brevitas_a2q.verify._document import certificate_json

__all__ = ["Saved", "example_of", "journal_in", "restore_post_training_", "save_post_training"]

STATE: Final = "model.safetensors"
REPORT: Final = "ptq.json"
CERTIFICATE: Final = "certificate.json"
NETWORK: Final = "network.onnx"
_FORMAT: Final = 1
_LAYERS: Final = "layers"


def journal_in(folder: Path) -> Journal:
    """The journal of a run that will leave its files in a folder.

    Raises:
        ExportError: The folder has such files of something else, as a training run writes them.
    """
    refuse_others_files(folder, (STATE, REPORT, CERTIFICATE, NETWORK), _LAYERS)
    return Journal(folder / _LAYERS)


@dataclass(frozen=True)
class Saved:
    """What was written.

    Attributes:
        certificate: Of the model.
        file: Path of the QONNX file; None where it could not be written.
        reason: Why not.
        estimate: Resources and speed on a part; None where there is none.
        estimate_reason: Why not.
    """

    certificate: Certificate
    file: Path | None
    reason: str | None
    estimate: dict[str, Any] | None
    estimate_reason: str | None


def save_post_training(
    model: nn.Module,
    report: PostTrainingReport,
    calibration: Any,
    folder: str | Path,
    *,
    target: Target | None = None,
) -> Saved:
    """Write a quantized model and what there is to know of it.

    Args:
        model: As :func:`quantize_post_training_` left it.
        report: What that returned.
        calibration: Data, of which one sample is the example for export.
        folder: Where; made if it is not there.
        target: FPGA design to estimate; None for no estimate.

    Raises:
        ExportError: Nothing can be written there.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise A2QError(f"cannot be made ({error.strerror})", where=f"folder {folder}", expected="a folder") from error
    example = example_of(calibration, report.dtype)
    certificate = guarantee(model, example)
    state = {
        name: tensor.contiguous().clone() for name, tensor in model.state_dict().items() if isinstance(tensor, Tensor)
    }
    write_atomically(folder / STATE, save(state))
    file, reason = _exported(model, example, folder / NETWORK)
    costs, costs_reason = None, "no part was given" if target is None else reason
    if file is not None and target is not None:
        try:
            found = estimate(file, target.part, target.target_fps, target.clock_mhz)
            costs, costs_reason = found.to_json(), None
        except A2QError as error:
            costs_reason = str(error)
    write_atomically(folder / CERTIFICATE, certificate_json(certificate))
    values = {"format": _FORMAT, **report.to_json()}
    write_atomically(folder / REPORT, json.dumps(values, indent=2) + "\n")
    return Saved(certificate, file, reason, costs, costs_reason)


def restore_post_training_(model: nn.Module, folder: str | Path) -> None:
    """Make a model what a run left in a folder, in place.

    Args:
        model: The model that was given to that run, as it was then (its weights do not matter).
        folder: Of the run.

    Raises:
        DataError: The folder's files cannot be read, or belong to another model.
    """
    folder = Path(folder)
    try:
        values = json.loads((folder / REPORT).read_text())
        spec, state = ModelSpec.from_json(values["spec"]), load_file(str(folder / STATE))
        dtype = TYPES[values.get("dtype", "float32")]
    except Exception as error:  # whatever json and safetensors raise
        raise DataError(f"cannot be read ({error})", where=f"folder {folder}", expected="a run's folder") from error
    network = prepare(model, by_hand=spec.by_hand)
    if set(spec.layers) - set(network.sites):
        raise DataError(
            "belongs to another model", where=f"folder {folder}", expected=f"layers {list(network.sites)[:4]}"
        )
    install_(network, spec)
    idle = tuple(f"{name}." for name in network.sites if name not in spec.layers)  # have learnt nothing
    try:
        found = network.model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise DataError(f"belongs to another model ({error})", where=f"folder {folder}") from error
    wrong = [name for name in (*found.missing_keys, *found.unexpected_keys) if not name.startswith(idle)]
    if wrong:
        raise DataError(f"belongs to another model (only one of them has {wrong[0]})", where=f"folder {folder}")
    restored = network.model.to(dtype)
    model.__class__ = type(restored)
    model.__dict__ = restored.__dict__


def example_of(calibration: Any, dtype: str = "float32") -> Any:
    """Arguments of one sample, for a model that computes in this type."""
    batch = in_type(Calibration.of(calibration, 0.2, 1).known[0], TYPES[dtype])
    return tuple(tensor[:1] for tensor in (*batch[0], *batch[1].values()))


def _exported(model: nn.Module, example: Any, path: Path) -> tuple[Path | None, str | None]:
    try:
        export_qonnx(model, example, path)
    except A2QError as error:
        path.unlink(missing_ok=True)  # of an earlier network
        return None, str(error)
    return path, None
