"""Addresses of storages: what is refused, in one line and without a password."""

from __future__ import annotations

from pathlib import Path

import pytest

from brevitas_a2q.errors import ConfigError, SweepError
from brevitas_a2q.sweep._storage import open_storage, visible


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("postgresql://me:geheim@127.0.0.1:1/sweeps", "127.0.0.1:1/sweeps: cannot be used (connection failed"),
        ("postgresql://me@127.0.0.1:1/sweeps?password=geheim", "127.0.0.1:1/sweeps?password=***: cannot be used"),
        ("postgresql://me:geheim@host:port/sweeps", "found storage postgresql...; expected sqlite:///FILE"),
        ("postgresql://me:und@geheim@host/sweeps", "%40"),
        ("mysql://me:geheim@host/sweeps", "expected sqlite:///FILE"),
        ("postgresql:/me:geheim@host", "expected sqlite:///FILE"),
        ("nonsense", "found storage nonsense...; expected sqlite:///FILE"),
        ("sqlite://", "expected the name of a file"),
        ("sqlite:///:memory:", "expected the name of a file"),
        ("journal:", "expected the name of a file"),
    ],
)
def test_what_is_refused(address: str, message: str) -> None:
    with pytest.raises(SweepError) as caught, open_storage(address):
        pass
    assert message in str(caught.value)
    assert "geheim" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "sweep.db"
    path.write_bytes(b"this is not a database\n" * 100)
    with pytest.raises(SweepError, match="not a database"), open_storage(f"sqlite:///{path}"):
        pass
    with pytest.raises(SweepError, match="cannot be used"), open_storage(f"journal:{path}"):
        pass
    assert path.read_bytes() == b"this is not a database\n" * 100


@pytest.mark.parametrize("form", ["sqlite:///{}", "journal:{}"])
def test_reading_makes_no_file(form: str, tmp_path: Path) -> None:
    with pytest.raises(SweepError, match="no such file"), open_storage(form.format(tmp_path / "s"), must_exist=True):
        pass
    assert not list(tmp_path.iterdir())


def test_errors_of_what_is_done_inside_are_left_alone(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="mine"), open_storage(f"sqlite:///{tmp_path}/new/s.db"):
        raise ConfigError("mine")


def test_passwords_are_hidden() -> None:
    assert visible("postgresql://me:p%40ss@host:5/db") == "postgresql://me:***@host:5/db"
    assert (
        visible("postgresql://me@h/db?sslpassword=a&password=b") == "postgresql://me@h/db?password=***&sslpassword=***"
    )
    assert visible("journal:/a:b@c") == "journal:/a:b@c"
