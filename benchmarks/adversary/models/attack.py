"""One case: a random model, trained a few steps on ordinary inputs, certified, and driven to its extremes.

What is judged is what each layer's accumulator then meets, in integers, by the judge that the attack on files uses too
(:mod:`benchmarks.adversary.judges`), which shares no code with the package: the promise of the quantizer at the target
width, and the range that the certificate names.
"""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from benchmarks.adversary.judges.integers import partial_sums, search
from benchmarks.adversary.models.changes import Changed, changed, train
from benchmarks.adversary.models.generate import Call, random_net
from benchmarks.adversary.models.operations import LOST, PARTS, RARE, plain
from brevitas_a2q import certify
from brevitas_a2q.errors import A2QError

__all__ = ["attack"]

_STEPS = 2  # of training
_SAME = 0.8  # of the models are trained and certified with as many inputs as are tried at once


def attack(seed: int, rounds: int = 3, width: int = 32, models: int = 1) -> list[dict[str, Any]]:
    """The verdicts on one seed, as lines of the results: on a network, and on what changes make of it, one by one.

    Args:
        seed: Of all random numbers.
        rounds: Of the search for extreme inputs; a model made of another begins with those that were found, and has
            one.
        width: How many inputs are tried at once.
        models: How many to certify and judge at most; none follows one that is not certified.
    """
    torch.set_num_threads(1)
    lines: list[dict[str, Any]] = []
    try:
        net, shape, rng = random_net(seed)
        # One size of batches for all is one trace for all.
        trained, certified = (width if rng.random() < _SAME else few for few in (2, 1))
        it = Changed(net, (certified, *shape[1:]))
        with warnings.catch_warnings(record=True) as it.said:
            warnings.simplefilter("always")
            while len(lines) < models:
                it.restore()
                lines.append(_blank(seed, len(lines), it))
                if len(lines) == 1:
                    _attempt(lambda: train(it, rng, trained, _STEPS), it, lines[-1])
                if not lines[-1]["outcome"]:
                    _attempt(lambda: changed(it, rng, seed, len(lines) > 1), it, lines[-1])
                if not lines[-1]["outcome"]:
                    with torch.autocast("cpu", torch.bfloat16, enabled=it.autocast):
                        _judge(it, rng, rounds if len(lines) == 1 else 1, width, lines[-1])
                if lines[-1]["outcome"] != "certified":
                    break
    except Exception:
        lines = lines or [_blank(seed, 0, None)]
        lines[-1].update({"outcome": "CRASH", "detail": traceback.format_exc()[-1500:]})
    return lines


def _blank(seed: int, step: int, it: Changed | None) -> dict[str, Any]:
    return {
        "seed": seed,
        "step": step,
        "outcome": "",
        "detail": "",
        "used": _used(it) if it else [],
        "judged_by": [],
        "layers": len(_layers(it.net)) if it else 0,
        "covered": 0,
        "inputs": 0,
        "tightest": 0.0,
        "silent": [],
    }


def _used(it: Changed) -> list[str]:
    return [*sorted({kind for block in it.net.blocks for kind in block.kinds}), *it.names]


def _attempt(change: Callable[[], Any], it: Changed, line: dict[str, Any]) -> None:
    """Do to a model what may end its line."""
    try:
        change()
    except A2QError as error:
        line.update({"outcome": "refused", "detail": str(error)[:300]})
    except RuntimeError as error:  # shapes that do not fit, or what Brevitas does not compute
        line.update({"outcome": "not executable", "detail": str(error)[:300]})
    line["used"] = _used(it)
    line["why"] = _why_refused(line["used"])


def _why_refused(used: list[str]) -> str:
    """What a model holds for which it must be refused; empty where a table could state all of it."""
    kinds = {
        "an operation makes no integers": LOST,
        "values of the input are read": RARE,
        "it remembers earlier inputs": PARTS,
        "hooks may return anything": ("hooked",),
        "sums in half precision": ("half precision", "autocast"),
    }
    return next((why for why, names in kinds.items() if set(names).intersection(used)), "")


def _layers(net: Any) -> dict[str, list[Any]]:
    """Blocks by the name of the layer that they call."""
    names: dict[int, str] = {}
    found: dict[str, list[Any]] = {}
    for index, block in enumerate(net.blocks):
        name = names.setdefault(id(block.layer), f"blocks.{index}.layer")
        found.setdefault(name, []).append(block)
    return found


def _judge(it: Changed, rng: np.random.Generator, rounds: int, width: int, line: dict[str, Any]) -> None:
    net, layers = it.net.eval(), _layers(it.net)
    try:
        certificate = certify(net, torch.zeros(it.shape, dtype=it.dtype))
        claims = {layer.name: layer for layer in certificate.layers}
        reasons = dict(text.split(": ", 1) for text in certificate.uncovered)
        reads = [text for text in certificate.uncovered if "elsewhere" in text]
    except A2QError as error:
        claims, reasons, reads, line["detail"] = {}, {}, [], str(error)[:300]
    except RuntimeError as error:  # Brevitas' own, of the model on this input
        line.update({"outcome": "not executable", "detail": str(error)[:300]})
        return
    line["covered"] = sum(name in claims for name in layers)
    line["silent"] = [reasons.get(name, "") for name in layers if name not in claims]
    line["judged_by"] = ["integers"]
    if reads:  # said aloud: another input may go another way
        claims = {}
    broken: list[str] = []

    def scores(x: np.ndarray) -> list[np.ndarray]:
        line["inputs"] += len(x)
        with torch.no_grad():
            net(torch.from_numpy(x).clamp(-1e30, 1e30).to(it.dtype))
        found = []
        for name, blocks in layers.items():
            calls = [call for block in blocks for call in block.record.calls]
            found += list(_compared(name, blocks[0].layer, calls, _of(claims, name), len(x), it, line, broken))
        return found

    line["outcome"] = "certified" if claims else "refused"
    try:
        it.extreme = search(scores, it.shape[1:], rng, rounds, width, it.extreme)
    except A2QError as error:
        line.update({"outcome": "refused", "detail": str(error)[:300]})
    except RuntimeError as error:
        line["detail"] = str(error)[:300]
    if broken:
        line.update({"outcome": "VIOLATION", "detail": broken[0]})


def _of(claims: dict[str, Any], name: str) -> list[Any]:
    """Claims of a layer: one, or one for each of its calls where their integers differ."""
    return [claim for key, claim in claims.items() if key == name or key.startswith(f"{name} (call ")]


def _ends(claim: Any, channels: int) -> tuple[np.ndarray, np.ndarray]:
    ends = claim.outer or claim.sums
    lower = np.array(ends.lower, float).reshape(channels, -1).min(axis=1)
    return lower, np.array(ends.upper, float).reshape(channels, -1).max(axis=1)


def _compared(
    name: str,
    layer: Any,
    calls: list[Call],
    claims: list[Any],
    inputs: int,
    it: Changed,
    line: dict[str, Any],
    broken: list[str],
) -> Iterator[np.ndarray]:
    """Hold what a layer meets against its accumulator and its certificate; how far its sums are driven, down and up."""
    # What was in half precision once may lie far from integers, and is taken for the next ones.
    exact = it.dtype == torch.float32 and not it.autocast
    if not claims and not exact:  # nothing is said of what are no integers, or no numbers
        calls = [call for call in calls if not _why(call, True) and _is_finite(call)]
    if claims:
        faults = [why for call in calls if (why := _why(call, exact))]
        broken += [f"{name}: covered, and its inputs are no integers ({why})" for why in faults]
    found = [sums for call in calls if (sums := _sums(layer, call)) is not None]
    # Parametrizations may make weights that are no numbers, as of a norm that is zero, of which no quantizer makes any.
    if not found or not (claims or bool(torch.isfinite(layer.weight).all())):
        yield from (np.full(inputs, -np.inf), np.full(inputs, -np.inf))
        return
    lows, highs = (np.concatenate([each[end] for each in found]) for end in (0, 1))
    low, high = lows.min(), highs.max()
    quantizer = layer.weight_quant
    bits, tile = (getattr(quantizer, f"accumulator_{what}", None) for what in ("bit_width", "tile"))
    guarded = getattr(quantizer, "zero_point_datapath", None) != "raw"  # that one is other sums
    fits = bits is None or (high <= 2 ** (bits - 1) - 1 and low >= -(2 ** (bits - 1)))
    if it.promises() and tile is None and guarded and not fits:
        broken.append(f"{name}: [{low:g}, {high:g}] in {bits} bits")
    if claims and all(claim.zero_point != "raw" for claim in claims):
        ends = [_ends(claim, lows.shape[-1]) for claim in claims]
        lower, upper = min(low.min() for low, _ in ends), max(high.max() for _, high in ends)
        if not all(any((a >= lo).all() and (b <= hi).all() for lo, hi in ends) for a, b in found):
            broken.append(f"{name}: [{low:g}, {high:g}] beyond [{lower:g}, {upper:g}]")
        line["tightest"] = max(line["tightest"], float(max(high / max(1, upper), low / min(-1, lower))))
    for end, sign in ((0, -1), (1, 1)):
        each = [np.max(sign * sums[end], axis=1) for sums in found]
        yield np.max([score for score in each if len(score) == inputs] or [np.full(inputs, -np.inf)], axis=0)


def _is_finite(call: Call) -> bool:
    return call.bias is None or bool(torch.isfinite(plain(call.bias)).all())


def _why(call: Call, exact: bool) -> str:
    """Why the values of a call are no integers of its step; empty where they are, or need not be exact."""
    value = plain(call.x)
    if not bool(torch.isfinite(value).all()) or not bool(value.any()):
        return ""
    if call.step is None:
        return "an operation that makes none"
    steps = value.double() / call.step
    off = (steps - steps.round()).abs() - 1e-4 * steps.abs()
    return f"{float(off.max()):g} of a step off" if exact and bool((off > 0.1).any()) else ""


def _sums(layer: Any, call: Call) -> tuple[np.ndarray, np.ndarray] | None:
    """Lowest and highest partial sums of every input and channel, as integers; None where the values are none."""
    value = plain(call.x).double().numpy()
    if call.step is None or not np.isfinite(value).all():
        return None
    codes = _codes(call.weight)
    transposed = bool(getattr(layer, "transposed", False))
    pads = [*layer.padding, *layer.padding]
    a = {"strides": layer.stride, "dilations": layer.dilation, "group": layer.groups, "pads": pads}
    low, high = partial_sums("ConvTranspose" if transposed else "Conv", value, call.step, codes, a)
    integer_bias = getattr(layer.weight_quant, "integer_bias", None)
    if call.bias is not None and integer_bias and integer_bias() is not None and hasattr(call.x, "scale"):
        added = _codes(call.bias).reshape(-1)
        low, high = low + np.minimum(added, 0), high + np.maximum(added, 0)
    return low, high


def _codes(quantized: Any) -> np.ndarray:
    """Integers of quantized numbers."""
    with torch.no_grad():
        return np.asarray(np.round((quantized.value.double() / quantized.scale.double()).numpy()))
