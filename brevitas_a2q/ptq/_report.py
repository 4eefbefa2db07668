"""What quantization without training did, layer by layer."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["PostTrainingReport", "PostTrainingRow", "WidthTrial"]

_COLUMNS = ("layer", "kind", "K", "M", "N", "P", "needs", "error", "zeros", "seconds")


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

    def cells(self) -> tuple[str, ...]:
        """Texts of a table's row."""
        sign = {"unsigned": "u", "signed": "s", "shifted": "z", "given": ""}[self.activation_kind]
        numbers = (self.dot_product_size, self.weight_bit_width, f"{sign}{self.activation_bit_width}")
        widths = (self.accumulator_bit_width, self.required_bit_width)
        rest = (f"{self.output_error:.4f}", f"{100 * self.zeros:.0f} %", f"{self.seconds:.1f}")
        return (self.name, self.kind, *map(str, numbers), *map(str, widths), *rest)


@dataclass(frozen=True)
class WidthTrial:
    """One step of the search for the least widths."""

    layer_error: float
    mean_bit_width: float
    agreement: float
    output_error: float


@dataclass(frozen=True)
class PostTrainingReport:
    """What was done; ``str()`` gives a table.

    Attributes:
        rows: Layers, in the order in which they ran.
        method: That was used, the better one where both were tried.
        output_error: Squared error of the network's output on held-out data, relative to its variance.
        agreement: Percent of held-out samples with the same largest class (or what the error leaves).
        tried: Output error of each method that was tried.
        trials: Steps of the search for the least widths, where there was one.
        not_run: Layers that no calibration data reached, which stay as they were.
        spec: What the model's quantizers are built from.
    """

    rows: tuple[PostTrainingRow, ...]
    method: str
    output_error: float
    agreement: float
    tried: dict[str, float]
    trials: tuple[WidthTrial, ...]
    not_run: tuple[str, ...]
    spec: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        values = asdict(self)
        values["layers"] = values.pop("rows")
        return values

    def __str__(self) -> str:
        table = [_COLUMNS, *(row.cells() for row in self.rows)]
        widths = [max(len(cells[i]) for cells in table) for i in range(len(_COLUMNS))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) for cells in table]
        lines.insert(1, "  ".join("-" * width for width in widths))
        lines.append(f"method {self.method}, output error {self.output_error:.4f}, agreement {self.agreement:.1f} %")
        return "\n".join(line.rstrip() for line in lines)
