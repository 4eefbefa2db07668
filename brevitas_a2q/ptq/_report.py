"""What quantization without training did, layer by layer."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["COLUMNS", "PostTrainingReport", "PostTrainingRow", "WidthTrial"]

COLUMNS = ("layer", "kind", "K", "M", "N", "P", "needs", "error", "zeros", "seconds")


@dataclass(frozen=True)
class PostTrainingRow:
    """One layer.

    Attributes:
        name: Qualified name.
        kind: Type of the layer.
        dot_product_size: K.
        weight_bit_width: M that its integers need.
        activation_bit_width: N of its input.
        activation_kind: ``"unsigned"``, ``"signed"``, ``"shifted"`` (with a zero-point) or ``"given"`` (by the model).
        input_low: Lowest integer that it can read.
        input_high: Highest.
        accumulator_bit_width: P that is guaranteed.
        required_bit_width: Bits that its worst sum needs, over all inputs.
        output_error: Squared error of its output on held-out rows, relative to the output's power.
        zeros: Share of its integer weights that are zero.
        shrinkage: Share of covariances that was not trusted.
        seconds: Time that it took.
        gain: Error of the network's output over the error of this layer's, measured; None where nobody asked.
    """

    name: str
    kind: str
    dot_product_size: int
    weight_bit_width: int
    activation_bit_width: int
    activation_kind: str
    input_low: int
    input_high: int
    accumulator_bit_width: int
    required_bit_width: int
    output_error: float
    zeros: float
    shrinkage: float
    seconds: float
    gain: float | None = None

    def cells(self) -> tuple[str, ...]:
        """Texts of a table's row."""
        sign = {"unsigned": "u", "signed": "s", "shifted": "z", "given": ""}[self.activation_kind]
        numbers = (self.dot_product_size, self.weight_bit_width, f"{sign}{self.activation_bit_width}")
        widths = (self.accumulator_bit_width, self.required_bit_width)
        rest = (f"{self.output_error:.4f}", f"{100 * self.zeros:.0f} %", f"{self.seconds:.1f}")
        return (self.name, self.kind, *map(str, numbers), *map(str, widths), *rest)


@dataclass(frozen=True)
class WidthTrial:
    """One step of the search for the least widths.

    Attributes:
        kind: ``"one P"`` for all layers, or ``"per layer"``.
        mean_bit_width: Mean P of the layers that are constrained.
        score: Accuracy, or agreement with the float network, in percent.
        output_error: As in :class:`PostTrainingReport`.
        layer_error: Error that each layer might cause at the output; None with one P for all.
    """

    kind: str
    mean_bit_width: float
    score: float
    output_error: float
    layer_error: float | None = None


@dataclass(frozen=True)
class PostTrainingReport:
    """What was done; ``str()`` gives a table.

    Attributes:
        rows: Layers, in the order in which they ran.
        method: That was used, the better one where both were tried.
        output_error: Squared error of the network's output on held-out data, relative to its variance.
        agreement: Percent of held-out samples with the same largest class (or what the error leaves).
        accuracy: Percent of the samples that are judged by whose class is their label; None without labels.
        float_score: What the float network has of ``score``.
        tried: Output error of each method that was tried.
        trials: Steps of the search for the least widths, where there was one.
        not_run: Layers that no calibration data reached, which stay as they were.
        spec: What the model's quantizers are built from.
        dtype: Of the model's numbers.
        dtype_reason: Why it is not the one that the model came in; None where it is.
    """

    rows: tuple[PostTrainingRow, ...]
    method: str
    output_error: float
    agreement: float
    accuracy: float | None
    float_score: float
    tried: dict[str, float]
    trials: tuple[WidthTrial, ...]
    not_run: tuple[str, ...]
    spec: dict[str, Any]
    dtype: str = "float32"
    dtype_reason: str | None = None

    @property
    def score(self) -> float:
        """Accuracy where there are labels, else agreement."""
        return self.agreement if self.accuracy is None else self.accuracy

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        values = asdict(self)
        values["layers"] = values.pop("rows")
        return values

    @property
    def summary(self) -> str:
        """What it came to, in a sentence."""
        accuracy = "" if self.accuracy is None else f", accuracy {self.accuracy:.2f} % (float {self.float_score:.2f} %)"
        found = (
            f"method {self.method}, output error {self.output_error:.4f}, agreement {self.agreement:.1f} %{accuracy}"
        )
        return found + (f"; the model computes in {self.dtype} now: {self.dtype_reason}" if self.dtype_reason else "")

    def __str__(self) -> str:
        table = [COLUMNS, *(row.cells() for row in self.rows)]
        widths = [max(len(cells[i]) for cells in table) for i in range(len(COLUMNS))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) for cells in table]
        lines.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join(line.rstrip() for line in [*lines, self.summary])
