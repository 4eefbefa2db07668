"""An accelerator from a QONNX file: the estimator's door to :mod:`brevitas_a2q.rtl`, which stands on it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from brevitas_a2q.rtl import BuildReport

__all__ = ["build"]


def build(*arguments: Any, **options: Any) -> BuildReport:
    """Write, simulate and synthesise an accelerator; see :func:`brevitas_a2q.rtl.build`, which this calls.

    ``build(path, out, part=..., target_fps=..., clock_mhz=..., folding=None, simulate=0, synthesize=False)``
    """
    report: BuildReport = importlib.import_module("brevitas_a2q.rtl").build(*arguments, **options)
    return report
