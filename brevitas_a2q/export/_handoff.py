"""Everything that a FINN build starts from, in one folder: model, folding, specialisation, build file, verification.

FINN itself is not needed to write it. The folding file is the design that was estimated; thresholds, FIFO depths and
memory styles included, so the build is told not to choose them again.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from brevitas_a2q._files import refuse_others_files, write_atomically
from brevitas_a2q._ir.quantizer import Quantizer
from brevitas_a2q._ir.reader import read_network
from brevitas_a2q.errors import ExportError
from brevitas_a2q.export._check_finn import refuse_unbuildable
from brevitas_a2q.export._finn_build import FinnName, build_files
from brevitas_a2q.hw._build_options import BuildOptions
from brevitas_a2q.hw._devices import find_part
from brevitas_a2q.hw._estimation import Estimate, estimate_graph
from brevitas_a2q.hw._finn.folding_file import in_hls, with_input_quantizer
from brevitas_a2q.hw._finn.lowering import lowered
from brevitas_a2q.hw._finn.mapping import finn_layers
from brevitas_a2q.hw._finn.network import named
from brevitas_a2q.hw._folding_result import fold_graph, folding_json
from brevitas_a2q.hw._frontend import read_graph
from brevitas_a2q.hw._ir import Folding, Graph
from brevitas_a2q.hw._target import DEFAULT_CLOCK_MHZ

__all__ = ["FinnName", "Handoff", "write_handoff"]

_SEED: Final = 0

_README: Final = """# {name} for FINN {version}

{layers} units on {part} at {clock:g} MHz: {fps:,.1f} frames per second, about {lut:,} LUT and {bram18:,} block RAMs of
18 kbit by the estimate ({target}).

| file | what |
|---|---|
| `model.onnx` | the network, cleaned up by qonnx |
| `folding.json` | PE, SIMD, memory styles and FIFO depths of every node: the design that was estimated |
| `specialize_layers.json` | which matrix units are in HLS |
| `{build}` | the build: steps, part, clock, options |
| `own_steps.py` | steps that it adds to FINN's: branches, averages, padding, and what FINN has units for and no step |
| `input.npy`, `expected_output.npy` | an input (seed {seed}) and what the network computes of it, for verification |
| `estimate.json` | our estimate of the same design |

{start}

The names in `folding.json` are those that FINN {version} gives its nodes after the steps of the build file, as
`build/report/estimate_layer_resources.json` lists them.{notes}
"""
_START: Final[Mapping[str, str]] = {
    "main": "In FINN's container: `python build.py` for the estimates, `python build.py --bitfile` for a bitstream.",
    "dev": "In FINN's container: `python build.py` for the estimates, `python build.py --bitfile` for a bitstream."
    " This FINN keeps the quantizer of the input (`Thresholding_rtl_0`) and the factor of the outputs"
    " (`ElementwiseMul_hls_0`; `ElementwiseAdd_hls_0` of a bias) as nodes, which the estimate leaves out.",
    "plus": "With finn-plus 1.6: `finn build build.yaml model.onnx`. It keeps the quantizer of the input"
    " (`Thresholding_rtl_0`) and the factor of the outputs (`ElementwiseMul_hls_0`) as nodes, which the estimate"
    " leaves out.",
}


_MARK: Final = "folding.json"  # the first file of a folder
_WRITTEN: Final = (
    *(_MARK, "specialize_layers.json", "estimate.json", "README.md"),
    *("model.onnx", "input.npy", "expected_output.npy", "own_steps.py"),
)


@dataclass(frozen=True)
class Handoff:
    """What was written, and the design."""

    folder: Path
    files: tuple[str, ...]
    estimate: Estimate

    def to_json(self) -> dict[str, Any]:
        """The JSON object of ``brevitas-a2q handoff --json``."""
        return {"folder": str(self.folder), "files": list(self.files), **self.estimate.to_json()}


def write_handoff(
    path: str | Path,
    out: Path,
    *,
    finn_version: FinnName = "main",
    part: str = "ZCU104",
    target_fps: float | None = None,
    clock_mhz: float = DEFAULT_CLOCK_MHZ,
    accumulator: str = "trained",
    foldings: Mapping[str, Folding] | None = None,
    build: BuildOptions | None = None,
) -> Handoff:
    """Write the folder of a FINN build.

    Args:
        path: QONNX file.
        out: Folder to write; made if it is not there.
        finn_version: FINN ``main`` or ``dev``, or finn-plus.
        part: Part or board.
        target_fps: Frames per second to fold for; None for the most that fit the part.
        clock_mhz: Clock in MHz.
        accumulator: Policy, see :mod:`brevitas_a2q.hw._policies`.
        foldings: Folding of each unit, instead of a search.
        build: Thresholds apart or not, and whose units are estimated.

    Raises:
        A2QError: A bad file, part or target, or a folder that cannot be written.
    """
    name = "build.yaml" if finn_version == "plus" else "build.py"
    refuse_others_files(Path(out), (*_WRITTEN, name), _MARK)
    options = build or BuildOptions("main" if finn_version == "main" else "dev", target="finn")
    chosen = find_part(part)
    graph = lowered(read_graph(path, standalone_thresholds=options.standalone_thresholds), options.finn_version)
    refuse_unbuildable(path, graph, options.finn_version)
    if foldings is None:
        found = fold_graph(
            graph, chosen, target_fps, target_fps is None, clock_mhz, accumulator, None, options
        ).estimate
    else:
        found = estimate_graph(graph, chosen, target_fps, clock_mhz, "synthesis", accumulator, foldings, build=options)
    entries = folding_json(graph, found.foldings, chosen, options)
    if options.finn_version == "dev" and _quantizes_input(Path(path)):
        entries = with_input_quantizer(entries, _first_elements(graph, found.foldings))
    contents: dict[str, str | bytes] = {
        "folding.json": _json(entries),
        "specialize_layers.json": _json(_preferences(graph, found.foldings, options)),
        "estimate.json": _json(found.to_json()),
        **build_files(finn_version, part, clock_mhz, options, graph),
    }
    contents["README.md"] = _readme(found, finn_version, name)
    given, expected, model = _verification(Path(path))
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(
            f"cannot be made ({error.strerror})", where=f"folder {out}", expected="a new folder"
        ) from error
    contents |= {"model.onnx": model, "input.npy": given, "expected_output.npy": expected}
    for file, content in contents.items():
        write_atomically(out / file, content)
    return Handoff(out, tuple(sorted(contents)), found)


def _quantizes_input(path: Path) -> bool:
    """Whether the network's input is real: its quantizer is a node of FINN dev and finn-plus."""
    network = read_network(path)
    return network.tensors[network.inputs[0]].codes is None


def _first_elements(graph: Graph, foldings: Mapping[str, Folding]) -> int:
    """Elements in a word of the accelerator's input."""
    reader = next(unit for unit in graph.units if "" in unit.inputs)
    return reader.input_elements(foldings[reader.name], reader.inputs.index(""))


def _json(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"


def _preferences(graph: Graph, foldings: Mapping[str, Folding], options: BuildOptions) -> dict[str, Any]:
    """FINN's specialise-layers file: names before the choice between HLS and RTL."""
    layers = named(finn_layers(graph, options.finn_version, standalone_thresholds=options.standalone_thresholds))
    preferred = in_hls(graph, foldings)
    matrices = [layer for layer in layers if layer.weights is not None]
    styles = {layer.name: "hls" if layer.source in preferred else "rtl" for layer in matrices}
    return {"Defaults": {}, **{name: {"preferred_impl_style": style} for name, style in styles.items()}}


def _readme(found: Estimate, version: FinnName, build: str) -> str:
    notes = "".join(f"\n\n- {note}" for note in (*found.notes, *found.warnings))
    return _README.format(
        name=found.network,
        version=version,
        layers=sum(row.folding is not None for row in found.rows),
        part=found.part.name,
        clock=found.clock_mhz,
        fps=found.fps,
        lut=found.total.lut,
        bram18=found.total.bram18,
        target="FINN's units as Vivado maps them" if found.target == "finn" else "our own units",
        build=build,
        seed=_SEED,
        start=_START[version],
        notes=notes,
    )


def _verification(path: Path) -> tuple[bytes, bytes, bytes]:
    """An input, the network's output, and the cleaned-up file."""
    import io

    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.util.cleanup import cleanup_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = cleanup_model(ModelWrapper(str(path)))
        name = model.graph.input[0].name
        shape = model.get_tensor_shape(name)
        given = _example(path, tuple(shape))
        output = execute_onnx(model, {name: given})[model.graph.output[0].name]
    packed = []
    for array in (given, output):
        buffer = io.BytesIO()
        np.save(buffer, array)
        packed.append(buffer.getvalue())
    serialized: bytes = model.model.SerializeToString()
    return packed[0], packed[1], serialized


def _example(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Random numbers over the range of the network's input quantizer; codes of its type where it has one."""
    network, random = read_network(path), np.random.default_rng(_SEED)
    codes = network.tensors[network.inputs[0]].codes
    if codes is not None:
        ends, step = codes.dtype.range, 2 if codes.dtype.name == "BIPOLAR" else 1
        given = random.integers(0, (ends.hi - ends.lo) // step + 1, shape) * step + ends.lo
        return np.asarray(given * codes.scale, np.float32)
    lo, hi = -1.0, 1.0
    for node in network.consumers(network.inputs[0]):
        quantizer = node.attributes.get("quantizer")
        if isinstance(quantizer, Quantizer):
            ends = quantizer.dtype.range
            scale = float(np.abs(quantizer.scale).max())
            lo, hi = ends.lo * scale, ends.hi * scale
            break
    return random.uniform(lo, hi, shape).astype(np.float32)
