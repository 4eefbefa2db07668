"""Functions by name: found in the current folder, and told apart from what is none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from brevitas_a2q._named import is_named_function, named_function
from brevitas_a2q.errors import ConfigError


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the current folder."""
    name = f"mine_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text("def build():\n    return 7\n\nconstant = 3\n")
    (tmp_path / "broken_module_of_mine.py").write_text("import no_such_module_at_all\n")
    monkeypatch.chdir(tmp_path)
    return name


def test_a_function_in_the_current_folder(mine: str) -> None:
    before = list(sys.path)
    assert named_function(f"{mine}:build", "model")() == 7
    assert sys.path == before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module:build", "model x: found no module 'no_such_module'.*was looked in"),
        ("broken_module_of_mine:build", "importing 'broken_module_of_mine' failed .*no_such_module_at_all"),
        ("math:hypo", "found no function 'hypo' in 'math'; did you mean 'hypot'"),
        ("math:pi", "found no function 'pi'"),
    ],
)
def test_what_is_refused(name: str, message: str, mine: str) -> None:
    with pytest.raises(ConfigError, match=message):
        named_function(name, "model x")


@pytest.mark.parametrize("name", ["resnet18", "torchvision:", ":build", "a/b:c", "http://x:80", "a..b:c"])
def test_other_names(name: str) -> None:
    assert not is_named_function(name)
