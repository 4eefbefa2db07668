"""What a trained network comes to: sparsity, compression, certificate, QONNX file and estimate."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from torch import Tensor, nn

from brevitas_a2q._files import write_atomically
from brevitas_a2q.errors import A2QError
from brevitas_a2q.export._qonnx import export_qonnx
from brevitas_a2q.export._report import ExportReport
from brevitas_a2q.hw._estimation import Estimate, estimate, resources_json
from brevitas_a2q.hw._target import Target
from brevitas_a2q.models._registry import model_entry
from brevitas_a2q.train._config import RunConfig
from brevitas_a2q.train._metrics import WeightStatistics, weight_statistics
from brevitas_a2q.train._start import Examples
from brevitas_a2q.verify._certificate import Certificate
from brevitas_a2q.verify._certify import certify
from brevitas_a2q.verify._document import certificate_json

__all__ = ["CERTIFICATE", "NETWORK", "OUTCOME", "POLICIES", "Outcome", "finish", "summary"]

NETWORK: Final = "network.onnx"
CERTIFICATE: Final = "certificate.json"
OUTCOME: Final = "outcome.json"
POLICIES: Final = ("trained", "32")
_LAYER_FIELDS: Final = (
    "name",
    "inputs",
    "accumulator_bit_width",
    "required_bit_width",
    "data_type_bit_width",
    "lower",
    "upper",
)


@dataclass(frozen=True)
class Outcome:
    """What :func:`finish` found and wrote; file names are relative to the run's folder.

    Attributes:
        hidden: Integer weights of the constrained layers; see :func:`brevitas_a2q.train._metrics.weight_statistics`.
        all_layers: Integer weights of all layers.
        certificate: See :func:`summary`; the whole of it is in ``certificate.json``.
        qonnx: The QONNX file, or None.
        qonnx_reason: Why there is none.
        checks: What the export compared between PyTorch and the file.
        estimate: By accumulator policy, what the whole design takes; None without one.
        estimate_reason: Why there is none.
    """

    hidden: WeightStatistics
    all_layers: WeightStatistics
    certificate: Mapping[str, Any]
    qonnx: str | None
    qonnx_reason: str | None
    checks: Mapping[str, str | int]
    estimate: Mapping[str, Mapping[str, Any]] | None
    estimate_reason: str | None

    @property
    def sparsity(self) -> float:
        """Share of zeros among the hidden layers' integer weights."""
        return self.hidden.zeros

    @property
    def compression(self) -> float | None:
        """``M / H`` of the hidden layers' integer weights; None where their entropy is zero."""
        return self.hidden.compression

    def to_json(self) -> dict[str, Any]:
        """Plain values, as ``outcome.json`` holds them."""
        statistics = {"hidden": self.hidden.to_json(), "all_layers": self.all_layers.to_json()}
        return {**asdict(self), **statistics, "sparsity": self.sparsity, "compression": self.compression}


def finish(model: nn.Module, config: RunConfig, data: Examples, out: Path) -> Outcome:
    """Certify, export and cost a trained network, and write what comes of it into its folder.

    An export or an estimate that is refused, or that fails, does not spoil a training run: the reason is kept. Doing it
    again with the same network gives the same files.

    Args:
        model: Quantized network; left in evaluation mode.
        config: Says what design is costed.
        data: Gives the example that the network is run with.
        out: Folder of the run; :data:`NETWORK`, :data:`CERTIFICATE` and :data:`OUTCOME` go there.

    Returns:
        The same as ``outcome.json``.

    Raises:
        ModelError: A layer is not integer, so that nothing can be certified.
        ExportError: The folder cannot be written.
    """
    model.eval()
    example = _example(config, data)
    hidden, all_layers = weight_statistics(model)
    exported, qonnx_reason = _export(model, example, out / NETWORK)
    certificate = certify(model, example) if exported is None else exported.certificate
    write_atomically(out / CERTIFICATE, certificate_json(certificate))
    costs, cost_reason = _costs(None if exported is None else out / NETWORK, config.estimate)
    outcome = Outcome(
        hidden=hidden,
        all_layers=all_layers,
        certificate=summary(certificate),
        qonnx=None if exported is None else NETWORK,
        qonnx_reason=qonnx_reason,
        checks={} if exported is None else exported.checks,
        estimate=costs,
        estimate_reason=cost_reason,
    )
    write_atomically(out / OUTCOME, json.dumps(outcome.to_json(), indent=2, allow_nan=False) + "\n")
    return outcome


def summary(certificate: Certificate) -> dict[str, Any]:
    """The claims of a certificate without its witnesses and hashes.

    Returns:
        ``holds``; ``targets``, the number of layers with a target width; ``widest_required_bit_width`` among these (or
        among all layers where none has one); ``layers``, each with the fields of ``brevitas-a2q certify --json``.
    """
    constrained = [layer for layer in certificate.layers if layer.accumulator_bit_width is not None]
    return {
        "holds": certificate.holds,
        "targets": certificate.targets,
        "widest_required_bit_width": max(layer.required_bit_width for layer in constrained or certificate.layers),
        "layers": [{name: getattr(layer, name) for name in _LAYER_FIELDS} for layer in certificate.layers],
        "uncovered": list(certificate.uncovered),
    }


def _example(config: RunConfig, data: Examples) -> Tensor:
    """One training input; of super-resolution a part, for such networks take any size and training windows are wide."""
    example = data.examples(1).cpu()
    entry = model_entry(config.model)
    if entry.task != "super-resolution" or entry.input_shape is None:
        return example
    _, height, width = entry.input_shape
    return example[..., :height, :width]


def _export(model: nn.Module, example: Tensor, path: Path) -> tuple[ExportReport | None, str | None]:
    try:
        return export_qonnx(model, example, path), None
    except Exception as error:
        path.unlink(missing_ok=True)  # of an earlier network
        return None, _reason(error)


def _costs(network: Path | None, target: Target | None) -> tuple[dict[str, dict[str, Any]] | None, str | None]:
    if network is None or target is None:
        return None, "none was asked for" if target is None else "no QONNX file"
    try:
        found = {
            policy: estimate(network, target.part, target.target_fps, target.clock_mhz, accumulator=policy)
            for policy in POLICIES
        }
    except Exception as error:
        return None, _reason(error)
    return {policy: _totals(costs) for policy, costs in found.items()}, None


def _reason(error: Exception) -> str:
    """What a refusal says; a failure nobody foresaw is named as one, for hours of training must not be lost to it."""
    return str(error) if isinstance(error, A2QError) else f"failed with {type(error).__name__}: {error}"


def _totals(costs: Estimate) -> dict[str, Any]:
    return {
        **resources_json(costs.total),
        "fps": costs.fps,
        "max_cycles": costs.max_cycles,
        "latency_cycles": costs.latency_cycles,
        "fits": costs.fits,
        "part": costs.part.name,
        "clock_mhz": costs.clock_mhz,
    }
