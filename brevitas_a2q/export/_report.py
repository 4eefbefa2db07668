"""What an export answers for: the certificate it started from, and the report it ends with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from brevitas_a2q.errors import CertificateError
from brevitas_a2q.export._prepare import Prepared
from brevitas_a2q.export._roundtrip import RoundTrip
from brevitas_a2q.verify._certificate import Certificate
from brevitas_a2q.verify._certify import certify

__all__ = ["ExportReport", "certificate_sha256", "certified"]


@dataclass(frozen=True)
class ExportReport:
    """A file that was written, and why it may be trusted."""

    path: Path
    exporter: str  # torchscript or dynamo
    certificate: Certificate  # of the QONNX file; for QCDQ, of the model
    certificate_sha256: str  # see certificate_sha256()
    round_trip: RoundTrip
    onnxruntime_difference: float | None = None  # of a QCDQ file's outputs, as a share of the largest one
    without_data: tuple[str, ...] = ()  # activation quantizers whose scale has seen no data

    def __str__(self) -> str:
        """Where the file is and what was compared, a line each."""
        return "\n".join([str(self.path), *(f"{what}: {value}" for what, value in self.checks.items())])

    @property
    def checks(self) -> Mapping[str, str | int]:
        """What was compared between PyTorch and the file, by name, for people to read."""
        trip = self.round_trip
        checks: dict[str, str | int] = {
            "quantizers compared": trip.quantizers,
            "inputs": ", ".join(trip.inputs),
            "integers equal": trip.codes - trip.rounding_ties,
            "integers on a rounding boundary": trip.rounding_ties,
            **({"of quantizers": ", ".join(f"{name} ({n})" for name, n in trip.ties)} if trip.ties else {}),
            "layers driven by their witness": trip.layers_driven,
            "layers certified": len(self.certificate.layers),
        }
        if self.onnxruntime_difference is not None:
            checks["largest difference in onnxruntime"] = f"{self.onnxruntime_difference:.1e} of the largest output"
        if self.without_data:
            checks["activation scales that have seen no data"] = ", ".join(self.without_data)
        return checks


def certificate_sha256(certificate: Certificate) -> str:
    """SHA-256 of a certificate's JSON object: keys sorted, no spaces, in ASCII."""
    text = json.dumps(certificate.to_json(), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def certified(ready: Prepared, allow_overflow: bool) -> Certificate:
    """The certificate of a model that is about to be exported.

    Raises:
        CertificateError: A layer can leave its target width, and that was not allowed.
    """
    claim = certify(ready.model, ready.args)
    broken = next((layer for layer in claim.layers if not layer.holds), None)
    if broken is None or allow_overflow:
        return claim
    raise CertificateError(
        f"its sums reach [{broken.lower}, {broken.upper}], which needs {broken.required_bit_width} bits",
        where=f"layer {broken.name}",
        expected=f"at most its target of {broken.accumulator_bit_width}",
        remedy="train it with a quantizer that keeps its bound, or export with allow_overflow=True",
    )
