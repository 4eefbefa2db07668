"""``brevitas-a2q simulate``: run a QONNX file with accumulators of limited width, and count what overflows."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from brevitas_a2q._cli.console import emit_json, messages, show
from brevitas_a2q._cli.guard import Guarded
from brevitas_a2q._files import write_atomically
from brevitas_a2q.errors import DataError

if TYPE_CHECKING:
    from brevitas_a2q._ir.network import Network

__all__ = ["command", "load_arrays"]

_PATH = click.Path(path_type=Path)
_OVERFLOW = click.Choice(["wrap", "saturate", "check"])
_ORDER = click.Choice(["forward", "reverse", "random"])


@click.command("simulate", cls=Guarded)
@click.argument("network", metavar="MODEL.onnx", type=_PATH)
@click.option("--inputs", metavar="X.npz", type=_PATH, required=True, help="Arrays named as the network's inputs.")
@click.option(
    "--accumulator-bit-width", "bits", metavar="P", type=int, help="Width of every layer; else its own target."
)
@click.option("--overflow", type=_OVERFLOW, default="wrap", show_default=True, help="What happens beyond P bits.")
@click.option("--order", type=_ORDER, default="forward", show_default=True, help="Order of one output's additions.")
@click.option("--tile", metavar="T", type=int, help="Products per tile with an accumulator of its own.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the random order.")
@click.option("--out", metavar="Y.npz", type=_PATH, help="Write the network's outputs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def command(
    network: Path,
    inputs: Path,
    bits: int | None,
    overflow: Any,
    order: Any,
    tile: int | None,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> int:
    """Run a QONNX file on integers with P-bit accumulators.

    Counted per layer: with wrap, outputs whose sum does not fit P bits; with saturate, additions that were clamped;
    with check, partial sums that do not fit (the result stays exact).
    """
    from brevitas_a2q._ir.reader import read_network
    from brevitas_a2q.verify._network_simulation import NetworkSimulator
    from brevitas_a2q.verify._simulation import Settings

    settings = Settings(bits, overflow, order, tile, seed)
    simulator = NetworkSimulator(read_network(network))
    result = simulator.run(_chosen(_load(inputs), simulator.network), settings)
    if out is not None:
        outputs = result.outputs
        _save(out, outputs if isinstance(outputs, Mapping) else {simulator.network.outputs[0]: outputs})
        messages().print(f"outputs written to {out}", markup=False)
    if as_json:
        emit_json({"overflows": result.overflows, "additions": result.additions, "dot_products": result.dot_products})
    else:
        from brevitas_a2q.verify._table import simulation_table

        show(simulation_table(result, settings), ("overflows",))
    return 0


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
    from brevitas_a2q.data._sources import UNREADABLE

    with path.open("rb") as file:
        try:
            loaded = np.load(file, allow_pickle=False)
            arrays = {name: loaded[name] for name in loaded.files} if hasattr(loaded, "files") else {"": loaded}
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
