"""Certificates and simulations as tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.table import Table

from brevitas_a2q._terminal import marked
from brevitas_a2q.verify._certificate import Certificate
from brevitas_a2q.verify._layer_certificate import LayerCertificate

if TYPE_CHECKING:
    from brevitas_a2q.verify._simulation import Settings, Simulation

__all__ = ["CERTIFICATE_KEEP", "certificate_table", "simulation_table"]

CERTIFICATE_KEEP: Final = ("holds", "target", "required")  # columns that a narrow terminal shows


def certificate_table(certificate: Certificate) -> Table:
    """One row per layer, its worst channel and what that needs; print it with a :class:`rich.console.Console`."""
    table = Table(title="Certificate: worst case over all inputs", title_justify="left")
    table.add_column("layer")
    for column in ("K", "inputs", "lowest sum", "highest sum", "by type", "by weights", "required", "target", "margin"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("holds")
    for layer in certificate.layers:
        table.add_row(*_row(layer))
    for line in certificate.uncovered:
        name, _, reason = line.partition(": ")
        table.add_row(marked(name), *[""] * 9, f"not covered: {marked(reason)}", style="dim")
    return table


def simulation_table(simulation: Simulation, settings: Settings) -> Table:
    """One row per layer: how much was computed, and what overflowed."""
    width = settings.accumulator_bit_width
    wide = f"{width} bits" if isinstance(width, int) else "each layer's own width"
    table = Table(title=f"Accumulators of {wide}, {settings.overflow}", title_justify="left")
    table.add_column("layer")
    for column in ("dot products", "overflows", "per dot product"):
        table.add_column(column, justify="right")
    for name, count in simulation.overflows.items():
        outputs = simulation.dot_products[name]
        table.add_row(marked(name), f"{outputs:,}", f"{count:,}", f"{count / outputs:.4g}")
    return table


def _row(layer: LayerCertificate) -> tuple[str, ...]:
    size = str(layer.inputs) if layer.tile is None else f"{layer.inputs} in tiles of {layer.tile}"
    target = layer.accumulator_bit_width
    verdict = "no target" if target is None else "[green]yes[/green]" if layer.holds else "[bold red]NO[/bold red]"
    required = str(layer.required_bit_width)
    if layer.outer is not None:
        required += f" + outer {layer.outer.required_bit_width}"
    return (
        marked(layer.name),
        size,
        f"[{layer.input_range.lower}, {layer.input_range.upper}]",
        f"{layer.lower:,}",
        f"{layer.upper:,}",
        str(layer.data_type_bit_width),
        str(layer.weights_bit_width),
        required,
        "" if target is None else str(target),
        "" if layer.margin_bits is None else f"{layer.margin_bits:+d}",
        verdict,
    )
