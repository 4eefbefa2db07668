"""The estimator is imported without torch."""

from __future__ import annotations

import subprocess
import sys


def test_nothing_of_it_imports_torch() -> None:
    code = (
        "import sys; from brevitas_a2q import hw; [getattr(hw, n) for n in hw.__all__]; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
