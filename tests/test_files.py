"""Files are whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from brevitas_a2q._files import write_atomically


@pytest.mark.parametrize("content", ["ä", b"\xc3\xa4"])
def test_text_and_bytes_arrive(content: str | bytes, tmp_path: Path) -> None:
    write_atomically(tmp_path / "a.txt", content)
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "ä"


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(target, "\udc80")
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
