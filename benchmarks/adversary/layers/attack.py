"""One case: a file of one layer, its certificate, and the exact ends of its sums.

A layer is linear, so onnxruntime tells which integer each element of the input is multiplied by, for every element of
the output: it runs the layer's operator alone on inputs of a single 1. The extreme sums are those products at the ends
of the input's integers, added as integers. So the judge knows nothing of attributes, and says how tight a range is.
"""

from __future__ import annotations

import tempfile
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

from benchmarks.adversary.layers.generate import Case, generate
from brevitas_a2q import certify
from brevitas_a2q.errors import A2QError

__all__ = ["attack"]

onnxruntime.set_default_logger_severity(4)


def attack(seed: int) -> dict[str, Any]:
    """The verdict on one seed, as a line of the results."""
    case = generate(seed)
    line = {"seed": seed, "outcome": "", "detail": "", "used": case.used, "judged_by": [], "layers": 1, "covered": 0}
    line |= {"inputs": 0, "tightest": 0.0}
    try:
        factors = _factors(case)
        if factors is None:
            return {**line, "outcome": "not executable"}
        line |= {"judged_by": ["onnxruntime, element by element"], "inputs": len(factors)}
        return {**line, **_judged(case, factors)}
    except Exception:
        return {**line, "outcome": "CRASH", "detail": traceback.format_exc()[-1500:]}


def _factors(case: Case) -> np.ndarray | None:
    """What each element of the input is multiplied by, for each of the output; None where the layer does not run."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "w", "y")]
    graph = helper.make_graph([case.layer], "alone", ends[:2], ends[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    shape, weights = case.lower.shape, case.weights.astype(np.float32)
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        ones = np.eye(case.lower.size, dtype=np.float32).reshape(-1, *shape)
        made = np.stack([session.run(None, {"x": one, "w": weights})[0] for one in ones])
    except Exception:  # onnxruntime's errors have no class in common
        return None
    return made.astype(np.int64) if made[0].size else None


def _judged(case: Case, factors: np.ndarray) -> dict[str, Any]:
    ends = [end.reshape(-1, *(1,) * (factors.ndim - 1)) * factors for end in (case.lower, case.upper)]
    high, low = np.maximum(np.maximum(*ends), 0).sum(0).max(), np.minimum(np.minimum(*ends), 0).sum(0).min()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "layer.onnx"
        path.write_bytes(case.model.SerializeToString())
        try:
            certificate = certify(path)
        except A2QError as error:
            why = "scales differ within a sum" if case.mixed else ""
            return {"outcome": "refused", "detail": str(error).partition(": ")[2][:300], "why": why}
    (layer,) = certificate.layers
    lower, upper = min(np.ravel(layer.sums.lower)), max(np.ravel(layer.sums.upper))
    # At a negative scale the same sums are those of the opposite integers.
    inside = any(lower <= down and up <= upper for down, up in ((low, high), (-high, -low)))
    tight = {(lower, upper)} <= {(low, high), (-high, -low)}
    if not inside:
        return {"outcome": "VIOLATION", "detail": f"[{low}, {high}] beyond [{lower}, {upper}]", "covered": 1}
    return {"outcome": "certified", "covered": 1, "tightest": float(tight)}
