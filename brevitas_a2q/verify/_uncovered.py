"""What a certificate of a model says nothing about, and why."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import brevitas.nn as qnn
from torch import nn

from brevitas_a2q._brevitas import QuantRecurrentStackBase
from brevitas_a2q._ranges import Value
from brevitas_a2q._trace import Product, Trace, quantized_layers
from brevitas_a2q.bounds import required_bit_width

__all__ = ["uncovered_parts"]

_FLOAT_LAYERS: Final = (nn.Linear, nn.Bilinear, nn.RNNBase, nn.MultiheadAttention, nn.modules.conv._ConvNd)
_ATTENTION: Final = (qnn.QuantMultiheadAttention, qnn.QuantScaledDotProductAttention)


def uncovered_parts(
    model: nn.Module, covered: Collection[str], reasons: Mapping[str, str], trace: Trace
) -> tuple[str, ...]:
    """Each as ``"name: reason"``.

    Args:
        model: The model that ran.
        covered: Names of the layers that a certificate speaks of.
        reasons: Why it does not speak of other layers.
        trace: What was seen while it ran.
    """
    quantized = dict(quantized_layers(model))
    idle = {name: "did not run on the example" for name in quantized if name not in covered}
    found = [f"{name}: {reason}" for name, reason in {**idle, **reasons}.items() if name in quantized]
    # Weights that are used by hand make a covered layer's certificate silent on that product.
    by_hand = {name: by for name, by in trace.by_hand.items() if name in quantized}
    found += [f"{name}: its weights are multiplied outside of it, in {by}" for name, by in by_hand.items()]
    spoken_of = set(quantized)
    for name, module in model.named_modules():
        said = None if module in quantized.values() else _of_module(module)
        if said is not None:
            found.append(f"{name or type(module).__name__}: {said}")
            spoken_of.add(name)
    found += dict.fromkeys(line for product in trace.products for line in _of_product(product, model, spoken_of))
    found += [f"{place}: reads values of the input, which may lead another one elsewhere" for place in trace.branches]
    found += [f"{place}: asks whether gradients are on, and does not run with them" for place in trace.asked]
    found += [
        f"{name}: the model changes it while it runs, and computes with it" for name in sorted(trace.doubts.tensors)
    ]
    found += [f"{name}: changes while the model runs, and may lead the next call elsewhere" for name in trace.counters]
    return tuple(found)


def _of_module(module: nn.Module) -> str | None:
    if isinstance(module, _FLOAT_LAYERS):
        return "float"
    if isinstance(module, _ATTENTION):
        return "products of two activations"
    return "recurrent" if isinstance(module, QuantRecurrentStackBase) else None


def _of_product(product: Product, model: nn.Module, spoken_of: Collection[str]) -> Iterator[str]:
    """A product that no layer computes, with what its types need."""
    owners = product.module.split(".")
    if any(".".join(owners[:n]) in spoken_of for n in range(len(owners) + 1) if product.module or n):
        return
    left, right = _kind(product.left), _kind(product.right)
    both = f"products of {left}" if left == right else f"products of {left} and {right}"
    both = "products of two activations" if left == right == "integers" else both
    text = f"{product.module or type(model).__name__}: {both} by {product.operation}, {product.size} in a sum"
    bits = _data_type_bound(product)
    yield text if bits is None else f"{text}; {bits} bits suffice by their types"


def _kind(value: Value) -> str:
    if value.codes is None:
        return "real numbers"
    return "quantized weights" if value.number is not None else "integers"


def _data_type_bound(product: Product) -> int | None:
    if product.left.codes is None or product.right.codes is None or not product.plain:
        return None
    (a, b), (c, d) = ((int(e.min()), int(f.max())) for e, f in (_ends(product.left), _ends(product.right)))
    corners = [x * y for x in (a, b, -a, -b) for y in (c, d)]
    return required_bit_width(min(0, product.size * min(corners)), max(0, product.size * max(corners)))


def _ends(value: Value) -> tuple[Any, Any]:
    assert value.codes is not None
    return value.codes.type_range() if value.number is not None else value.integer_ends()
