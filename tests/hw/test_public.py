"""Names at the top of the package: all there, imported on first use, without torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from brevitas_a2q import hw


def test_every_public_name_is_there_and_documented() -> None:
    for name in hw.__all__:
        thing = getattr(hw, name)
        assert name == "POLICIES" or (thing.__doc__ or "").strip(), name
    assert dir(hw) == sorted(hw.__all__)


def test_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(hw.__file__).read_text(encoding="utf-8"))
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    named = {
        alias.name: node.module for node in guarded.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert named == hw._NAMES


def test_nothing_of_it_imports_torch() -> None:
    code = (
        "import sys; from brevitas_a2q import hw; [getattr(hw, n) for n in hw.__all__]; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
