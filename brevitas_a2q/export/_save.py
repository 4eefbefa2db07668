"""An ONNX model as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from brevitas_a2q.errors import ExportError

__all__ = ["save"]


def save(model: Any, path: Path) -> None:
    """Write an ``onnx.ModelProto`` into one file.

    Raises:
        ExportError: It does not fit one, or the disk is full.
    """
    try:
        onnx.checker.check_model(model)
        path.write_bytes(model.SerializeToString())
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ExportError(f"cannot be saved: {reason}", where=f"folder {path.parent}") from error
