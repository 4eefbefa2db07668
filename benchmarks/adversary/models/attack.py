"""One case: a random model, trained a few steps on ordinary inputs, certified, and driven to its extremes.

What is judged is what each layer's accumulator then meets, in integers, by the judge that the attack on files uses too
(:mod:`benchmarks.adversary.judges`), which shares no code with the package: the promise of the quantizer at the target
width, and the range that the certificate names.
"""

from __future__ import annotations

import traceback
from typing import Any

import numpy as np
import torch

from benchmarks.adversary.judges.integers import ascend, partial_sums
from benchmarks.adversary.models.generate import random_net
from brevitas_a2q import certify
from brevitas_a2q.errors import A2QError

__all__ = ["attack"]


def attack(seed: int, tries: int = 12) -> dict[str, Any]:
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
        "tightest": 0.0,
    }
    try:
        net, shape, rng = random_net(seed)
        line["used"] = sorted({name for block in net.blocks for name in block.names})
        line["layers"] = len(net.blocks)
        try:
            _train(net, shape, rng)
        except A2QError as error:
            return {**line, "outcome": "refused", "detail": str(error)[:300]}
        except RuntimeError as error:  # shapes that do not fit, or what Brevitas does not compute
            return {**line, "outcome": "not executable", "detail": str(error)[:300]}
        return _judge(net, shape, rng, tries, line)
    except Exception:
        return {**line, "outcome": "CRASH", "detail": traceback.format_exc()[-1500:]}


def _train(net: Any, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    optimizer = torch.optim.SGD(net.parameters(), lr=float(10 ** rng.uniform(-4, -1)))
    for _ in range(3):
        optimizer.zero_grad()
        net(torch.randn(2, *shape[1:])).tanh().mean().backward()
        optimizer.step()


def _judge(
    net: Any, shape: tuple[int, ...], rng: np.random.Generator, tries: int, line: dict[str, Any]
) -> dict[str, Any]:
    net.eval()
    try:
        certificate = certify(net, torch.zeros(shape))
    except A2QError as error:
        certificate, line["detail"] = None, str(error)[:300]
    named = {} if certificate is None else {layer.name: layer for layer in certificate.layers}
    line["covered"] = len(named)
    line["judged_by"] = ["integers"]
    for index, block in enumerate(net.blocks):
        layer, claim = block.layer, named.get(f"blocks.{index}.layer")
        for sign in (1, -1):
            found = _extreme(net, block, layer, shape, rng, tries, sign)
            if found is None:
                continue
            low, high = found
            bits, tile = layer.weight_quant.accumulator_bit_width, layer.weight_quant.accumulator_tile
            if tile is None and (high > 2 ** (bits - 1) - 1 or low < -(2 ** (bits - 1))):
                return {**line, "outcome": "VIOLATION", "detail": f"blocks.{index}: [{low}, {high}] in {bits} bits"}
            if claim is not None:
                ends = claim.outer or claim.sums
                if low < min(ends.lower) or high > max(ends.upper):
                    text = f"blocks.{index}: [{low}, {high}] beyond [{min(ends.lower)}, {max(ends.upper)}]"
                    return {**line, "outcome": "VIOLATION", "detail": text}
                share = max(high / max(1, max(ends.upper)), low / min(-1, min(ends.lower)))
                line["tightest"] = max(line["tightest"], float(share))
    return {**line, "outcome": "certified" if named else "refused"}


def _extreme(
    net: Any, block: Any, layer: Any, shape: tuple[int, ...], rng: np.random.Generator, tries: int, sign: int
) -> tuple[int, int] | None:
    """Lowest and highest partial sum that the layer meets, at inputs that drive its sums to an end."""
    ends = [0, 0]

    def run(x: np.ndarray) -> float:
        with torch.no_grad():
            net(torch.from_numpy(x).clamp(-1e30, 1e30))
        sums = [found for seen in block.seen if (found := _sums(layer, seen)) is not None]
        if not sums:
            return 0.0
        ends[0], ends[1] = min(ends[0], *(s[0] for s in sums)), max(ends[1], *(s[1] for s in sums))
        return float(max(s[1] for s in sums) if sign > 0 else min(s[0] for s in sums))

    try:
        ascend(run, shape, rng, tries, sign)
    except A2QError:
        return None
    return ends[0], ends[1]


def _sums(layer: Any, seen: Any) -> tuple[int, int] | None:
    with torch.no_grad():
        weight = layer.quant_weight(None if not hasattr(seen, "scale") else seen)
    value = (seen.value if hasattr(seen, "value") else seen).double().numpy()
    step = _step(seen, value)
    if step is None or not np.isfinite(value).all():
        return None
    codes = np.round((weight.value.double() / weight.scale.double()).numpy())
    transposed = bool(getattr(layer, "transposed", False))
    pads = [*layer.padding, *layer.padding]
    a = {"strides": layer.stride, "dilations": layer.dilation, "group": layer.groups, "pads": pads}
    low, high = partial_sums("ConvTranspose" if transposed else "Conv", value, step, codes, a)
    if layer.bias is not None and layer.weight_quant.integer_bias() is not None and hasattr(seen, "scale"):
        bias = layer.bias_quant(layer.bias, seen, weight)
        added = np.round((bias.value.double() / bias.scale.double()).detach().numpy()).reshape(-1)
        low, high = low + np.minimum(added, 0), high + np.maximum(added, 0)
    return int(low.min()), int(high.max())


def _step(seen: Any, value: np.ndarray) -> float | None:
    """The step of the values: that of their metadata, or the largest that all are multiples of."""
    if hasattr(seen, "scale") and seen.scale.numel() == 1:
        step = float(seen.scale)
        steps = value / step
        if np.abs(steps - np.round(steps)).max(initial=0) < 1e-3:
            return step
    sizes = np.unique(np.abs(value[value != 0]))
    if not sizes.size:
        return 1.0
    for parts in range(1, 5):  # the smallest may be a few steps itself
        step = float(sizes[0]) / parts
        steps = sizes / step
        if np.abs(steps - np.round(steps)).max() < 1e-3 * max(1.0, np.log2(steps.max() + 1)):
            return step
    return None
