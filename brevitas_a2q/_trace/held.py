"""What Python holds beside a model's tensors, and may decide what the next call computes.

Numbers and text in a module's attributes and its class, in lists, dictionaries and objects there, in what functions
close over, name, or have as defaults, positions of iterators, and the state of Python's and NumPy's random numbers. It
is looked for as far as a program of ordinary make puts it: not in files, clocks, other processes, or behind more levels
than a few.
"""

from __future__ import annotations

import functools
import operator
import random
from collections import deque
from collections.abc import Iterator
from types import CodeType, FunctionType, GeneratorType, MethodType, ModuleType
from typing import Any, Final

import numpy as np
from torch import Tensor, nn

__all__ = ["class_numbers", "held_numbers", "own_numbers", "random_numbers"]

_NUMBERS: Final = (bool, int, float, complex, str, np.generic)
_DEEPEST: Final = 5  # levels below a module
_WIDEST: Final = 64  # elements of a container
_MOST: Final = 512  # things of a module
_SHORT: Final = 16  # elements of a container that is looked at in each run
_KNOWN: Final = frozenset({"torch", "numpy", "brevitas", "brevitas_a2q", "builtins", "typing", "enum", "torchvision"})
_OWN: Final = frozenset(vars(nn.Module())) - {"training"}
_ABOUT_CLASSES: Final = frozenset(
    ("__module__", "__doc__", "__qualname__", "__annotations__", "__dict__", "__weakref__", "__init__", "__new__")
)


def held_numbers(name: str, module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Numbers and text that a module holds, by where they are; of other modules inside of it nothing.

    Args:
        name: Of the module.
        module: Not one of TorchScript.

    Example:
        >>> module = nn.Identity()
        >>> module.calls = {"done": [3]}
        >>> dict(held_numbers("", module))["calls['done'][0]"]
        3
    """
    before = f"{name}." if name else ""
    waiting = [(before + key, value, 0) for key, value in vars(module).items() if key not in _OWN]
    return _numbers_among(waiting)


def own_numbers(name: str, module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Those in a module's own attributes, and in short lists and dictionaries there, but for its mode; quickly.

    Example:
        >>> sorted(name for name, _ in own_numbers("pool", nn.MaxPool2d(2)))
        ['pool.ceil_mode', 'pool.dilation', 'pool.kernel_size', 'pool.padding', 'pool.return_indices', 'pool.stride']
    """
    before = f"{name}." if name else ""
    for key, value in vars(module).items():
        if isinstance(value, _NUMBERS):
            if key != "training":
                yield before + key, value
        elif type(value) in (list, tuple, dict) and 0 < len(value) <= _SHORT and key not in _OWN:
            inside = ((f"{before}{key}{where}", inner) for where, inner in _inside(value))
            yield from ((where, inner) for where, inner in inside if isinstance(inner, _NUMBERS))


def class_numbers(kind: type) -> Iterator[tuple[str, Any]]:
    """Numbers and text that a class of the user's holds, those of its bases among them, and that its methods name.

    Example:
        >>> Counted = type("Counted", (nn.Identity,), {"__module__": "users", "calls": 7})
        >>> dict(class_numbers(Counted))["Counted.calls"]
        7
    """
    return _numbers_among([(f"{kind.__name__}.{key}", value, 0) for key, value in _of_class(kind)])


def _of_class(kind: type) -> Iterator[tuple[str, Any]]:
    for each in kind.__mro__:
        if _package(each) not in _KNOWN:
            yield from ((key, value) for key, value in vars(each).items() if key not in _ABOUT_CLASSES)


def _numbers_among(waiting: list[tuple[str, Any, int]]) -> Iterator[tuple[str, Any]]:
    """Of values by where they are and on which level, and of what they hold."""
    seen: set[int] = set()
    while waiting and len(seen) < _MOST:
        where, value, depth = waiting.pop()
        if isinstance(value, _NUMBERS):
            yield where, value
        elif id(value) not in seen and not isinstance(value, (Tensor, nn.Module, ModuleType)):
            seen.add(id(value))
            position = _position(value)
            if position is not None:
                yield where, position
            elif depth < _DEEPEST:
                waiting += [(where + key, inner, depth + 1) for key, inner in _inside(value)]
                if isinstance(value, (list, deque, set)):
                    yield f"len({where})", len(value)


def _position(value: Any) -> Any:
    """A number that tells how far an iterator is, or what an array or a source of random numbers holds."""
    if isinstance(value, np.ndarray):
        return value.tobytes() if value.nbytes < 1 << 20 and value.dtype.kind in "biufc" else None
    if isinstance(value, random.Random):
        return hash(value.getstate())
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    if type(value).__module__ == "itertools":
        return repr(value)
    kind = type(value)  # of which no attribute is computed
    return operator.length_hint(value, -1) if hasattr(kind, "__next__") and hasattr(kind, "__length_hint__") else None


def _inside(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from ((f"[{str(key)[:40]!r}]", inner) for key, inner in list(value.items())[:_WIDEST])
    elif isinstance(value, (list, tuple, deque)):
        yield from ((f"[{place}]", inner) for place, inner in enumerate(list(value)[:_WIDEST]))
    elif isinstance(value, GeneratorType):
        if value.gi_frame is not None:
            yield from ((f": {name}", inner) for name, inner in value.gi_frame.f_locals.items())
            yield ": line", value.gi_frame.f_lasti
    elif isinstance(value, functools.partial):
        yield from (("()", value.func), ("()", value.args), ("()", value.keywords))
    elif isinstance(value, MethodType):
        yield from (("", value.__self__), ("", value.__func__))
    elif isinstance(value, FunctionType):
        yield from _named_by(value)
    elif isinstance(value, type):
        yield from ((f".{key}", inner) for key, inner in _of_class(value))
    elif isinstance(value, (staticmethod, classmethod)):
        yield "", value.__func__
    elif isinstance(value, property):
        yield from (("", function) for function in (value.fget, value.fset))
    elif _package(type(value)) not in _KNOWN:
        yield from ((f".{key}", inner) for key, inner in _of_class(type(value)))
        yield from ((f".{key}", inner) for key, inner in list(getattr(value, "__dict__", {}).items())[:_WIDEST])


def _named_by(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """What a function of the user's closes over and has as defaults, and variables of modules that it names."""
    if str(function.__module__).partition(".")[0] in _KNOWN:  # code that was executed as text has no module
        return
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield f": {name}", cell.cell_contents
        except ValueError:  # not filled yet
            continue
    yield from ((": defaults", value) for value in (function.__defaults__, function.__kwdefaults__) if value)
    yield from ((f".{key}", value) for key, value in vars(function).items() if key != "__wrapped__")
    yield from (("", value) for key, value in vars(function).items() if key == "__wrapped__")
    names = _names(function.__code__)
    for name in names:
        found = function.__globals__.get(name)
        if isinstance(found, ModuleType) and found.__name__.partition(".")[0] not in _KNOWN:
            yield from ((f": {name}.{key}", vars(found)[key]) for key in names if key in vars(found))
        elif found is not None:
            yield f": {name}", found


def _names(code: CodeType) -> list[str]:
    """Names that code uses, that of functions inside of it among it."""
    inner = [name for part in code.co_consts if isinstance(part, CodeType) for name in _names(part)]
    return list(dict.fromkeys((*code.co_names, *inner)))


def random_numbers() -> Iterator[tuple[str, Any]]:
    """The states from which ``random`` and ``numpy.random`` draw."""
    yield "the numbers of random", hash(random.getstate())
    kind, keys, place, *_ = np.random.get_state(legacy=True)
    yield "the numbers of numpy.random", (kind, place, keys[0])


def _package(kind: type) -> str:
    return str(kind.__module__).partition(".")[0]
