"""The simulation of a whole design: vectors, the QONNX executor's integers, the runs, what earlier ones left."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from brevitas_a2q._files import write_atomically
from brevitas_a2q._ir.network import Network
from brevitas_a2q.rtl._executor_check import ExecutorCheck
from brevitas_a2q.rtl._generate import Accelerator
from brevitas_a2q.rtl._progress import Progress
from brevitas_a2q.rtl._reference import outputs_of
from brevitas_a2q.rtl._simulation import Difference, Simulation, prepare, run
from brevitas_a2q.rtl._simulators import Simulator
from brevitas_a2q.rtl._vectors import Executor, checked_inputs, random_inputs

__all__ = ["Checked", "simulate_design"]

_LEAST_IMAGES = 3  # for an interval between images
_ARRAY = npt.NDArray[Any]


@dataclass(frozen=True)
class Checked:
    """Both runs and the comparison with the executor."""

    run: Simulation
    stalled: Simulation | None
    executor: ExecutorCheck


def simulate_design(
    accelerator: Accelerator,
    network: Network,
    simulator: Simulator,
    inputs: Any,
    images: int,
    gap: int,
    stall: int,
    seed: int,
    progress: Progress,
) -> Checked:
    """Simulate images; where there are fewer than three, they are sent again, so that an interval can be measured.

    Results are kept in ``sim/result.json`` with a digest of all they depend on, and taken from there the next time.
    """
    x = checked_inputs(network, inputs if inputs is not None else random_inputs(network, images, seed))
    x = np.resize(x, (max(len(x), _LEAST_IMAGES), *x.shape[1:]))
    key = _key(accelerator, network, simulator, x, gap, stall, seed)
    kept = accelerator.folder / "sim" / "result.json"
    known = _restored(kept, key)
    if known is not None:
        return known
    graph = accelerator.netlist.graph
    executor = Executor(network, graph)
    with progress.bar("QONNX executor", len(x)) as advance:
        integers, contexts = executor.inputs(x, lambda done: advance(f"image {done}"))
    compared, wrong = executor.compare(outputs_of(graph, integers), contexts)
    texts = tuple(f"{m.unit}: {m.count} integers of image {m.image} differ from tensor {m.tensor}" for m in wrong)
    check = ExecutorCheck(len(x), compared, tuple(executor.units), texts)
    with progress.bar("compile and run", 3 if gap or stall else 2) as advance:
        prepared = prepare(accelerator, simulator, integers)
        advance("compiled")
        main = run(prepared, simulator, seed=seed)
        advance("simulated")
        second = run(prepared, simulator, gap=gap, stall=stall, seed=seed) if gap or stall else None
    found = Checked(main, second, check)
    write_atomically(kept, json.dumps({"key": key, **asdict(found)}))
    return found


def _key(
    accelerator: Accelerator, network: Network, simulator: Simulator, x: _ARRAY, gap: int, stall: int, seed: int
) -> str:
    digest = hashlib.sha256(Path(network.file).read_bytes())
    for path in (*accelerator.sources, *sorted(accelerator.memories.iterdir())):
        digest.update(path.name.encode() + path.read_bytes())
    digest.update(np.ascontiguousarray(x).tobytes())
    digest.update(json.dumps([simulator.name, x.shape, gap, stall, seed]).encode())
    return digest.hexdigest()


def _restored(kept: Path, key: str) -> Checked | None:
    """What an earlier run found, if it was of the same key and its file is whole."""
    try:
        document = json.loads(kept.read_text())
        if document["key"] != key:
            return None
        check, stalled = document["executor"], document["stalled"]
        executor = ExecutorCheck(
            **{**check, "units": tuple(check["units"]), "differences": tuple(check["differences"])}
        )
        return Checked(_simulation(document["run"]), _simulation(stalled) if stalled else None, executor)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _simulation(value: dict[str, Any]) -> Simulation:
    differences = tuple(
        Difference(**{**d, "found": tuple(d["found"]), "expected": tuple(d["expected"])}) for d in value["differences"]
    )
    return Simulation(**{**value, "differences": differences})
