"""One file against its certificate: what is executed must lie in what is certified."""

from __future__ import annotations

import atexit
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from brevitas_a2q import certify
from brevitas_a2q.errors import A2QError

from ..judges.executors import Runner, by_onnxruntime, by_qonnx_operators, qonnx_run
from ..judges.integers import partial_sums, search
from .forms import reformed
from .generate import Case, generate
from .graph import Layer

__all__ = ["Verdict", "attack", "judged"]

_NODE_BY_NODE = 32  # every so many cases are executed by qonnx node by node too


@dataclass
class Verdict:
    """What became of one case."""

    seed: int
    opset: int
    used: list[str]
    outcome: str = ""  # certified, refused, not executable, VIOLATION, CRASH
    layers: int = 0
    covered: int = 0
    inputs: int = 0  # executed
    tightest: float = 0.0  # largest share of a certified range that was reached
    judged_by: list[str] = field(default_factory=list)
    detail: str = ""
    silent: list[str] = field(default_factory=list)  # why the certificate says nothing of a layer


def attack(seed: int, rounds: int = 5, width: int = 48, node_by_node: bool | None = None) -> dict[str, Any]:
    """Generate, certify, execute, compare."""
    node_by_node = seed % _NODE_BY_NODE == 0 if node_by_node is None else node_by_node
    return judged(generate(seed), rounds, width, node_by_node)


def judged(case: Case, rounds: int = 5, width: int = 48, node_by_node: bool = False) -> dict[str, Any]:
    """Certify, execute, compare; ``node_by_node``: by qonnx' executor too."""
    model = case.graph.model(case.outputs)
    used = sorted({node.op_type for node in model.graph.node})
    verdict = Verdict(case.seed, case.graph.opset, used, layers=len(case.graph.layers))
    judges = _judges(case, model)
    if not judges or not case.graph.layers:
        verdict.outcome = "not executable"
        return asdict(verdict)
    path = Path(_folder()) / "case.onnx"
    other, forms = reformed(model, np.random.default_rng(case.seed + 2))
    verdict.used += forms
    path.write_bytes(other.SerializeToString())
    try:
        certificate = certify(path)
    except A2QError as error:
        verdict.outcome, verdict.detail = "refused", str(error).replace(str(path), "")[:300]
        return asdict(verdict)
    except Exception as error:
        verdict.outcome, verdict.detail = "CRASH", f"{type(error).__name__}: {error}"[:300]
        return asdict(verdict)
    verdict.outcome = "certified"
    claims = {layer.name: layer for layer in certificate.layers}
    targets = [(i, layer, claims[layer.name]) for i, layer in enumerate(case.graph.layers) if layer.name in claims]
    verdict.covered = len(targets)
    if "constants with defaults" in forms and len(other.graph.input) > 1 and targets and certificate.holds:
        open_ones = [a for a in certificate.assumptions if not a.accepted]
        verdict.detail = "" if open_ones or not _reads_defaults(other) else "defaults are trusted"
        verdict.outcome = "VIOLATION" if verdict.detail else verdict.outcome
    reasons = dict(line.split(": ", 1) for line in certificate.uncovered)
    verdict.silent = [reasons.get(layer.name, "") for layer in case.graph.layers if layer.name not in claims]
    if targets:
        worst = _driven(case, targets, judges, verdict, rounds, width)
        if node_by_node:
            _node_by_node(model, targets, worst, verdict)
    return asdict(verdict)


def _reads_defaults(model: Any) -> bool:
    """Whether what the outputs depend on reads a constant that is an input too."""
    writer = {name: node for node in model.graph.node for name in node.output}
    waiting, seen = [output.name for output in model.graph.output], set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        waiting += list(writer[name].input) if name in writer else []
    return any(value.name in seen for value in model.graph.input[1:])


@cache
def _folder() -> str:
    """For the file of the case at hand; one for the whole process."""
    folder = tempfile.TemporaryDirectory(prefix="adversary-")
    atexit.register(folder.cleanup)
    return folder.name


def _judges(case: Case, model: Any) -> dict[str, Runner]:
    """Executors that can execute the file at all; the first one guides the search."""
    names = [layer.source.name for layer in case.graph.layers]
    constants = {constant.name for constant in case.graph.constants}
    names += [node.output[0] for node in model.graph.node if node.op_type == "Quant" and node.input[0] not in constants]
    zero = np.zeros(case.graph.shape, np.float32)
    found: dict[str, Runner] = {}
    for name, make in (("onnxruntime", by_onnxruntime), ("qonnx's operators", by_qonnx_operators)):
        try:
            runner = _of_numbers(make(model, names), len(case.graph.layers))
            runner(zero)
            found[name] = runner
        except Exception:
            continue
    return found


def _of_numbers(run: Runner, layers: int) -> Runner:
    """What layers read; all of it NaN where a quantizer was given NaN, of which it makes no integer."""

    def runner(x: np.ndarray) -> list[np.ndarray]:
        executed = run(x)
        broken = np.zeros(len(x), bool)
        for quantized in executed[layers:]:
            broken |= np.isnan(quantized).reshape(len(quantized), -1).any(axis=1)
        # What depends on no input has one row for all.
        found = [np.array(np.broadcast_to(tensor, (len(x), *tensor.shape[1:]))) for tensor in executed[:layers]]
        for tensor in found:
            tensor[broken] = np.nan
        return found

    return runner


def _driven(
    case: Case, targets: list[Any], judges: dict[str, Runner], verdict: Verdict, rounds: int, width: int
) -> np.ndarray:
    """Drive every layer's sums to their ends, compare each execution on the way, and return the worst inputs."""
    verdict.judged_by = list(judges)
    guide, *others = judges.items()

    def scores(x: np.ndarray) -> list[np.ndarray]:
        executed = guide[1](x)
        verdict.inputs += len(x)
        return [score for _, layer, claim in targets for score in _compared(executed, layer, claim)]

    def _compared(executed: list[np.ndarray], layer: Layer, claim: Any) -> Iterator[np.ndarray]:
        index = case.graph.layers.index(layer)
        low, high = _compare(verdict, layer, claim, executed[index], guide[0])
        yield -low.min(axis=1)
        yield high.max(axis=1)

    worst = search(scores, case.graph.shape[1:], np.random.default_rng(case.seed + 1), rounds, width)
    for name, run in others:
        executed = run(worst)
        for index, layer, claim in targets:
            _compare(verdict, layer, claim, executed[index], name)
    return worst


def _node_by_node(model: Any, targets: list[Any], worst: np.ndarray, verdict: Verdict) -> None:
    for position, (_, layer, claim) in enumerate(targets):
        for x in worst[2 * position : 2 * position + 2]:
            try:
                executed = qonnx_run(model, x[None])[layer.source.name]
            except Exception:  # it does not execute every file that onnxruntime does
                return
            _compare(verdict, layer, claim, executed, "qonnx")
    verdict.judged_by.append("qonnx")


def _compare(
    verdict: Verdict, layer: Layer, claim: Any, executed: np.ndarray, judge: str
) -> tuple[np.ndarray, np.ndarray]:
    """Hold what a layer's inputs make of its sums against its certificate; returns arrays of shape (inputs, channels).

    Sums of inputs that are not finite are put out of the search.
    """
    finite = np.isfinite(executed).reshape(len(executed), -1).all(axis=1)
    shown = np.where(finite.reshape(-1, *(1,) * (executed.ndim - 1)), executed, 0)
    step = np.abs(np.asarray(layer.source.step, np.float64))  # its sign is not followed through every operation
    step = step.reshape(()) if step.size == 1 else step
    low, high = partial_sums(layer.op, shown, step, layer.weights, layer.attributes)
    if layer.bias is not None and claim.bias_sha256 is not None:
        low, high = low + np.minimum(layer.bias, 0), high + np.maximum(layer.bias, 0)
    rows, channels = len(claim.sums.lower), low.shape[1]
    lower = np.array(claim.sums.lower, float).reshape(channels, rows // channels).min(axis=1)
    upper = np.array(claim.sums.upper, float).reshape(channels, rows // channels).max(axis=1)
    if (low < lower).any() or (high > upper).any():
        verdict.outcome = "VIOLATION"
        verdict.detail = (
            f"{layer.name}: {judge} [{low.min():g}, {high.max():g}] against [{lower.min():g}, {upper.max():g}]"
        )
    reach = max(float(high.max()) / max(1.0, float(upper.max())), float(low.min()) / min(-1.0, float(lower.min())))
    verdict.tightest = max(verdict.tightest, reach)
    return np.where(finite[:, None], low, np.inf), np.where(finite[:, None], high, -np.inf)
