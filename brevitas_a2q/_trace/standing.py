"""Whether a model is still the one that was traced: its modules, their hooks, their numbers, the kinds of its inputs.

Looked at once for each run of the model, not for each of its layers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final
from weakref import ReferenceType, WeakKeyDictionary, ref

from torch import Tensor, nn

from brevitas_a2q._brevitas import BiasQuantProxyFromInjectorBase, WeightQuantProxyFromInjectorBase, _pytree
from brevitas_a2q._trace.calls import Call
from brevitas_a2q._trace.held import own_numbers
from brevitas_a2q._trace.memory import shape_of
from brevitas_a2q._trace.modules import foreign_hooks, parts_of
from brevitas_a2q._trace.quantizers import QUANTIZERS
from brevitas_a2q._trace.tracing import plain_tensor

__all__ = ["Case", "Standing"]

_OF_WEIGHTS: Final = (WeightQuantProxyFromInjectorBase, BiasQuantProxyFromInjectorBase)
_MOST_CASES: Final = 32  # that a model is remembered to have run in; a run in another is traced
_MOST_VALUES: Final = 4  # of a number; one that has had more counts something while the model trains


@dataclass(frozen=True, eq=False)
class Case:
    """What a call computes with besides tensors, and may go another way by."""

    inputs: tuple[Any, ...]  # their shapes and types: half precision rounds otherwise
    numbers: dict[str, Any]  # in the attributes of its modules, but for those that the call itself changes

    @classmethod
    def of(cls, call: Call) -> Case:
        """That of a call; of Brevitas' modules it is their types that count."""
        numbers: dict[str, Any] = {}
        for name, module in parts_of(call.module, (*QUANTIZERS, *_OF_WEIGHTS)):
            if not type(module).__module__.startswith("brevitas"):
                numbers.update(own_numbers(name, module))
        return cls(_kinds(call), numbers)

    def covers(self, other: Case) -> bool:
        """Whether what holds here holds there."""
        held = other.numbers
        return self.inputs == other.inputs and all(held.get(name) == value for name, value in self.numbers.items())


@dataclass(eq=False)
class _Run:
    """One run of a model, and the layers that have asked in it."""

    given: Any  # weak reference to the first tensor of the call
    structure: int
    case: Case
    asked: set[int] = field(default_factory=set)


_RUNS: WeakKeyDictionary[nn.Module, _Run] = WeakKeyDictionary()


@dataclass(eq=False)
class Standing:
    """What a trace was of.

    Example:
        >>> model = nn.Sequential(nn.ReLU())
        >>> standing = Standing.of(Call(model, (), {}))
        >>> standing.holds(Call(model, (), {}), asker=1)
        True
        >>> model[0] = nn.Tanh()
        >>> standing.holds(Call(model, (), {}), asker=1)
        False
    """

    model: ReferenceType[nn.Module]
    structure: int
    cases: tuple[Case, ...]
    drops: bool = (
        False  # whether some of its modules scale integers up while they train, to make up for those they drop
    )

    @classmethod
    def of(cls, call: Call) -> Standing:
        """The model as it is, in this call."""
        drops = any("drop" in type(module).__name__.lower() for module in call.module.modules())
        return cls(ref(call.module), _structure(call.module), (Case.of(call),), drops)

    def and_in(self, other: Standing) -> Standing:
        """The same model, in the other's cases as well; the range that was found holds in all of them."""
        both = replace(self, cases=(*self.cases, *other.cases)[-_MOST_CASES:])
        values: dict[str, set[Any]] = {}
        for case in both.cases:
            for name, value in case.numbers.items():
                values.setdefault(name, set()).add(value)
        both.leave_out([name for name, found in values.items() if len(found) > _MOST_VALUES])
        return both

    def leave_out(self, numbers: Iterable[str]) -> None:
        """Say that numbers are not to be looked at: those that the call itself changes, after which a trace looks."""
        for case in self.cases:
            for name in numbers:
                case.numbers.pop(name, None)

    def is_of(self, other: Standing) -> bool:
        """Whether both are of one model, unchanged."""
        return self.model() is other.model() and self.structure == other.structure

    def replaces(self, other: Standing) -> bool:
        """Whether the other was of the same model before it changed, or of one that is gone."""
        model = other.model()
        return model is None or (model is self.model() and self.structure != other.structure)

    def holds(self, call: Call | None, asker: int) -> bool:
        """Whether a call meets what was traced.

        A part of the model may run by itself (as where its activations are computed again), and a replica of it:
        of these, shapes say nothing.

        Args:
            call: That is running.
            asker: Some number of the layer that asks.
        """
        model = self.model()
        if call is None or getattr(call.module, "_is_replica", False):
            return True
        if model is None:
            return False
        if call.module is model:
            run = _run_of(call, asker)
            return run.structure == self.structure and any(case.covers(run.case) for case in self.cases)
        return any(part is call.module for part in model.modules()) and _structure(model) == self.structure


def _run_of(call: Call, asker: int) -> _Run:
    run, first = _RUNS.get(call.module), _first(call)
    if run is None or asker in run.asked or first is None or run.given() is not first:
        given = ref(first) if first is not None else lambda: None
        run = _RUNS[call.module] = _Run(given, _structure(call.module), Case.of(call))
    run.asked.add(asker)
    return run


def _structure(model: nn.Module) -> int:
    """A number that changes with the modules that make a layer's inputs, with their code, and with the user's hooks."""
    found: list[int] = []
    waiting = [model]
    while waiting:
        module = waiting.pop()
        kind = type(module)
        found += (id(module), id(kind), id(getattr(kind, "forward", None)), id(vars(module).get("forward")))
        if module._forward_hooks or module._forward_pre_hooks:
            found += map(id, foreign_hooks(module))
        for part in module._modules.values():
            if part is not None and not isinstance(part, _OF_WEIGHTS):
                waiting.append(part)
    return hash(tuple(found))


def _tensors(call: Call) -> list[Tensor]:
    leaves = _pytree.tree_leaves((call.args, call.kwargs), is_leaf=lambda leaf: plain_tensor(leaf) is not leaf)
    return [leaf for leaf in map(plain_tensor, leaves) if isinstance(leaf, Tensor)]


def _first(call: Call) -> Tensor | None:
    return next(iter(_tensors(call)), None)


def _kinds(call: Call) -> tuple[Any, ...]:
    return tuple((shape_of(tensor), tensor.dtype) for tensor in _tensors(call))
