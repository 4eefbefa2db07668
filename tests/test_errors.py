"""Errors are one line and say where, what, what was expected, and what to do."""

from __future__ import annotations

import pytest

from brevitas_a2q import errors


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_is_a_one_line_a2q_error(name: str) -> None:
    error = getattr(errors, name)("found\n  x", where="layer a", expected="y", remedy="do z")
    assert isinstance(error, errors.A2QError)
    assert str(error) == "layer a: found x; expected y; do z"
    assert error.where == "layer a"
