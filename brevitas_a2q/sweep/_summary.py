"""The numbers of a finished run that figures need, small enough to keep in a database beside every trial."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from statistics import fmean
from typing import Any, Final, get_type_hints

from brevitas_a2q.errors import SweepError

__all__ = ["Summary"]


@dataclass(frozen=True)
class Summary:
    """A finished run in one line; what it lacks is None.

    Attributes:
        model: Network by name.
        data: Data set by name.
        method: ``"none"``, ``"a2q"``, ``"a2q+"`` or ``"projected"``; ``"float"`` without quantization.
        weight_bit_width: M.
        activation_bit_width: N.
        accumulator_bit_width: Widest target P of the certified layers; without targets the widest width they need.
        mean_accumulator_bit_width: Mean of the targets over the layers that have one.
        metric: ``"accuracy"``, a share in [0, 1], or ``"psnr_db"``.
        last: Metric after the last epoch.
        best: Highest metric of any epoch; the test set chose it.
        float_last: Metric of the float network.
        sparsity: Share of zeros among the integer weights.
        compression: ``M / H``, H their entropy in bits.
        holds: Whether the certificate holds.
        lut: LUTs of the estimate.
        fps: Frames per second of the estimate.
        estimate_reason: Why there is no estimate.
        seconds: Time of all training.
        device: What it ran on.
        seed: Of the run.
    """

    model: str
    data: str
    method: str
    weight_bit_width: int | None
    activation_bit_width: int | None
    accumulator_bit_width: int | None
    mean_accumulator_bit_width: float | None
    metric: str
    last: float
    best: float
    float_last: float | None
    sparsity: float | None
    compression: float | None
    holds: bool | None
    lut: float | None
    fps: float | None
    estimate_reason: str | None
    seconds: float
    device: str
    seed: int

    @classmethod
    def of_result(cls, result: Mapping[str, Any]) -> Summary:
        """From what a run writes as ``result.json``.

        Raises:
            SweepError: It lacks what every run has, or has it in another form.
        """
        try:
            config, certificate = result["config"], result.get("certificate") or {}
            quant, estimate = config.get("quant") or {}, (result.get("estimate") or {}).get("trained") or {}
            layers = certificate.get("layers") or []
            targets = [row["accumulator_bit_width"] for row in layers if row.get("accumulator_bit_width") is not None]
            values = {key: result.get(key) for key in _AS_THEY_ARE} | {
                "model": config["model"],
                "data": config["data"],
                "method": quant.get("method", "float"),
                "weight_bit_width": quant.get("weight_bit_width"),
                "activation_bit_width": quant.get("activation_bit_width"),
                "accumulator_bit_width": _width(targets, certificate),
                "mean_accumulator_bit_width": fmean(targets) if targets else None,
                "holds": certificate.get("holds"),
                "lut": estimate.get("lut"),
                "fps": estimate.get("fps"),
            }
        except (KeyError, AttributeError, TypeError) as error:
            raise SweepError(f"is not a run's result ({type(error).__name__}: {error})", where="result") from error
        return cls.of_json(values)

    @classmethod
    def of_json(cls, values: Any) -> Summary:
        """From plain values that anybody may have written into the database.

        Raises:
            SweepError: A value is missing, of another type, or not a finite number.
        """
        hints = get_type_hints(cls)
        if not isinstance(values, Mapping):
            raise SweepError(f"found {values!r}", where="summary of a trial", expected="a mapping")
        for field in fields(cls):
            value = values.get(field.name)
            if not _fits(hints[field.name], value):
                where = "summary of a trial"
                raise SweepError(f"found {field.name} = {value!r}", where=where, expected=str(field.type))
        checked: dict[str, Any] = {field.name: values.get(field.name) for field in fields(cls)}
        return cls(**checked)

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``json.dumps``."""
        return asdict(self)


_AS_THEY_ARE: Final = (
    "metric",
    "last",
    "best",
    "float_last",
    "sparsity",
    "compression",
    "estimate_reason",
    "seconds",
    "device",
    "seed",
)


def _width(targets: Sequence[int], certificate: Mapping[str, Any]) -> int | None:
    return max(targets) if targets else certificate.get("widest_required_bit_width")


def _fits(hint: Any, value: Any) -> bool:
    if isinstance(value, float) and not math.isfinite(value):
        return False
    if isinstance(value, bool):
        return isinstance(None, hint) and isinstance(True, hint) and not isinstance(0, hint)
    return isinstance(value, hint) or (isinstance(value, int) and isinstance(0.0, hint))
