"""Stop looking for a while: modes of PyTorch, left and entered again from hooks that no ``with`` can enclose."""

from __future__ import annotations

from typing import Any

from brevitas_a2q._brevitas import _get_current_dispatch_mode, _get_current_function_mode

__all__ = ["Pause"]


class Pause:
    """Leaves modes that are the innermost of their kind; others stay, and see what they would have seen.

    Args:
        function: The mode that sees calls.
        dispatch: The mode that sees operations.
    """

    def __init__(self, function: Any, dispatch: Any) -> None:
        self._modes = (function, _get_current_function_mode), (dispatch, _get_current_dispatch_mode)
        self._left: list[Any] = []

    def begin(self) -> None:
        """Leave the modes."""
        for mode, innermost in self._modes:
            if innermost() is mode:
                mode.__exit__(None, None, None)
                self._left.append(mode)

    def end(self) -> None:
        """Enter again what was left."""
        while self._left:
            self._left.pop().__enter__()
