"""Names that moved: what was public and is private now is found under its old name, with a warning, until 0.3.

A face is made by :func:`face`; names that it has lost are in a table here. Modules: 0.1 had no private ones, so
``from brevitas_a2q.train.restore import trained_network`` was as good as any import. What was
``brevitas_a2q.train.restore`` is ``brevitas_a2q.train._restore``; a module that has the name of a function in its face
stays callable. The finder below answers for modules of this package only. It goes with 0.3.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

import lazy_loader

__all__ = ["face"]

_PACKAGE = __name__.rpartition(".")[0]

# Names that a face has lost, with the module each lies in now; what a reader should use instead is in CHANGELOG.md.
_LEFT: Final = {
    "": {"accumulator_layers": "quant._layers"},
    "data": {"Data": "data._registry", "batches": "data._arrays", "load_digits": "data._digits"},
    "hw": {
        "POLICIES": "hw._policies",
        "Part": "hw._devices",
        "Resources": "hw._cost.result",
        "find_part": "hw._devices",
        "finn_estimate": "hw._finn.flow",
        "read_foldings": "hw._finn.folding_reader",
        "read_graph": "hw._frontend",
        "setfolding_curve": "hw._folding_curve",
        "synthesis_model": "hw._cost.model",
    },
    "models": {"MODELS": "models._registry", "PRETRAINED": "models._pretrained"},
    "quant": {"accumulator_layers": "quant._layers", "fuse_activations_": "quant._activations"},
    "report": {"image": "report._figures"},
    "rtl": {"additions": "rtl._witness", "build": "rtl._build", "find_simulator": "rtl._simulators"},
    "sweep": {
        "Space": "sweep._space",
        "find_study": "sweep._study",
        "open_storage": "sweep._storage",
        "pareto_front": "sweep._pareto",
        "run_sweep": "sweep._pool",
        "status_of": "sweep._status",
    },
    "train": {"RECIPES": "train._recipes", "accuracy": "train._loop", "seed_everything": "train._seeds"},
    "verify": {"read_certificate": "verify._certificate"},
}
_GONE: Final = {
    "train": {"TrainConfig": "give fit a Recipe, which has the same fields, and the seed beside it"},
}


def face(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """``__getattr__``, ``__dir__`` and ``__all__`` of a package whose names its ``__init__.pyi`` lists.

    Args:
        package: Its ``__name__``.
        file: Its ``__file__``.
    """
    get, names, public = lazy_loader.attach_stub(package, file)
    short = package.partition(".")[2]

    def found(name: str) -> Any:
        if name in _GONE.get(short, {}):
            raise ImportError(f"{package} has no {name} any more; {_GONE[short][name]}")
        if name not in _LEFT.get(short, {}):
            return get(name)
        there = f"{_PACKAGE}.{_LEFT[short][name]}"
        warnings.warn(f"{package}.{name} is private now, in {there}", DeprecationWarning, stacklevel=2)
        return getattr(importlib.import_module(there), name)

    return found, names, public


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
