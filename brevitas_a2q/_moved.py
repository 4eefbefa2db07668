"""Imports of 0.1 that named a module which is private now: they find it, and warn.

0.1 had no private modules, so ``from brevitas_a2q.train.restore import trained_network`` was as good as any import.
What was ``brevitas_a2q.train.restore`` is ``brevitas_a2q.train._restore``, and its name is in the face of its package,
``from brevitas_a2q.train import trained_network``. A module that has the name of a function in its face stays callable.
The finder below answers for modules of this package only. It goes with 0.3.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__: list[str] = []

_PACKAGE = __name__.rpartition(".")[0]


def _private(name: str) -> str | None:
    """The module's name today: one of the parts behind the package has an underscore in front."""
    parts = name.split(".")[1:]
    for place in range(min(2, len(parts))):
        there = ".".join([_PACKAGE, *parts[:place], f"_{parts[place]}", *parts[place + 1 :]])
        try:
            if importlib.util.find_spec(there) is not None:
                return there
        except ModuleNotFoundError:
            continue
    return None


class _Callable(ModuleType):
    """A module that is in the way of the function of its name."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self.__dict__[self.__name__.rpartition(".")[2]](*arguments, **options)


class _Forward(Loader):
    def __init__(self, name: str) -> None:
        self._module = importlib.import_module(name)
        self._spec = self._module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        own = spec.name.rpartition(".")[2]
        if not callable(getattr(self._module, own, None)):
            return self._module
        stand_in = _Callable(spec.name)
        stand_in.__dict__.update(vars(self._module), __name__=spec.name)
        return stand_in

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # the import system has put its own in the way


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(f"{_PACKAGE}.") or "._" in fullname:
            return None
        there = _private(fullname)
        if there is None:
            return None
        warnings.warn(
            f"{fullname} is private now; import what you need of it from {fullname.rpartition('.')[0]}",
            DeprecationWarning,
            stacklevel=2,
        )
        return ModuleSpec(fullname, _Forward(there))


# In front of the finder of files, which would make a second copy of what lies in a package with an old name.
sys.meta_path.insert(0, _Finder())
