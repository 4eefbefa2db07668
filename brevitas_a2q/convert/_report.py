"""What a conversion did, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ConversionReport", "ConversionRow"]

_COLUMNS = ("layer", "kind", "method", "M", "N", "P", "K", "budget", "FINN", "note")


@dataclass(frozen=True)
class ConversionRow:
    """One layer with weights.

    Attributes:
        name: Qualified name.
        kind: Type of the layer now.
        method: Method that constrains it, None where it is skipped.
        weight_bit_width: M; None for float weights.
        input_bit_width: N; None where only running the model can tell.
        input_signed: Sign of the input; None alike.
        accumulator_bit_width: P; None where it is skipped.
        dot_product_size: K.
        budget: Largest sum of positive integer weights (the inputs alone can bear, without a bias); None where N is.
        skipped_because: Why it is not constrained; None where it is.
        hardware: ``"yes"``, or why FINN and the estimator have no unit for it, as far as the model tells.
    """

    name: str
    kind: str
    method: str | None
    weight_bit_width: int | None
    input_bit_width: int | None
    input_signed: bool | None
    accumulator_bit_width: int | None
    dot_product_size: int
    budget: int | None
    skipped_because: str | None = None
    hardware: str = ""

    def cells(self) -> tuple[str, ...]:
        """Texts of a table's row."""
        sign = {True: "s", False: "u", None: ""}[self.input_signed]
        inputs = f"{sign}{self.input_bit_width}" if self.input_bit_width is not None else "?"
        numbers = (self.accumulator_bit_width, self.dot_product_size, self.budget)
        note = f"skipped: {self.skipped_because}" if self.skipped_because else ""
        weights = str(self.weight_bit_width) if self.weight_bit_width is not None else "float"
        shown = ("-" if number is None else str(number) for number in numbers)
        return (self.name, self.kind, self.method or "-", weights, inputs, *shown, self.hardware, note)


@dataclass(frozen=True)
class ConversionReport:
    """Every layer with weights, constrained or skipped; ``str()`` gives a table.

    Attributes:
        rows: The layers.
        unfused: Activation quantizers that go on by Brevitas' operations, by name, each with the reason.
        without_data: Activation quantizers whose scale has seen no data; what the network computes means nothing yet.
    """

    rows: tuple[ConversionRow, ...]
    unfused: tuple[tuple[str, str], ...] = ()
    without_data: tuple[str, ...] = ()

    @property
    def constrained(self) -> tuple[ConversionRow, ...]:
        """Layers that are accumulator-aware now."""
        return tuple(row for row in self.rows if row.skipped_because is None)

    @property
    def skipped(self) -> tuple[ConversionRow, ...]:
        """Layers that are not, each with the reason."""
        return tuple(row for row in self.rows if row.skipped_because is not None)

    def __str__(self) -> str:
        table = [_COLUMNS, *(row.cells() for row in self.rows)]
        widths = [max(len(cells[i]) for cells in table) for i in range(len(_COLUMNS))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) for cells in table]
        lines.insert(1, "  ".join("-" * width for width in widths))
        lines += [
            f"{name}: activations are quantized by Brevitas' operations: {reason}" for name, reason in self.unfused
        ]
        if self.without_data:
            count = len(self.without_data)
            lines.append(f"scales of {count} activation quantizers have seen no data: give example_inputs, or train")
        return "\n".join(line.rstrip() for line in lines)
