"""One file against its certificate: what is executed must lie in what is certified."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from brevitas_a2q import certify
from brevitas_a2q.errors import A2QError

from ..judges.executors import ort_runner, qonnx_run
from ..judges.integers import ascend, partial_sums
from .generate import Case, generate

__all__ = ["Verdict", "attack"]


@dataclass
class Verdict:
    """What became of one case."""

    seed: int
    opset: int
    used: list[str]
    outcome: str = ""  # certified, refused, not executable, VIOLATION, CRASH
    layers: int = 0
    covered: int = 0
    tightest: float = 0.0  # largest share of a certified range that was reached
    judged_by: list[str] = field(default_factory=list)
    detail: str = ""


def attack(seed: int, tries: int = 40, by_qonnx: bool | None = None) -> dict[str, Any]:
    """Generate, certify, execute, compare."""
    case = generate(seed)
    model = case.graph.model(case.outputs)
    verdict = Verdict(seed, case.graph.opset, case.graph.used, layers=len(case.graph.layers))
    executable = _executable(case, model)
    if executable is None:
        verdict.outcome = "not executable"
        return asdict(verdict)
    run, verdict.judged_by = executable
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.onnx"
        onnx.save(model, path)
        try:
            certificate = certify(path)
        except A2QError as error:
            verdict.outcome, verdict.detail = "refused", str(error).replace(str(path), "")[:300]
            return asdict(verdict)
        except Exception as error:
            verdict.outcome, verdict.detail = "CRASH", f"{type(error).__name__}: {error}"[:300]
            return asdict(verdict)
    verdict.outcome = "certified"
    _judge(case, model, certificate, run, verdict, tries, seed % 16 == 0 if by_qonnx is None else by_qonnx)
    return asdict(verdict)


def _executable(case: Case, model: Any) -> tuple[Any, list[str]] | None:
    names = [layer.source.name for layer in case.graph.layers]
    zero = np.zeros(case.graph.shape, np.float32)
    try:
        if case.graph.opset >= 11:
            run = ort_runner(model, names)
            run(zero)
            return run, ["onnxruntime"]
        qonnx_run(model, zero)
    except Exception:  # not a file that can be executed
        return None
    return (lambda x: [qonnx_run(model, x)[name] for name in names]), ["qonnx"]


def _judge(case: Case, model: Any, certificate: Any, run: Any, verdict: Verdict, tries: int, by_qonnx: bool) -> None:
    rng = np.random.default_rng(case.seed + 1)
    known = {layer.name: layer for layer in certificate.layers}
    slow = "qonnx" in verdict.judged_by
    for index, layer in enumerate(case.graph.layers):
        claim = known.get(layer.name)
        if claim is None:
            continue
        verdict.covered += 1
        step = np.asarray(layer.source.step, np.float64)

        def sums(executed: np.ndarray, layer: Any = layer, step: Any = step) -> tuple[np.ndarray, np.ndarray]:
            return partial_sums(layer.op, executed, step, layer.weights, layer.attributes)

        for sign in (1, -1):
            def number(x: np.ndarray, index: int = index, sign: int = sign) -> float:
                executed = run(x)[index]
                if not np.isfinite(executed).all():
                    return -sign * 1e300
                low, high = sums(executed)
                return float(high.max() if sign > 0 else low.min())

            worst = ascend(number, case.graph.shape, rng, 2 if slow else tries, sign)
            for name, tensors in _executions(model, layer, worst, run(worst)[index], by_qonnx):
                if not np.isfinite(tensors).all():
                    continue
                low, high = sums(tensors)
                _compare(verdict, layer, claim, low, high, name, case)


def _executions(model: Any, layer: Any, x: np.ndarray, executed: np.ndarray, by_qonnx: bool) -> list[tuple[str, np.ndarray]]:
    found = [("executed", executed)]
    if by_qonnx:
        try:
            found.append(("qonnx", qonnx_run(model, x)[layer.source.name]))
        except Exception:
            return found
    return found


def _compare(verdict: Verdict, layer: Any, claim: Any, low: np.ndarray, high: np.ndarray, judge: str, case: Case) -> None:
    if judge not in verdict.judged_by:
        verdict.judged_by.append(judge)
    rows = len(claim.sums.lower)
    lower = np.array(claim.sums.lower, float).reshape(len(low), rows // len(low)).min(axis=1)
    upper = np.array(claim.sums.upper, float).reshape(len(low), rows // len(low)).max(axis=1)
    if (low < lower).any() or (high > upper).any():
        verdict.outcome = "VIOLATION"
        verdict.detail = f"{layer.name}: {judge} [{low.min():g}, {high.max():g}] against [{lower.min():g}, {upper.max():g}]"
    reach = max(float(high.max()) / max(1.0, float(upper.max())), float(low.min()) / min(-1.0, float(lower.min())))
    verdict.tightest = max(verdict.tightest, reach)
