"""A run's folder: one run's only, and one process' at a time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from brevitas_a2q._files import exclusive, remove_leftovers, write_atomically
from brevitas_a2q.errors import A2QError, ConfigError, DataError
from brevitas_a2q.train._config import RunConfig

__all__ = ["CHECKPOINTS", "RESULT", "claim", "claimable", "gone_unless_begun", "locked", "read_config"]

CONFIG: Final = "config.json"
CHECKPOINTS: Final = "checkpoints"
RESULT: Final = "result.json"
_LOCK: Final = ".lock"
_RECORDS: Final = "tensorboard"
# What a run leaves beside it, as its other modules name it.
_WRITTEN: Final = ("network.onnx", "certificate.json", "outcome.json", "float.safetensors", RESULT, CHECKPOINTS)
_MAY_CHANGE: Final = ("runtime", "data_root")  # where and how it is computed, not what


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from training in this folder; a killed process leaves no lock behind, nor half a file.

    Raises:
        ConfigError: One is training there.
    """
    with exclusive(folder / _LOCK) as free:
        if not free:
            raise ConfigError(
                "another process is training here", where=str(folder), remedy="wait for it, or choose another folder"
            )
        remove_leftovers(folder)
        yield


@contextmanager
def gone_unless_begun(folder: Path) -> Iterator[None]:
    """Leave no new folder behind where bad input ends a run before its first epoch."""
    new = not folder.exists()
    try:
        yield
    except A2QError:
        if new and not _has_begun(folder):
            shutil.rmtree(folder / _RECORDS, ignore_errors=True)
            with suppress(OSError):  # what others have put there stays, and so does the folder
                for name in (CONFIG, _LOCK):
                    (folder / name).unlink(missing_ok=True)
                folder.rmdir()
        raise


def claim(folder: Path, config: RunConfig) -> None:
    """Make a folder that of a run, or check that it is already; one with neither an epoch nor a result is free.

    Raises:
        ConfigError: It is another run's; the message names the keys that differ. Or it holds other people's files.
        DataError: Its ``config.json`` is no run's.
    """
    if claimable(folder, config):
        write_atomically(folder / CONFIG, json.dumps(config.to_dict(), indent=2))


def claimable(folder: Path, config: RunConfig) -> bool:
    """Whether :func:`claim` would begin a run in this folder; false where the same run has begun already.

    Raises:
        ConfigError, DataError: As :func:`claim`.
    """
    if not _has_begun(folder):
        _refuse_others_files(folder)
        return True
    changed = [
        key
        for key in _differences(config.to_dict(), read_config(folder).to_dict())
        if key.split(".")[0] not in _MAY_CHANGE
    ]
    if changed:
        raise ConfigError(
            f"found the run of another configuration, different in {', '.join(changed)}",
            where=str(folder),
            remedy="choose another folder, or give the configuration it was started with",
        )
    return False


def _has_begun(folder: Path) -> bool:
    return (folder / RESULT).exists() or any((folder / CHECKPOINTS).glob("[!.]*"))


def _refuse_others_files(folder: Path) -> None:
    """A run replaces its own files only: before it has begun, ones of their names are somebody else's."""
    if (folder / CONFIG).exists():
        read_config(folder)
        return
    taken = [name for name in _WRITTEN if (folder / name).exists()]
    if taken:
        raise ConfigError(
            f"found {', '.join(taken)} of something else, which a run would replace",
            where=str(folder),
            expected="an empty folder, a new one, or that of a run",
        )


def read_config(folder: Path) -> RunConfig:
    """The configuration of the run in a folder.

    Raises:
        DataError: There is none, or it is damaged.
    """
    path = folder / CONFIG
    try:
        return RunConfig.from_dict(json.loads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"cannot be read ({error})", where=str(path), expected="the folder of a run") from error


def _differences(ours: Any, theirs: Any, key: str = "") -> Iterator[str]:
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        for name in {**ours, **theirs}:
            yield from _differences(ours.get(name), theirs.get(name), f"{key}.{name}" if key else name)
    elif ours != theirs:
        yield key
