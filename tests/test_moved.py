"""What is private now is found under its old name, with a warning: modules of 0.1, and names that faces have lost."""

from __future__ import annotations

import importlib
import sys

import pytest

import brevitas_a2q
from brevitas_a2q import _moved


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("brevitas_a2q.config", "brevitas_a2q._config"),
        ("brevitas_a2q.hw.ir", "brevitas_a2q.hw._ir"),
        ("brevitas_a2q.train.restore", "brevitas_a2q.train._restore"),
        ("brevitas_a2q.hw.finn.flow", "brevitas_a2q.hw._finn.flow"),
        ("brevitas_a2q.quant.quantizers", "brevitas_a2q.quant._quantizers"),
    ],
)
def test_old_names_are_the_same_modules(old: str, new: str) -> None:
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match="is private now"):
        module = importlib.import_module(old)
    assert module is importlib.import_module(new)
    assert module.__spec__ is not None
    assert module.__spec__.name == new  # as the import system made it


@pytest.mark.parametrize("name", ["brevitas_a2q.nothing", "brevitas_a2q.hw.nothing", "brevitas_a2q._nothing"])
def test_modules_that_never_were_are_not_found(name: str) -> None:
    with pytest.raises(ModuleNotFoundError, match="nothing"):
        importlib.import_module(name)


def test_an_old_module_does_not_hide_a_name_of_the_face() -> None:
    sys.modules.pop("brevitas_a2q.verify.certify", None)
    with pytest.warns(DeprecationWarning, match="is private now"):
        importlib.import_module("brevitas_a2q.verify.certify")
    assert callable(brevitas_a2q.certify)
    from brevitas_a2q.verify import certify

    assert callable(certify)


@pytest.mark.parametrize(("face", "name"), [(face, name) for face, names in _moved._LEFT.items() for name in names])
def test_a_name_that_a_face_has_lost_is_where_the_table_says(face: str, name: str) -> None:
    package = importlib.import_module(f"brevitas_a2q.{face}".rstrip("."))
    with pytest.warns(DeprecationWarning, match=f"{name} is private now, in brevitas_a2q.{_moved._LEFT[face][name]}"):
        found = getattr(package, name)
    assert found is getattr(importlib.import_module(f"brevitas_a2q.{_moved._LEFT[face][name]}"), name)
    assert name not in dir(package)


@pytest.mark.parametrize(("face", "name"), [(face, name) for face, names in _moved._GONE.items() for name in names])
def test_a_name_that_is_gone_says_what_to_use_instead(face: str, name: str) -> None:
    package = importlib.import_module(f"brevitas_a2q.{face}")
    with pytest.raises(ImportError, match=f"has no {name} any more; give "):
        getattr(package, name)
