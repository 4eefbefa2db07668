"""What a model holds when it is called, and what of that a call changes: the next one computes with other numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor, nn

from brevitas_a2q._trace.held import class_numbers, held_numbers, random_numbers
from brevitas_a2q._trace.leaves import leaves
from brevitas_a2q._trace.memory import Memory, address
from brevitas_a2q._trace.modules import parts_of

__all__ = ["NOTHING", "Doubts", "State", "own_tensors"]

# Attributes and random numbers; an element of a container may just be a record.
_DECIDING: Final = re.compile(r"[\w.]+|the numbers of .*")
# Of nn.Module itself; hooks and parts have their own ways to be seen.
_OWN: Final = frozenset(vars(nn.Module())) - {"training"}


def own_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Every tensor that a model's modules hold, parameters and buffers or not, by name."""
    found: dict[str, Tensor] = {}
    for name, module in parts_of(model):
        before = f"{name}." if name else ""
        for key, tensor in _registered(module):
            if tensor is not None:
                found[before + key] = tensor
        for key, value in _attributes(module):
            for place, leaf in enumerate([value] if isinstance(value, Tensor) else leaves(value)):
                if isinstance(leaf, Tensor):
                    found[f"{before}{key}[{place}]"] = leaf
    return found


def _registered(module: nn.Module) -> Iterator[tuple[str, Tensor | None]]:
    if isinstance(module, torch.jit.ScriptModule):
        yield from module.named_parameters(recurse=False)
        yield from module.named_buffers(recurse=False)
    else:
        yield from module._parameters.items()
        yield from module._buffers.items()


def _attributes(module: nn.Module) -> Iterator[tuple[str, Any]]:
    held = () if isinstance(module, torch.jit.ScriptModule) else tuple(vars(module).items())
    for key, value in held:
        if key not in _OWN and isinstance(value, (Tensor, list, tuple, dict)):
            yield key, value


@dataclass(frozen=True)
class Doubts:
    """What a model computes with that another call may find changed.

    Example:
        >>> (Doubts(frozenset({"a"})) | Doubts(numbers=True)).numbers
        True
    """

    tensors: frozenset[str] = frozenset()  # names of those that it holds
    numbers: bool = False  # those of Python

    def __or__(self, other: Doubts) -> Doubts:
        return Doubts(self.tensors | other.tensors, self.numbers or other.numbers)


NOTHING: Final = Doubts()


@dataclass(frozen=True, eq=False)
class State:
    """A model as it is before a call.

    Example:
        >>> model = nn.Identity()
        >>> model.calls = 0
        >>> before = State.of(model, ())
        >>> model.calls = 1
        >>> before.doubts((), Memory(), before.other_numbers(model, ()), reads=False, numbers_matter=True)
        Doubts(tensors=frozenset(), numbers=True)
    """

    tensors: dict[str, tuple[int, Tensor]] = field(default_factory=dict)  # and where they are, by name
    numbers: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, model: nn.Module, silent: tuple[type, ...], own: dict[str, Tensor] | None = None) -> State:
        """The state of a model; of ``silent`` modules no numbers, which count their own steps.

        Args:
            model: As it is.
            silent: Kinds of modules.
            own: Its tensors, where they are known already.
        """
        tensors = own_tensors(model) if own is None else own
        return cls({name: (address(tensor), tensor) for name, tensor in tensors.items()}, dict(_numbers(model, silent)))

    def changed(self, model: nn.Module, memory: Memory) -> frozenset[str]:
        """Names of tensors that the call has written, or replaced by others than constants of the same numbers.

        Args:
            model: As it is behind the call.
            memory: What the call wrote.
        """
        after = own_tensors(model)

        def stays(name: str, place: int, before: Tensor) -> bool:
            now = after.get(name)
            if now is None or address(before) != place or memory.was_written(before):
                return False
            return address(now) == place or (memory.is_constant(now) and _equal(before, now))

        return frozenset(name for name, (place, before) in self.tensors.items() if not stays(name, place, before))

    def doubts(
        self, changed: Iterable[str], memory: Memory, numbers: Iterable[str], reads: bool, numbers_matter: bool
    ) -> Doubts:
        """What of the state was used in the call, and is not as it was.

        Args:
            changed: Names of tensors, of :meth:`changed`.
            memory: What the call read.
            numbers: Names of those that the call has changed, of :meth:`other_numbers`.
            reads: Whether the call read values as numbers of Python.
            numbers_matter: Whether it computed with such numbers.
        """
        used = frozenset(name for name in changed if memory.was_used(self.tensors[name][0]))
        others = any(map(_DECIDING.fullmatch, numbers))
        return Doubts(used, numbers_matter and (reads or others))

    def other_numbers(self, model: nn.Module, silent: tuple[type, ...]) -> Iterator[str]:
        """Names of the numbers that modules have changed in the call; they may have decided what it computes."""
        numbers = dict(_numbers(model, silent))
        yield from (name for name, value in self.numbers.items() if name in numbers and not _same(numbers[name], value))


def _numbers(model: nn.Module, silent: tuple[type, ...]) -> Iterator[tuple[str, Any]]:
    yield from random_numbers()
    kinds: dict[type, None] = {}
    for name, module in parts_of(model, silent):
        if not isinstance(module, (torch.jit.ScriptModule, *silent)):
            kinds[type(module)] = None
            yield from held_numbers(name, module)
    for kind in kinds:
        yield from class_numbers(kind)


def _equal(first: Tensor, second: Tensor) -> bool:
    return (first.dtype, first.device) == (second.dtype, second.device) and torch.equal(first, second)


def _same(first: Any, second: Any) -> bool:
    return first is second or (type(first) is type(second) and first == second) or (first != first and second != second)
