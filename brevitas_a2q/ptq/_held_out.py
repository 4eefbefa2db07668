"""How far the output of a quantized network is from the float network's, on data that it has not seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from brevitas_a2q.errors import DataError, ModelError
from brevitas_a2q.ptq._calibration import Batch, call

__all__ = ["Agreement", "Judge", "check_output", "check_twin", "compare", "outputs"]

_MOST_DRIFT: Final = 0.02  # values at a tie may round the other way in a model that adds in another order
_ROUNDING: Final = 1e-8  # of an output that is the same for all samples


@dataclass(frozen=True)
class Agreement:
    """How a network's output compares with the float network's.

    Attributes:
        error: Squared difference, relative to the variance of the float output (to its power where it is constant).
        agreement: Percent of samples with the same largest class; where the output is no vector of classes, what the
            error leaves of the variance.
        accuracy: Percent of samples whose largest class is their label; None where there are no labels.
    """

    error: float
    agreement: float
    accuracy: float | None = None

    @property
    def score(self) -> float:
        """What a network is judged by: its accuracy where there are labels, else the agreement."""
        return self.agreement if self.accuracy is None else self.accuracy


@dataclass(frozen=True, eq=False)
class Judge:
    """Data that a network is judged by, and what the float network makes of them.

    Attributes:
        batches: Inputs.
        expected: Outputs of the float network, by batch.
        labels: Of the samples; None where agreement with the float network is the measure.
    """

    batches: tuple[Batch, ...]
    expected: Sequence[Tensor]
    labels: Tensor | None = None

    @classmethod
    def of(cls, reference: nn.Module, batches: Sequence[Batch], labels: Tensor | None = None) -> Judge:
        """What a float network makes of these batches.

        Raises:
            DataError: Labels that are not one for each output vector, or no classes of it.
        """
        judge = cls(tuple(batches), outputs(reference, batches), labels)
        if labels is not None:
            shapes = [tuple(y.shape) for y in judge.expected]
            vectors = all(len(shape) == 2 and shape[1] > 1 for shape in shapes)
            if not vectors or sum(shape[0] for shape in shapes) != len(labels):
                raise DataError(
                    f"found {len(labels)} labels for outputs of shape {shapes[0]}",
                    where="labels",
                    expected="one for each sample, and a vector of classes as the network's output",
                )
            if bool((labels < 0).any()) or bool((labels >= shapes[0][1]).any()):
                raise DataError(
                    f"found labels from {int(labels.min())} to {int(labels.max())}",
                    where="labels",
                    expected=f"classes from 0 to {shapes[0][1] - 1}, as the network's output has them",
                )
        return judge

    @property
    def metric(self) -> str:
        """Name of the score."""
        return "agreement" if self.labels is None else "accuracy"

    @property
    def float_score(self) -> float:
        """Of the float network."""
        return compare(self.expected, self.expected, self.labels).score

    def of_model(self, model: nn.Module) -> Agreement:
        """How a model does."""
        return compare(self.expected, outputs(model, self.batches), self.labels)


@torch.no_grad()
def outputs(model: nn.Module, batches: Sequence[Batch]) -> list[Tensor]:
    """The first tensor that the model gives for each batch."""
    return [_first(call(batch)(model)) for batch in batches]


def check_output(model: nn.Module, batch: Batch, expected: Any) -> None:
    """The finished model gives what its layers gave together when they were solved one after the other.

    Args:
        model: That was made of the layers' solutions.
        batch: Inputs.
        expected: Output of the pass in which they were solved.

    Raises:
        ModelError: It gives something else.
    """
    _require_same(
        _first(expected),
        outputs(model, [batch])[0],
        "the finished model's output differs from that of the layers it was made of",
        "the model may behave differently from call to call, or change its layers",
    )


def check_twin(expected: Any, found: Any) -> None:
    """A float network gives the same once its layers are those of Brevitas; where it gives numbers at all.

    Args:
        expected: Output of the model that was given.
        found: Output of its twin.

    Raises:
        ModelError: It gives something else.
    """
    wanted = _first(expected)
    if bool(torch.isfinite(wanted).all()):
        _require_same(
            wanted,
            _first(found),
            "its layers compute something else when they are replaced by Brevitas'",
            "remove what changes single layers, such as hooks, or write it into the model's forward",
        )


def _require_same(wanted: Tensor, found: Tensor, otherwise: str, remedy: str) -> None:
    drift = _drift(wanted, found)
    if not drift <= _MOST_DRIFT:
        raise ModelError(
            f"{otherwise} (relative error {drift:.3g})",
            where="post-training quantization",
            expected="the same output",
            remedy=remedy,
        )


def _drift(wanted: Tensor, found: Tensor) -> float:
    if wanted.shape != found.shape:
        return float("inf")
    wanted, found = wanted.double(), found.double()
    power = (wanted - wanted.mean(0)).square().sum() + _ROUNDING * wanted.square().sum()
    return float((wanted - found).square().sum() / power.clamp_min(1e-300))


def compare(expected: Sequence[Tensor], found: Sequence[Tensor], labels: Tensor | None = None) -> Agreement:
    """Compare outputs.

    Args:
        expected: Of the float network, by batch.
        found: Of the quantized one.
        labels: Of the samples.
    """
    wanted = torch.cat([y.double().reshape(len(y), -1) for y in expected]) if _same_size(expected) else _flat(expected)
    got = torch.cat([y.double().reshape(len(y), -1) for y in found]) if _same_size(expected) else _flat(found)
    variance, power = (wanted - wanted.mean(0)).square().sum(), wanted.square().sum()
    scale = variance if variance > _ROUNDING * power else power  # a single output, or the same for all samples
    error = float((wanted - got).square().sum() / scale.clamp_min(1e-300))
    classes = expected[0].dim() == 2 and expected[0].shape[1] > 1
    if classes:
        same = (wanted.argmax(1) == got.argmax(1)).double().mean()
        right = None if labels is None else 100 * float((got.argmax(1) == labels).double().mean())
        return Agreement(error, 100 * float(same), right)
    return Agreement(error, 100 * max(0.0, 1 - error))


def _same_size(tensors: Sequence[Tensor]) -> bool:
    return len({tuple(y.shape[1:]) for y in tensors}) == 1 and tensors[0].dim() > 0


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([y.double().reshape(-1) for y in tensors])[:, None]


def _tensors_in(output: Any) -> Iterator[Tensor]:
    """Tensors in tuples and mappings, however deep."""
    if isinstance(output, Tensor):
        yield output
    elif hasattr(output, "value") and isinstance(output.value, Tensor):  # a quantized tensor
        yield output.value
    elif isinstance(output, (Mapping, list, tuple)):
        for part in output.values() if isinstance(output, Mapping) else output:
            yield from _tensors_in(part)


def _first(output: Any) -> Tensor:
    if isinstance(output, Tensor):
        return output.detach()
    for part in _tensors_in(output):
        if part.is_floating_point():
            return part.detach()
    raise ModelError(
        f"found an output of type {type(output).__name__}", where="post-training quantization", expected="a tensor"
    )
