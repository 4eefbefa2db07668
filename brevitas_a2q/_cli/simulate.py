"""``brevitas-a2q simulate``: run a QONNX file with accumulators of limited width, and count what overflows."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from rich.table import Table

from brevitas_a2q._cli.console import emit_json, messages, show
from brevitas_a2q._cli.guard import Guarded
from brevitas_a2q._cli.report_files import report_files, report_options, write_files
from brevitas_a2q._files import write_atomically
from brevitas_a2q.errors import DataError

if TYPE_CHECKING:
    from brevitas_a2q._ir.network import Network
    from brevitas_a2q.verify._network_simulation import NetworkSimulator
    from brevitas_a2q.verify._simulation import Settings, Simulation

__all__ = ["command", "load_arrays"]

_PATH = click.Path(path_type=Path)
_OVERFLOW = click.Choice(["wrap", "saturate", "check"])
_ORDER = click.Choice(["forward", "reverse", "random"])


def _widths(context: click.Context, option: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    """``12``, ``8,10,12`` or ``8-16`` as widths."""
    if text is None:
        return None
    try:
        found = []
        for part in text.split(","):
            low, dash, high = part.strip().partition("-")
            found += list(range(int(low), int(high) + 1)) if dash else [int(low)]
        if not found:
            raise ValueError
    except ValueError:
        raise click.BadParameter(
            f"found {text!r}; expected bits such as 12, or 8,10, or 8-16", context, option
        ) from None
    return tuple(sorted(set(found), reverse=True))


@click.command("simulate", cls=Guarded)
@click.argument("network", metavar="MODEL.onnx", type=_PATH)
@click.option("--inputs", metavar="X.npz", type=_PATH, required=True, help="Arrays named as the network's inputs.")
@click.option(
    "-P",
    "--accumulator-bit-width",
    "widths",
    metavar="P[,P,...]",
    callback=_widths,
    help="Width of every layer, or several to compare, such as 8,10 or 8-16; else its own target.",
)
@click.option("--labels", metavar="Y.npz", type=_PATH, help="Classes of the inputs: accuracy against P.")
@click.option("--overflow", type=_OVERFLOW, default="wrap", show_default=True, help="What happens beyond P bits.")
@click.option("--order", type=_ORDER, default="forward", show_default=True, help="Order of one output's additions.")
@click.option("--tile", metavar="T", type=int, help="Products per tile with an accumulator of its own.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the random order.")
@click.option(
    "--zero-point",
    type=click.Choice(["subtracted", "raw"]),
    help="Whether zero-points are subtracted before the product, or corrected behind the sum.  [default: each layer's]",
)
@click.option("--out", metavar="Y.npz", type=_PATH, help="Write the network's outputs.")
@report_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def command(
    network: Path,
    inputs: Path,
    widths: tuple[int, ...] | None,
    labels: Path | None,
    overflow: Any,
    order: Any,
    tile: int | None,
    seed: int,
    zero_point: Any,
    out: Path | None,
    html: Path | None,
    plot: Path | None,
    as_json: bool,
) -> int:
    """Run a QONNX file on integers with P-bit accumulators.

    With --labels, or several widths, the network runs once for each width: without --accumulator-bit-width from the
    width at which no input overflows down. --plot draws the result.

    Counted per layer: with wrap, outputs whose sum does not fit P bits; with saturate, additions that were clamped;
    with check, partial sums that do not fit (the result stays exact).
    """
    from brevitas_a2q._ir.reader import read_network
    from brevitas_a2q.verify._network_simulation import NetworkSimulator
    from brevitas_a2q.verify._simulation import Settings

    first = None if widths is None else widths[0]
    settings = Settings(first, overflow, order, tile, seed, zero_point)
    simulator = NetworkSimulator(read_network(network))
    arrays = _load(inputs)
    given = _chosen(arrays, simulator.network)
    if labels is not None or (widths is not None and len(widths) > 1):
        if out is not None:
            raise click.UsageError("--out takes the outputs at one width; leave out --labels and other widths")
        wanted = None if labels is None else _labels(labels)
        _curve(simulator, given, wanted, widths, settings, html, plot, as_json)
        return 0
    if html is not None or plot is not None:
        raise click.UsageError("--html and --plot show a curve: give --labels, or several widths")
    result = simulator.run(given, settings)
    if out is not None:
        outputs = result.outputs
        _save(out, outputs if isinstance(outputs, Mapping) else {simulator.network.outputs[0]: outputs})
        messages().print(f"outputs written to {out}", markup=False)
    if as_json:
        emit_json(_counts(result))
    else:
        from brevitas_a2q.verify._table import simulation_table

        show(simulation_table(result, settings), ("overflows",))
    return 0


def _curve(
    simulator: NetworkSimulator,
    inputs: Mapping[str, Any],
    labels: np.ndarray[Any, Any] | None,
    widths: tuple[int, ...] | None,
    settings: Settings,
    html: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Several widths, one run each."""
    from brevitas_a2q.report._accuracy import accuracy_report
    from brevitas_a2q.verify._accuracy import accuracy_curve, widths_below

    chosen = list(widths) if widths else widths_below(simulator.network)
    points = []
    for point in accuracy_curve(simulator, inputs, labels, chosen, settings):
        points.append(point)
        messages().print(f"{len(points)}/{len(chosen)} P = {point.accumulator_bit_width}", markup=False)
    write_files(
        report_files(html, plot, lambda: accuracy_report(points, Path(simulator.network.file).name, settings.overflow))
    )
    if as_json:
        rows = [
            {
                "accumulator_bit_width": point.accumulator_bit_width,
                "accuracy": point.accuracy,
                **_counts(point.simulation),
            }
            for point in points
        ]
        emit_json({"points": rows})
        return
    table = Table(title=f"Every accumulator of P bits, {settings.overflow}")
    for heading in ("P", "accuracy", "overflows", "per dot product"):
        table.add_column(heading, justify="right")
    for point in points:
        counted = point.simulation
        accuracy = "" if point.accuracy is None else f"{point.accuracy:.2f} %"
        total = sum(counted.overflows.values())
        table.add_row(str(point.accumulator_bit_width), accuracy, f"{total:,}", f"{counted.overflow_rate:.4g}")
    show(table, ("accuracy", "overflows"))


def _counts(result: Simulation) -> dict[str, Any]:
    return {"overflows": result.overflows, "additions": result.additions, "dot_products": result.dot_products}


def _labels(path: Path) -> np.ndarray[Any, Any]:
    """The one array of integers along one axis."""
    found = {name: array for name, array in _load(path).items() if array.ndim == 1 and array.dtype.kind in "iu"}
    if len(found) != 1:
        names = ", ".join(found) or "none"
        raise DataError(f"found {names} with integers along one axis", where=str(path), expected="one array of labels")
    return next(iter(found.values()))


def load_arrays(path: Path, network: Network) -> Mapping[str, Any]:
    """The arrays of a file under the names of a network's inputs.

    Raises:
        DataError: It is no .npz file, or has no array for an input.
    """
    arrays = _chosen(_load(path), network)
    missing = [name for name in network.inputs if name not in arrays]
    if missing:
        raise DataError(f"has no array {missing[0]}", where=str(path), expected=", ".join(network.inputs))
    return arrays


def _load(path: Path) -> dict[str, Any]:
    from brevitas_a2q.data._sources import UNREADABLE, read_npz

    if zipfile.is_zipfile(path):
        arrays = read_npz(path)
    else:
        with path.open("rb") as file:
            try:
                arrays = {"": np.lib.format.read_array(file, allow_pickle=False)}
            except UNREADABLE as error:
                raise DataError(
                    "is not an .npz file of plain numbers", where=str(path), expected="what numpy.savez writes"
                ) from error
    if not arrays:
        raise DataError("holds no arrays", where=str(path), expected="one for each input of the network")
    return arrays


def _chosen(arrays: Mapping[str, Any], network: Network) -> Mapping[str, Any]:
    """The arrays named as the inputs; for a single input also the one array of its shape, whatever its name."""
    if len(network.inputs) == 1 and network.inputs[0] not in arrays:
        shape = network.tensors[network.inputs[0]].shape
        fitting = [array for array in arrays.values() if array.ndim == len(shape) and array.shape[1:] == shape[1:]]
        arrays = {network.inputs[0]: fitting[0]} if len(fitting) == 1 else arrays
    return {name: array for name, array in arrays.items() if name in network.inputs} or arrays


def _save(path: Path, outputs: Mapping[str, Any]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **dict(outputs))
    write_atomically(path, buffer.getvalue())
