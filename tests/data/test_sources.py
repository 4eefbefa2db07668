"""Archives that are damaged, or made to be so: always one error that names the file."""

from __future__ import annotations

import io
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest

from brevitas_a2q.data._sources import read_npz
from brevitas_a2q.errors import DataError


def archive(path: Path, header: bytes | None = None) -> Path:
    stored = io.BytesIO()
    np.save(stored, np.arange(64, dtype=np.uint8))
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x.npy", stored.getvalue() if header is None else header)
    return path


def marked(path: Path, local: int, central: int, value: int) -> Path:
    """The archive with a byte of both headers of its member set."""
    content = bytearray(archive(path).read_bytes())
    content[content.find(b"PK\x03\x04") + local] = value
    content[content.find(b"PK\x01\x02") + central] = value
    path.write_bytes(content)
    return path


def test_encrypted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.npz: cannot be read \(.*encrypted"):
        read_npz(marked(tmp_path / "a.npz", 6, 8, 1))


def test_unknown_compression(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.npz: cannot be read \(.*compression"):
        read_npz(marked(tmp_path / "a.npz", 8, 10, 99))


def test_a_member_that_is_no_array(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.npz: found x.*, which is no array"):
        read_npz(archive(tmp_path / "a.npz", b"anything"))


def test_objects_are_not_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.array([{}], dtype=object))
    with pytest.raises(DataError, match=r"a\.npz: cannot be read \(Object arrays cannot be loaded"):
        read_npz(tmp_path / "a.npz")


@pytest.mark.filterwarnings("ignore")  # numpy's of headers
def test_changed_headers_of_an_array(tmp_path: Path) -> None:
    with zipfile.ZipFile(archive(tmp_path / "whole.npz")) as file:
        whole = file.read("x.npy")
    draw, refused = random.Random(0), 0
    for _ in range(200):
        header = bytearray(whole)
        for _ in range(draw.choice((1, 2, 5))):
            header[draw.randrange(128)] = draw.choice(b"('{9\n\0" + bytes([draw.randrange(256)]))
        try:
            read_npz(archive(tmp_path / "a.npz", bytes(header)))
        except DataError:
            refused += 1
    assert refused > 100
