"""Where an exported file goes: checked before the work, written whole or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx

from brevitas_a2q.errors import ExportError

__all__ = ["atomic_target", "save"]


@contextmanager
def atomic_target(path: str | Path) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place when the block succeeds, and goes when it does not.

    A file that was there before stays until the new one is complete.

    Raises:
        ExportError: Nothing can be written there.
    """
    where = f"file {path}"
    try:
        target = Path(path).resolve()
        if target.is_dir():
            raise ExportError("found a folder", where=where, expected="the path of a file", remedy="add a file name")
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        temporary.touch()
    except ExportError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise ExportError(
            f"cannot be written ({reason})", where=where, expected="a path in a folder that exists and can be written"
        ) from error
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


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
        raise ExportError(f"cannot be saved: {reason}", where=f"file {path.parent}") from error
