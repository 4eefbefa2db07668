"""Injectors that Brevitas makes while it builds a layer can be pickled, and with them whole models.

A layer keeps the class that its quantizers were made by, and derives a new one for its keyword arguments. Such a class
has no module to be found in, so ``torch.save(model)`` failed for every Brevitas layer. It is written as its name, its
bases and what it adds to them; classes of modules are written by name, as all classes are.
"""

from __future__ import annotations

import copyreg
import sys
from typing import Any

from brevitas_a2q._brevitas import ExtendedInjector

__all__ = ["make_injector"]

_KIND: Any = type(ExtendedInjector)


def make_injector(name: str, bases: tuple[Any, ...], settings: dict[str, Any]) -> Any:
    """The class of injectors with these settings, as it is read."""
    return _KIND(name, bases, settings)


def _written(injector: Any) -> str | tuple[Any, ...]:
    """What ``pickle`` makes of an injector: its name, or how to make it."""
    name = str(injector.__qualname__)
    if vars(sys.modules.get(injector.__module__, object)).get(name) is injector:
        return name
    inherited: dict[str, Any] = {}
    for base in reversed(injector.__bases__):
        inherited.update(base.__dependencies__)
    own = {
        name: _setting(spec)
        for name, spec in injector.__dependencies__.items()
        if inherited.get(name) is not spec and name != "__parent__"
    }
    return make_injector, (injector.__name__, injector.__bases__, own)


def _setting(spec: tuple[Any, ...]) -> Any:
    """What was given for a name; the injector keeps values in functions that return them, and functions as they are."""
    closure = getattr(spec[1], "__closure__", None)
    return closure[0].cell_contents if closure else spec[1]


copyreg.pickle(_KIND, _written)
