"""What happens to a model between its training and its certificate."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrize, prune

from benchmarks.adversary.models.generate import RandomNet, put, random_net, random_operations, random_quantizer

__all__ = ["CHANGES", "Changed", "changed", "train"]


@dataclass
class Changed:
    """A model as it is certified, the shape and type of its inputs, and what was said of it."""

    net: RandomNet
    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32
    autocast: bool = False
    said: Sequence[Any] = ()  # warnings
    names: list[str] = field(default_factory=list)  # of what has happened to it
    extreme: np.ndarray | None = None  # inputs that drove its sums to their ends, as it was before
    passing: list[Callable[[], Any]] = field(default_factory=list)  # take back what is not to stay

    def restore(self) -> None:
        """Take back half precision and hooks of the user's, after which no layer might be covered any more."""
        while self.passing:
            self.passing.pop()()
        self.names = [name for name in self.names if name not in _PASSING]

    def promises(self) -> bool:
        """Whether its quantizers promise anything: not where a warning takes it back."""
        return not any("nothing bounds its inputs any more" in str(warning.message) for warning in self.said)


class _Fourfold(nn.Module):
    def forward(self, x: Any) -> Any:
        return x + x + x + x


class _Times(nn.Module):
    """As often as a number of its own says."""

    times = 1

    def forward(self, x: Any) -> Any:
        return sum([x] * (self.times - 1), x)


def _load(it: Changed, rng: np.random.Generator, seed: int) -> None:
    fresh = random_net(seed)[0]
    if rng.random() < 0.5:  # into a model with quantizers of its own, that has run already
        for block in fresh.blocks:
            block.act = random_quantizer(rng)
        fresh(torch.randn(2, *it.shape[1:], dtype=it.dtype))
    fresh.load_state_dict(it.net.state_dict(), strict=False)
    it.net = fresh


def _copy(it: Changed, rng: np.random.Generator, seed: int) -> None:
    for block in it.net.blocks:
        block.record.calls = []
    fresh = random_net(seed)[0]  # hooks of a copy are of the original, so parts are copied into another
    for mine, other in zip(fresh.blocks, it.net.blocks, strict=True):
        mine.act, mine.part = copy.deepcopy(other.act), copy.deepcopy(other.part)
        mine.layer.load_state_dict(other.layer.state_dict())
    it.net = fresh


def _switch(it: Changed, rng: np.random.Generator, seed: int) -> None:
    for _ in range(2):
        it.net.eval()(torch.randn(1, *it.shape[1:], dtype=it.dtype))
        it.net.train()(torch.randn(2, *it.shape[1:], dtype=it.dtype))


def _by_data(it: Changed, rng: np.random.Generator, seed: int) -> None:
    for parameter in it.net.parameters():
        if rng.random() < 0.5:
            parameter.data.mul_(float(10 ** rng.uniform(-4, 4)))
        elif rng.random() < 0.3:
            parameter.data.add_(torch.randn_like(parameter) * float(10 ** rng.uniform(-3, 3)))


def _widths(it: Changed, rng: np.random.Generator, seed: int) -> None:
    for name, buffer in it.net.named_buffers():
        if ".act." in name and name.endswith("bit_width.value"):
            buffer.data.fill_(float(rng.integers(2, 9)))


def _swap(it: Changed, rng: np.random.Generator, seed: int) -> None:
    block = it.net.blocks[int(rng.integers(0, len(it.net.blocks)))]
    block.act = random_quantizer(rng)
    block.act(torch.randn(2, *it.shape[1:], dtype=it.dtype))


def _insert(it: Changed, rng: np.random.Generator, seed: int) -> None:
    it.net.blocks[int(rng.integers(0, len(it.net.blocks)))].part = _Fourfold()


def _otherwise(it: Changed, rng: np.random.Generator, seed: int) -> None:
    """The same modules, which compute something else from then on."""
    part = it.net.blocks[int(rng.integers(0, len(it.net.blocks)))].part
    kind = rng.integers(0, 3)
    if type(part) is not nn.Identity:
        return
    if kind == 0:
        part.__class__ = _Fourfold
    elif kind == 1:
        part.forward = _Fourfold().forward
    else:
        part.__class__ = _Times
        it.net(torch.randn(2, *it.shape[1:], dtype=it.dtype))
        part.times = 4


def _hook(it: Changed, rng: np.random.Generator, seed: int) -> None:
    block = it.net.blocks[int(rng.integers(0, len(it.net.blocks)))]
    kind = rng.integers(0, 4)
    if kind == 0:
        hook = block.layer.register_forward_pre_hook(lambda _, given: (given[0] + given[0], *given[1:]))
    elif kind == 1:
        hook = block.part.register_forward_hook(lambda _, __, y: y + y)
    elif kind == 2:
        kept: list[Any] = []
        hook = block.act.register_forward_hook(lambda _, __, y: kept.append(y))
    else:
        hook = block.act.act_quant.register_forward_hook(lambda _, __, y: y.set(value=y.value * 3.0))
    it.passing.append(hook.remove)


def _resize(it: Changed, rng: np.random.Generator, seed: int) -> None:
    sides = (int(rng.integers(3, 11)), int(rng.integers(3, 11)))
    it.shape = (*it.shape[:2], *(sides if rng.random() < 0.5 else (sides[0],) * 2))


def _halve(it: Changed, rng: np.random.Generator, seed: int) -> None:
    it.passing.append(functools.partial(_convert, it, it.dtype))
    _convert(it, torch.float16 if rng.random() < 0.5 else torch.bfloat16)


def _autocast(it: Changed, rng: np.random.Generator, seed: int) -> None:
    it.passing.append(lambda: setattr(it, "autocast", False))
    it.autocast = True


def _train_on(it: Changed, rng: np.random.Generator, seed: int) -> None:
    with torch.enable_grad():
        train(it, rng, 2, 1)


def _operations(it: Changed, rng: np.random.Generator, seed: int) -> None:
    for block in it.net.blocks:
        put(block, random_operations(rng, block.quantized))


def _prune(it: Changed, rng: np.random.Generator, seed: int) -> None:
    layer = it.net.blocks[int(rng.integers(0, len(it.net.blocks)))].layer
    if "weight" not in layer._parameters:
        return
    prune.l1_unstructured(layer, "weight", amount=float(rng.uniform(0.1, 0.9)))
    if rng.random() < 0.3:
        prune.remove(layer, "weight")


class _Adapter(nn.Module):
    """Weights and something of low rank, which was learned for them."""

    def __init__(self, shape: torch.Size, by: float) -> None:
        super().__init__()
        self.down, self.up = nn.Parameter(torch.randn(1, shape[1:].numel())), nn.Parameter(torch.randn(shape[0], 1))
        self.by = by

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + self.by * (self.up @ self.down).reshape(weight.shape)


def _parametrize(it: Changed, rng: np.random.Generator, seed: int) -> None:
    layer = it.net.blocks[int(rng.integers(0, len(it.net.blocks)))].layer
    if "weight" not in layer._parameters:  # it has been pruned, or is made of others already
        return
    if rng.random() < 0.5:
        nn.utils.parametrizations.weight_norm(layer, "weight")
        layer.parametrizations.weight.original0.mul_(float(10 ** rng.uniform(-2, 3)))
    else:
        adapter = _Adapter(layer.weight.shape, float(10 ** rng.uniform(-2, 3)))
        parametrize.register_parametrization(layer, "weight", adapter.to(layer.weight.dtype))


def _double(it: Changed, rng: np.random.Generator, seed: int) -> None:
    _convert(it, torch.float64)


def _convert(it: Changed, dtype: torch.dtype) -> None:
    it.dtype = dtype
    it.net.to(dtype)


CHANGES: Final[dict[str, Callable[[Changed, np.random.Generator, int], None]]] = {
    "loaded": _load,
    "copied": _copy,
    "modes switched": _switch,
    "parameters by data": _by_data,
    "bit widths by data": _widths,
    "quantizer swapped": _swap,
    "module inserted": _insert,
    "computes otherwise": _otherwise,
    "hooked": _hook,
    "other shapes": _resize,
    "trained on": _train_on,
    "other operations": _operations,
    "pruned": _prune,
    "parametrized": _parametrize,
    "double precision": _double,
    "half precision": _halve,
    "autocast": _autocast,
}
_PASSING: Final = ("half precision", "autocast", "hooked")


def train(it: Changed, rng: np.random.Generator, inputs: int, steps: int) -> None:
    """A few steps at any rate, on ordinary inputs."""
    optimizer = torch.optim.SGD(it.net.train().parameters(), lr=float(10 ** rng.uniform(-4, -1)))
    for _ in range(steps):
        optimizer.zero_grad()
        it.net(torch.randn(inputs, *it.shape[1:], dtype=it.dtype)).tanh().mean().backward()
        optimizer.step()


def changed(it: Changed, rng: np.random.Generator, seed: int, once: bool) -> None:
    """Change a model: once, or perhaps not at all, or twice."""
    count = 1 if once else int(rng.choice([0, 1, 2], p=[0.3, 0.5, 0.2]))
    for name in rng.choice(list(CHANGES), count, replace=False):
        it.names.append(str(name))
        with torch.no_grad():
            CHANGES[it.names[-1]](it, rng, seed)
