"""An accelerator from a QONNX file: the estimator's door to :mod:`brevitas_a2q.rtl`, which stands on it."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["build"]


def build(*arguments: Any, **options: Any) -> Any:
    """Write, simulate and synthesise an accelerator; see :func:`brevitas_a2q.rtl.build`, which this calls.

    ``build(path, out, part=..., target_fps=..., clock_mhz=..., folding=None, simulate=0, synthesize=False)``
    """
    return importlib.import_module("brevitas_a2q.rtl").build(*arguments, **options)
