"""A journal of whole lines: what a killed writer or a full disk left of its last line is cut off by the next one.

Optuna's own journal appends to such a rest, which spoils the line that follows, and with it every later read.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, BinaryIO, Final

from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from brevitas_a2q.errors import SweepError

__all__ = ["WholeLinesJournal"]

_BEGIN: Final = b'{"op_code":'  # of every record that Optuna writes
_BLOCK: Final = 1 << 16


class WholeLinesJournal(JournalFileBackend):
    """Optuna's journal file, mended before each append.

    Args:
        path: The file; made where there is none.

    Raises:
        SweepError: The file is something else; it stays as it is.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._writing = path, JournalFileSymlinkLock(str(path))
        super().__init__(str(path), self._writing)
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                self._check(number, line)

    def _check(self, number: int, line: bytes) -> None:
        """Refuse to add to a file that is damaged, or that is another thing."""
        whole = line.endswith(b"\n")
        if line[: len(_BEGIN)] == _BEGIN[: len(line)] and (not whole or _is_json(line)):
            return
        raise SweepError(
            f"cannot be used (line {number} is no record of a sweep)",
            where=str(self._path),
            expected="a new file, or one of a sweep, as it was written",
            remedy="for a new one give another name; the runs that are done are taken from their folders",
        )

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write records, after the last whole one."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        self._writing.acquire()
        try:
            with self._path.open("r+b") as file:
                file.truncate(_end_of_whole_lines(file))
                file.seek(0, os.SEEK_END)
                file.write(lines.encode())
                file.flush()
                os.fsync(file.fileno())
        finally:
            self._writing.release()


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _end_of_whole_lines(file: BinaryIO) -> int:
    """Where the last newline ends; nobody else writes meanwhile."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - _BLOCK)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
