"""Integer types of activations: how many bits, which sign, which zero-point, and the clipping range of least error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from brevitas_a2q.bounds import IntRange

__all__ = ["ActivationType", "Sample", "equalizers", "fit", "kinds_of", "powers"]

_CLIPPINGS: Final = 16
_FEW_BITS: Final = 4
_LEAST_CLIPPING: Final = {True: 0.08, False: 0.3}  # of few bits, of more
_SAMPLES: Final = 200_000
_UNEQUAL: Final = 4.0  # times the median range of features: from here on the largest is worth a power of its own
_SHARES: Final = (0.5, 1.0)  # of a feature's logarithmic distance from the median that its power takes away
_LARGEST_EXPONENT: Final = 8
_FLOAT32_DIGITS: Final = 24


@dataclass(frozen=True)
class ActivationType:
    """Codes ``clip(round(x / scale), lo, hi)``; the zero-point is subtracted already.

    Attributes:
        bit_width: N.
        kind: ``"unsigned"``, ``"signed"``, ``"shifted"`` (unsigned with a zero-point of ``-lo``), or ``"given"`` (by
            the model, whose values are codes already).
        scale: ``s_x``.
        lo: Lowest code.
        hi: Highest code.
        exponents: Where features differ much in range, each is divided by two to this power first, and the weights that
            read it are multiplied; empty for none.  # shape: (K,)
    """

    bit_width: int
    kind: str
    scale: float
    lo: int
    hi: int
    exponents: tuple[int, ...] = ()

    @property
    def range(self) -> IntRange:
        """What one input may be."""
        return IntRange(self.lo, self.hi).with_zero()

    def clips_at(self, limit: float) -> bool:
        """Whether every number from a limit on has the highest code."""
        return self.kind != "given" and not self.exponents and limit / self.scale >= self.hi - 0.49

    def quantize(self, x: Tensor) -> Tensor:
        """``x`` rounded to its codes, in real units."""
        if self.kind == "given":  # by a quantizer of the model
            return x
        return self.rounded(x * powers(self.exponents, -1) if self.exponents else x)

    def rounded(self, x: Tensor) -> Tensor:
        """The same of features that are divided already."""
        if self.kind == "given":
            return x
        return (x / self.scale).round_().clamp_(self.lo, self.hi).mul_(self.scale)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "exponents": list(self.exponents)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ActivationType:
        """Inverse of :meth:`to_json`."""
        return cls(**{**values, "exponents": tuple(values.get("exponents", ()))})


@dataclass(frozen=True)
class Sample:
    """Values of an activation: some of them, and the extremes of all."""

    values: Tensor
    low: float
    high: float

    @classmethod
    def of(cls, tensors: Sequence[Tensor], seed: int) -> Sample:
        """Of all elements of these tensors."""
        ends = [torch.aminmax(t) for t in tensors]
        low, high = min(float(end.min) for end in ends), max(float(end.max) for end in ends)
        total = sum(t.numel() for t in tensors)
        generator = torch.Generator().manual_seed(seed)
        parts = []
        for tensor in tensors:
            flat = tensor.detach().reshape(-1)
            wanted = max(1, -(-_SAMPLES * flat.numel() // total))
            if wanted < flat.numel():
                flat = flat[torch.randint(0, flat.numel(), (wanted,), generator=generator)]
            parts.append(flat.float())
        return cls(torch.cat(parts), low, high)

    @classmethod
    def together(cls, parts: Sequence[Sample]) -> Sample:
        """Several samples as one."""
        return cls(
            torch.cat([part.values[:: len(parts)] for part in parts]),
            min(part.low for part in parts),
            max(part.high for part in parts),
        )


def kinds_of(sample: Sample, zero_point: bool, rectified: bool = True) -> tuple[str, ...]:
    """Kinds that are worth a try for these values.

    Args:
        sample: The values.
        zero_point: Whether a type may have one; FINN takes none, nor an unsigned type that no ReLU stands in front of.
        rectified: Whether one does.
    """
    if sample.low >= 0:
        return ("unsigned",) if rectified or zero_point else ("signed",)
    skewed = max(sample.high, 0.0) > 2 * -sample.low or -sample.low > 2 * max(sample.high, 0.0)
    return ("signed", "shifted") if zero_point and skewed else ("signed",)


def fit(
    sample: Sample, bit_width: int, kind: str, *, power_of_two: bool = False, narrow: bool = True
) -> ActivationType:
    """The type of least squared error over clipping ranges.

    Args:
        sample: What it is for.
        bit_width: N.
        kind: See :class:`ActivationType`.
        power_of_two: Whether the scale must be one.
        narrow: Whether a signed type gives up its lowest code.
    """
    best: tuple[float, ActivationType] | None = None
    for share in np.geomspace(_LEAST_CLIPPING[bit_width <= _FEW_BITS], 1.0, _CLIPPINGS):
        found = _clipped(sample, bit_width, kind, float(share), power_of_two, narrow)
        error = float((found.quantize(sample.values) - sample.values).square().mean())
        if best is None or error < best[0]:
            best = (error, found)
    assert best is not None
    return best[1]


def _clipped(sample: Sample, bits: int, kind: str, share: float, power_of_two: bool, narrow: bool) -> ActivationType:
    levels = (1 << bits) - 1
    low, high = min(sample.low, 0.0) * share, max(sample.high, 0.0) * share
    if kind == "signed":
        hi = (1 << (bits - 1)) - 1
        return ActivationType(
            bits, kind, _scale(max(high, -low) / max(hi, 1), bits, power_of_two), -hi - (not narrow), hi
        )
    if kind == "unsigned":
        return ActivationType(bits, kind, _scale(high / levels, bits, power_of_two), 0, levels)
    scale = _scale((high - low) / levels, bits, power_of_two)
    lo = max(min(round(low / scale), 0), -levels)
    return ActivationType(bits, kind, scale, lo, levels + lo)


def _scale(value: float, bits: int, power_of_two: bool) -> float:
    """The next scale whose products with all codes are exact in float32, so that every reader finds the same codes."""
    value = max(value, 1e-12)
    mantissa, exponent = np.frexp(value)
    digits = 0 if power_of_two else _FLOAT32_DIGITS - bits - 1
    return float(np.ldexp(np.ceil(np.ldexp(mantissa, digits)), exponent - digits))


def powers(exponents: Sequence[int], sign: int = 1) -> Tensor:
    """``2 ** (sign * exponent)`` of every feature."""
    return torch.ldexp(torch.ones(len(exponents)), sign * torch.tensor(exponents))


def equalizers(tensors: Sequence[Tensor]) -> list[tuple[int, ...]]:
    """Exponents by which features may be brought nearer to one range, where few of them are far beyond the others.

    Layer norms leave such features in transformers: a scale that holds them leaves a few codes to all the rest. Powers
    of two divide without rounding, so that every reader finds the same codes.

    Args:
        tensors: What a linear layer reads, features last.
    """
    reach = torch.stack([x.detach().abs().flatten(0, -2).amax(0) for x in tensors]).amax(0).double()
    usual = float(reach.median())
    if usual <= 0 or float(reach.max()) < _UNEQUAL * usual:
        return []
    distance = (reach / usual).clamp_min(1.0).log2()  # features of little range stay as they are
    found = [(share * distance).round().clamp_max(_LARGEST_EXPONENT).int().tolist() for share in _SHARES]
    return [tuple(exponents) for exponents in found if any(exponents)]
