"""One case: a random model, trained a few steps on ordinary inputs, certified, and driven to its extremes.

What is judged is what each layer's accumulator then meets, in integers, by the judge that the attack on files uses too
(:mod:`benchmarks.adversary.judges`), which shares no code with the package: the promise of the quantizer at the target
width, and the range that the certificate names.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from benchmarks.adversary.judges.integers import partial_sums, search
from benchmarks.adversary.models.generate import random_net
from brevitas_a2q import certify
from brevitas_a2q.errors import A2QError

__all__ = ["attack"]

_STEPS = 2  # of training


def attack(seed: int, rounds: int = 3, width: int = 32) -> dict[str, Any]:
    """The verdict on one seed, as a line of the results."""
    torch.set_num_threads(1)
    line = {
        "seed": seed,
        "outcome": "",
        "detail": "",
        "used": [],
        "judged_by": [],
        "layers": 0,
        "covered": 0,
        "inputs": 0,
        "tightest": 0.0,
        "silent": [],
    }
    try:
        net, shape, rng = random_net(seed)
        line["used"] = sorted({kind for block in net.blocks for kind in block.kinds})
        line["layers"] = len(net.blocks)
        try:
            _train(net, shape, rng)
        except A2QError as error:
            return {**line, "outcome": "refused", "detail": str(error)[:300]}
        except RuntimeError as error:  # shapes that do not fit, or what Brevitas does not compute
            return {**line, "outcome": "not executable", "detail": str(error)[:300]}
        return _judge(net, shape, rng, rounds, width, line)
    except Exception:
        return {**line, "outcome": "CRASH", "detail": traceback.format_exc()[-1500:]}


def _train(net: Any, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    optimizer = torch.optim.SGD(net.parameters(), lr=float(10 ** rng.uniform(-4, -1)))
    for _ in range(_STEPS):
        optimizer.zero_grad()
        net(torch.randn(2, *shape[1:])).tanh().mean().backward()
        optimizer.step()


def _judge(
    net: Any, shape: tuple[int, ...], rng: np.random.Generator, rounds: int, width: int, line: dict[str, Any]
) -> dict[str, Any]:
    net.eval()
    try:
        certificate = certify(net, torch.zeros(shape))
        claims = {layer.name: layer for layer in certificate.layers}
        reasons = dict(text.split(": ", 1) for text in certificate.uncovered)
    except A2QError as error:
        claims, reasons, line["detail"] = {}, {}, str(error)[:300]
    except RuntimeError as error:  # Brevitas' own, of the model on this input
        return {**line, "outcome": "not executable", "detail": str(error)[:300]}
    names = [f"blocks.{index}.layer" for index in range(len(net.blocks))]
    line["covered"] = sum(name in claims for name in names)
    line["silent"] = [reasons.get(name, "") for name in names if name not in claims]
    line["judged_by"] = ["integers"]
    broken: list[str] = []

    def scores(x: np.ndarray) -> list[np.ndarray]:
        line["inputs"] += len(x)
        with torch.no_grad():
            net(torch.from_numpy(x).clamp(-1e30, 1e30))
        return [
            score
            for name, block in zip(names, net.blocks, strict=True)
            for score in _compared(name, block, claims.get(name), len(x), line, broken)
        ]

    try:
        search(scores, shape[1:], rng, rounds, width)
    except A2QError as error:
        return {**line, "outcome": "refused", "detail": str(error)[:300]}
    except RuntimeError as error:
        line["detail"] = str(error)[:300]
    if broken:
        return {**line, "outcome": "VIOLATION", "detail": broken[0]}
    return {**line, "outcome": "certified" if claims else "refused"}


def _compared(
    name: str, block: Any, claim: Any, inputs: int, line: dict[str, Any], broken: list[str]
) -> Iterator[np.ndarray]:
    """Hold what a layer meets against its accumulator and its certificate; how far its sums are driven, down and up."""
    found = [sums for call in block.calls if (sums := _sums(block, call)) is not None]
    if not found:
        yield from (np.full(inputs, -np.inf), np.full(inputs, -np.inf))
        return
    lows, highs = (np.stack([each[end] for each in found]).reshape(-1, found[0][0].shape[-1]) for end in (0, 1))
    low, high = lows.min(), highs.max()
    quantizer = block.layer.weight_quant
    bits = quantizer.accumulator_bit_width
    if quantizer.accumulator_tile is None and (high > 2 ** (bits - 1) - 1 or low < -(2 ** (bits - 1))):
        broken.append(f"{name}: [{low:g}, {high:g}] in {bits} bits")
    if claim is not None:
        ends = claim.outer or claim.sums
        channels = lows.shape[-1]
        lower = np.array(ends.lower, float).reshape(channels, -1).min(axis=1)
        upper = np.array(ends.upper, float).reshape(channels, -1).max(axis=1)
        if (lows < lower).any() or (highs > upper).any():
            broken.append(f"{name}: [{low:g}, {high:g}] beyond [{lower.min():g}, {upper.max():g}]")
        share = max(high / max(1, upper.max()), low / min(-1, lower.min()))
        line["tightest"] = max(line["tightest"], float(share))
    each = [(-low.min(axis=1), high.max(axis=1)) for low, high in found]
    yield np.max([down for down, _ in each], axis=0)
    yield np.max([up for _, up in each], axis=0)


def _sums(block: Any, call: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Lowest and highest partial sums of every input and channel, as integers; None where the values are none."""
    layer, value = block.layer, (call.x.value if hasattr(call.x, "value") else call.x).double().numpy()
    if block.step is None or not np.isfinite(value).all():
        return None
    codes = _codes(call.weight)
    transposed = bool(getattr(layer, "transposed", False))
    pads = [*layer.padding, *layer.padding]
    a = {"strides": layer.stride, "dilations": layer.dilation, "group": layer.groups, "pads": pads}
    low, high = partial_sums("ConvTranspose" if transposed else "Conv", value, block.step, codes, a)
    if call.bias is not None and layer.weight_quant.integer_bias() is not None and hasattr(call.x, "scale"):
        added = _codes(call.bias).reshape(-1)
        low, high = low + np.minimum(added, 0), high + np.maximum(added, 0)
    return low, high


def _codes(quantized: Any) -> np.ndarray:
    """Integers of quantized numbers."""
    with torch.no_grad():
        return np.asarray(np.round((quantized.value.double() / quantized.scale.double()).numpy()))
