"""What Python holds beside a model's tensors, and may decide what the next call computes.

Numbers and text in a module's attributes, in lists, dictionaries and objects there, in what its functions close over or
name, positions of iterators, and the state of Python's and NumPy's random numbers. It is looked for as far as a program
of ordinary make puts it: not in files, clocks, other processes, or behind more levels than a few.
"""

from __future__ import annotations

import functools
import operator
import random
from collections import deque
from collections.abc import Iterator
from types import FunctionType, GeneratorType, MethodType, ModuleType
from typing import Any, Final

import numpy as np
from torch import Tensor, nn

__all__ = ["held_numbers", "random_numbers"]

_NUMBERS: Final = (bool, int, float, complex, str, np.generic)
_DEEPEST: Final = 5  # levels below a module
_WIDEST: Final = 64  # elements of a container
_MOST: Final = 512  # things of a module
_KNOWN: Final = frozenset({"torch", "numpy", "brevitas", "brevitas_a2q", "builtins", "typing", "enum", "torchvision"})
_OWN: Final = frozenset(vars(nn.Module())) - {"training"}


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
    forward = getattr(type(module), "forward", None)
    if _package(type(module)) not in _KNOWN and isinstance(forward, FunctionType):
        waiting.append((f"{before}forward", forward, 0))
    seen: set[int] = set()
    while waiting and len(seen) < _MOST:
        where, value, depth = waiting.pop()
        if isinstance(value, _NUMBERS):
            yield where, value
        elif id(value) not in seen and not isinstance(value, (Tensor, nn.Module, ModuleType, type)):
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
    return operator.length_hint(value, -1) if hasattr(value, "__next__") and hasattr(value, "__length_hint__") else None


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
    elif _package(type(value)) not in _KNOWN:
        yield from ((f".{key}", inner) for key, inner in list(getattr(value, "__dict__", {}).items())[:_WIDEST])


def _named_by(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """What a function of the user's closes over, and its module's variables that it names."""
    if str(function.__module__).partition(".")[0] in _KNOWN:  # code that was executed as text has no module
        return
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield f": {name}", cell.cell_contents
        except ValueError:  # not filled yet
            continue
    for name in function.__code__.co_names:
        if name in function.__globals__:
            yield f": {name}", function.__globals__[name]


def random_numbers() -> Iterator[tuple[str, Any]]:
    """The states from which ``random`` and ``numpy.random`` draw."""
    yield "the numbers of random", hash(random.getstate())
    kind, keys, place, *_ = np.random.get_state(legacy=True)
    yield "the numbers of numpy.random", (kind, place, keys[0])


def _package(kind: type) -> str:
    return str(kind.__module__).partition(".")[0]
