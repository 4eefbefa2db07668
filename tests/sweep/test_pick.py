"""From a sweep to one run's files, which replace nobody else's."""

from __future__ import annotations

from pathlib import Path

import pytest

from brevitas_a2q.errors import ExportError, SweepError
from brevitas_a2q.sweep._pick import FILES, copy_files


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Folder of a finished run."""
    folder = tmp_path / "run"
    folder.mkdir()
    for what, name in FILES.items():
        if what != "network":
            (folder / name).write_text(f"{name} of the run")
    checkpoint = folder / FILES["network"] / "quantized-00001"
    checkpoint.mkdir(parents=True)
    (checkpoint / "state.json").write_text("of the run")
    return folder


def test_files_are_copied_and_replaced_by_those_of_another_pick(run: Path, tmp_path: Path) -> None:
    assert copy_files(run, None) == {what: run / name for what, name in FILES.items()}
    checkpoint = run / FILES["network"] / "quantized-00001"
    for text in ("first", "second"):
        (run / FILES["file"]).write_text(text)
        checkpoint = checkpoint.rename(checkpoint.with_name(text))
        found = copy_files(run, tmp_path / "best")
        assert found["file"].read_text() == text
        assert set(found) == set(FILES)
        assert [path.name for path in found["network"].iterdir()] == [text]


def test_files_of_something_else_stay(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / FILES["file"]).write_text("mine")
    with pytest.raises(ExportError, match=r"found network\.onnx of something else"):
        copy_files(run, other)
    assert [(path.name, path.read_text()) for path in other.iterdir()] == [(FILES["file"], "mine")]


def test_a_run_that_is_not_here_is_named(tmp_path: Path) -> None:
    with pytest.raises(SweepError, match="holds no finished run"):
        copy_files(tmp_path, None)
