"""Files that are whole or not there."""

from __future__ import annotations

import errno
import os
import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from brevitas_a2q.errors import ExportError

__all__ = ["atomic_target", "disk_is_full", "exclusive", "refuse_others_files", "remove_leftovers", "write_atomically"]


@contextmanager
def atomic_target(path: str | Path) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place when the block succeeds, and goes when it does not.

    A file that was there before stays until the new one is complete.

    Raises:
        ExportError: Nothing can be written there.
    """
    try:
        target = Path(path).resolve()
        if target.is_dir():
            raise ExportError(
                "found a folder", where=f"file {path}", expected="the path of a file", remedy="add a file name"
            )
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        temporary.touch()
    except ExportError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise _not_written(path, error) from error
    try:
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        if error.filename not in (None, str(temporary)):  # of something else that the block does
            raise
        raise _not_written(path, error) from error  # as where the disk is full
    finally:
        temporary.unlink(missing_ok=True)


def _not_written(path: str | Path, error: OSError | ValueError) -> ExportError:
    reason = getattr(error, "strerror", None) or str(error)
    return ExportError(
        f"cannot be written ({reason})",
        where=f"file {path}",
        expected="a path in a folder that exists and can be written",
    )


def disk_is_full(error: BaseException | None) -> bool:
    """Whether an error, or what it was raised from, is that a disk or its owner's share of it is full.

    Example:
        >>> import errno
        >>> disk_is_full(OSError(errno.ENOSPC, "")), disk_is_full(OSError(errno.EACCES, ""))
        (True, False)
    """
    full = {errno.ENOSPC, errno.EDQUOT}
    while error is not None:
        told = re.search(r"\(os error (\d+)\)", str(error))  # safetensors keeps the number in its text only
        if (isinstance(error, OSError) and error.errno in full) or (told is not None and int(told[1]) in full):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def exclusive(path: Path) -> Iterator[bool]:
    """Hold a lock for this process, without waiting; False where another one has it.

    The operating system gives it up with the process, however that ends.
    """
    lock = FileLock(path, blocking=False, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def refuse_others_files(folder: Path, names: Iterable[str], mark: str) -> None:
    """A command replaces files of its own earlier results only.

    Args:
        folder: Where it will write; need not exist.
        names: Of the files that it writes.
        mark: What an earlier result has from its start on.

    Raises:
        ExportError: Files of these names are somebody else's.
    """
    if (folder / mark).exists():
        return
    taken = sorted(name for name in names if (folder / name).exists())
    if taken:
        raise ExportError(
            f"found {', '.join(taken)} of something else, which would be replaced",
            where=f"folder {folder}",
            expected="an empty folder, a new one, or that of an earlier result of the same command",
        )


def remove_leftovers(folder: Path) -> None:
    """Remove what processes left that were killed while they wrote; the folder must not be in use by others."""
    for path in folder.glob(f".*.{'[0-9a-f]' * 32}"):
        path.unlink()


def write_atomically(path: str | Path, content: str | bytes) -> None:
    """Write a file so that a reader, or a crash, never sees half of it.

    Args:
        path: Where it goes; what was there before is replaced only by the whole new file.
        content: Text (UTF-8) or bytes.

    Raises:
        ExportError: Nothing can be written there.
    """
    with atomic_target(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
