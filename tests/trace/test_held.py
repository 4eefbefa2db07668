"""What Python holds beside tensors: named where it changes while a model runs, and may decide the next call."""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from brevitas_a2q import Int8ProjectedA2QWeightPerChannelFloat, certify
from brevitas_a2q._trace.held import class_numbers
from brevitas_a2q.errors import ModelError

ZEROS = torch.zeros(2, 8)
CALLS, NUMBER = {"n": 0}, 0


def _globally(_: Any) -> int:
    CALLS["n"] += 1
    return CALLS["n"]


def _by_a_global_number(_: Any) -> int:
    global NUMBER
    NUMBER += 1
    return NUMBER


def _closed_over() -> Callable[[Any], int]:
    number = 0

    def count(_: Any) -> int:
        nonlocal number
        number += 1
        return number

    return count


def _in_a_list(net: Any) -> int:
    net.calls[0] += 1
    return int(net.calls[0])


def _in_an_object(net: Any) -> int:
    net.thing.n += 1
    return int(net.thing.n)


def _in_an_array(net: Any) -> int:
    net.array += 1
    return int(net.array[0])


def _by_length(net: Any) -> int:
    net.past.append(1)
    return len(net.past)


def _by_text(net: Any) -> int:
    net.text += "!"
    return len(net.text)


def _in_the_class(net: Any) -> int:
    type(net).of_class += 1
    return int(net.of_class)


def _in_an_objects_class(net: Any) -> int:
    Thing.n += 1
    return int(net.held.n)


def _by_default(_: Any, calls: list[int] = [0]) -> int:  # noqa: B006  # it is what is tested
    calls[0] += 1
    return calls[0]


def _in_a_function(_: Any) -> int:
    _in_a_function.n = getattr(_in_a_function, "n", 0) + 1  # type: ignore[attr-defined]
    return int(_in_a_function.n)  # type: ignore[attr-defined]


def _in_a_module(_: Any) -> int:
    ELSEWHERE.n += 1
    return int(ELSEWHERE.n)


def _inside_of_a_function(_: Any) -> int:
    CALLS["n"] += 1
    return max(CALLS["n"] for _ in range(1))


ELSEWHERE: Any = ModuleType("elsewhere")
ELSEWHERE.n = 0


class Thing:
    n = 0


HIDDEN: dict[str, Callable[[Any], int]] = {
    "a number of a class": _in_the_class,
    "a number of an object's class": _in_an_objects_class,
    "a default": _by_default,
    "a function": _in_a_function,
    "a module's variable": _in_a_module,
    "a function inside of a function": _inside_of_a_function,
    "a method": lambda net: net.method(),
    "a dictionary of the module's": _globally,
    "a number of the module's": _by_a_global_number,
    "what a function closes over": _closed_over(),
    "a list": _in_a_list,
    "an object": _in_an_object,
    "an array": _in_an_array,
    "a length": _by_length,
    "a text": _by_text,
    "an iterator": lambda net: next(net.iterator),
    "a count": lambda net: next(net.count),
    "a generator": lambda net: next(net.generator),
    "random": lambda _: random.randint(1, 9),
    "numpy.random": lambda _: int(np.random.randint(1, 9)),
    "a source of random numbers": lambda net: int(net.random.integers(1, 9)),
    "another of them": lambda net: net.other.randint(1, 9),
}
# What computes with numbers that may be others, too; the rest is named beside ranges of this run.
DECIDING = (
    *("an object", "an array", "a text", "an iterator", "a count"),
    *("a number of a class", "a number of an object's class", "a function"),
    *("random", "numpy.random", "a source of random numbers", "another of them"),
)


class Net(nn.Module):
    """A quantizer, its integers a number of times, and a layer."""

    of_class = 0

    def __init__(self, times: Callable[[Any], int]) -> None:
        super().__init__()
        self.act, self.times = qnn.QuantReLU(bit_width=3), times
        self.layer = qnn.QuantLinear(
            8, 4, False, weight_quant=Int8ProjectedA2QWeightPerChannelFloat, weight_accumulator_bit_width=12
        )
        self.calls, self.past, self.text, self.thing = [0], deque([0]), "", SimpleNamespace(n=0)
        self.array, self.iterator, self.count = np.zeros(1), iter(list(range(1, 99))), itertools.count(1)
        self.generator = (n for n in range(1, 99) if n)
        self.random, self.other, self.held = np.random.default_rng(0), random.Random(0), Thing()

    def method(self) -> int:
        return _by_a_global_number(self)

    def forward(self, x: Tensor) -> Any:
        x = self.act(x)
        return self.layer(sum([x] * (self.times(self) % 9 + 1)))


@pytest.mark.filterwarnings("ignore:layer")
@pytest.mark.parametrize("how", HIDDEN)
def test_what_counts_or_draws_is_named(how: str) -> None:
    torch.manual_seed(0)
    net = Net(HIDDEN[how])
    net(torch.randn(2, 8))
    if how in DECIDING:
        with pytest.raises(ModelError, match="layer layer: found an input whose integers cannot be bounded"):
            certify(net.eval(), ZEROS)
    else:
        said = certify(net.eval(), ZEROS).uncovered
        assert any("changes while the model runs" in text for text in said), said


def test_what_stays_is_not() -> None:
    net = Net(lambda net: len(net.calls) + net.thing.n)
    net(torch.randn(2, 8))
    assert certify(net.eval(), ZEROS).uncovered == ()


WEIGHTS = torch.arange(64.0).reshape(8, 8)
PRODUCTS: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "products, then their sum": lambda a, b: (a * b).sum(1),
    "products with constants, then their sum": lambda a, b: (a[:, None] * WEIGHTS).sum(-1),
    "products, moved and summed later": lambda a, b: (a * b).reshape(4, 4).relu().mean(),
    "bilinear": lambda a, b: F.bilinear(a, b, torch.ones(3, 8, 8)),
    "distances": torch.cdist,
    "sums over a batch of products": lambda a, b: torch.addbmm(torch.zeros(2, 2), a[None], b.T[None]),
    "vectors": lambda a, b: torch.vdot(a[0], b[0]),
    "Fourier transform": lambda a, b: torch.fft.irfft(torch.fft.rfft(a)),
    "sparse": lambda a, b: torch.sparse.mm(WEIGHTS.to_sparse(), a.T),
    "a system of equations": lambda a, b: torch.linalg.solve(WEIGHTS + 100 * torch.eye(8), a.T),
    "convolution in time": lambda a, b: torch.conv_tbc(a[:, :, None], torch.ones(1, 1, 4), torch.zeros(4)),
}


class Beside(nn.Module):
    def __init__(self, product: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.first, self.second, self.product = qnn.QuantReLU(bit_width=3), qnn.QuantReLU(bit_width=3), product
        self.layer = qnn.QuantLinear(
            8, 4, False, weight_quant=Int8ProjectedA2QWeightPerChannelFloat, weight_accumulator_bit_width=12
        )

    def forward(self, x: Tensor) -> Any:
        x = self.first(x)
        return self.layer(x), self.product(x, self.second(x - 1))


@pytest.mark.parametrize("product", PRODUCTS)
def test_products_that_no_layer_computes_are_named(product: str) -> None:
    net = Beside(PRODUCTS[product])
    net(torch.rand(2, 8) * 9)
    assert any("products of" in text for text in certify(net.eval(), ZEROS).uncovered)


def test_products_that_are_not_summed_are_none() -> None:
    net = Beside(lambda a, b: (a * b, a * WEIGHTS[1]))
    net(torch.rand(2, 8) * 9)
    assert certify(net.eval(), ZEROS).uncovered == ()


def test_compiled_models_are_certified_as_they_are_written() -> None:
    net = Beside(lambda a, b: a)
    net(torch.rand(2, 8) * 9)
    expected = certify(net.eval(), ZEROS)
    for model in (torch.compile(net, backend="eager"), net):
        assert certify(model, ZEROS).to_json() == expected.to_json()
    net.second = torch.compile(net.second, backend="eager")
    assert [layer.sums for layer in certify(net, ZEROS).layers] == [layer.sums for layer in expected.layers]


def test_code_that_was_executed_as_text_is_looked_into() -> None:
    """As the forward of every converted model is; such a function has no module."""
    names: dict[str, Any] = {"CALLS": {"n": 7}}
    exec("def forward(self, x):\n    return x * CALLS['n']", names)
    written = type("Written", (nn.Module,), {"forward": names["forward"], "__module__": None})
    assert dict(class_numbers(written))["Written.forward: CALLS['n']"] == 7
