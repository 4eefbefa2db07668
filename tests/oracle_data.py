"""FINN's own numbers, unpacked once for all processes of a test run."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
from pathlib import Path

ARCHIVE = Path(__file__).parent / "data/finn/oracle.tar.xz"


def _unpacked() -> Path:
    digest = hashlib.sha256(ARCHIVE.read_bytes()).hexdigest()[:16]
    target = Path(tempfile.gettempdir()) / f"brevitas_a2q-oracle-{digest}-{os.getuid()}"
    if not target.is_dir():
        fresh = Path(tempfile.mkdtemp(dir=target.parent))
        with tarfile.open(ARCHIVE) as archive:
            if hasattr(tarfile, "data_filter"):
                archive.extractall(fresh, filter="data")
            else:
                archive.extractall(fresh)
        try:
            fresh.rename(target)
        except OSError:  # another process was first
            shutil.rmtree(fresh)
    return target


ORACLE = _unpacked()
